//! What the `plugin` attribute expands to. Not for authors.

pub use crate::event::{Hears, Operation, Wants};
pub use crate::plugin::{IntoOutcome, instance, subject, unanswered};

#[cfg(target_family = "wasm")]
pub use crate::bindings::{Event as WireEvent, Failure as WireFailure, Guest, export_plugin};

/// Exports a [`Plugin`](crate::Plugin) and packs its manifest into the wasm file. For any other target it only
/// names the plugin, so that nobody takes it for dead code.
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    ($plugin:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&$crate::Event, $crate::Subject) -> $crate::Outcome = <$plugin as $crate::Plugin>::handle;

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::export::Guest for Component {
                fn handle(
                    event: $crate::export::WireEvent,
                ) -> ::core::result::Result<(), $crate::export::WireFailure> {
                    $crate::export::deliver::<$plugin>(event)
                }
            }

    $crate::export::export_plugin!(Component with_types_in $crate::bindings);

            const MANIFEST: &str = <$plugin as $crate::Plugin>::MANIFEST;

            #[used]
            #[unsafe(link_section = "xapiary:manifest")]
            static SECTION: [u8; MANIFEST.len()] = $crate::export::section(MANIFEST);
        };
    };
}

/// Hands one event to a plugin.
#[cfg(target_family = "wasm")]
pub fn deliver<P: crate::Plugin>(event: WireEvent) -> Result<(), WireFailure> {
    tell_panics();
    let (event, subject) = crate::host::received(event);
    P::handle(&event, subject).map_err(WireFailure::from)
}

/// The manifest's bytes as the linker wants them: an array of a known length.
#[cfg(target_family = "wasm")]
pub const fn section<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(text.as_bytes());
    bytes
}

/// Whether a handler's subject can be heard by a subscription: one of the manifest's kinds, and for changes the class and
/// the operations that it hears.
pub const fn fits(wants: &Wants, kind: &str, class: &str, on: &[Operation]) -> bool {
    match wants {
        Wants::Anything => true,
        Wants::Change(wanted, operation) => {
            same(kind, "class")
                && (wanted.is_empty() || same(wanted, class))
                && match operation {
                    None => true,
                    Some(operation) => matches!(on, [one] if *one as u8 == *operation as u8),
                }
        }
        Wants::Task => same(kind, "task"),
        Wants::Alert => same(kind, "alert"),
        Wants::Tick => same(kind, "cron"),
        Wants::Connection => same(kind, "connection"),
    }
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A panic ends the instance with a bare trap. Its message goes to the daemon's log first, where the author looks.
#[cfg(target_family = "wasm")]
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a text");
        let place: &dyn std::fmt::Display = match panic.location() {
            Some(place) => place,
            None => &"unknown",
        };
        let message = format_args!("the plugin panicked: {message}");
        crate::log::write(crate::log::Level::Error, message, &[("place", place)]);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_fits_its_kind_its_class_and_its_operation_alone() {
        use Operation::{Added, Deleted, Modified};
        let of = |class, operation| Wants::Change(class, operation);
        for (wants, kind, class, on, wanted) in [
            (Wants::Anything, "cron", "", &[][..], true),
            (of("VM", None), "class", "VM", &[Added, Deleted], true),
            (of("VM", None), "class", "host", &[Added], false),
            (of("VM", None), "cron", "", &[], false),
            (of("", None), "class", "host", &[Modified], true),
            (of("VM", Some(Modified)), "class", "VM", &[Modified], true),
            (of("VM", Some(Modified)), "class", "VM", &[Modified, Added], false),
            (of("VM", Some(Modified)), "class", "VM", &[Deleted], false),
            (of("VM", Some(Modified)), "class", "VBD", &[Modified], false),
            (Wants::Tick, "cron", "", &[], true),
            (Wants::Tick, "alert", "", &[], false),
            (Wants::Task, "task", "", &[], true),
            (Wants::Alert, "alert", "", &[], true),
            (Wants::Connection, "connection", "", &[], true),
        ] {
            assert_eq!(fits(&wants, kind, class, on), wanted, "{wants:?} {kind} {class} {on:?}");
        }
    }
}
