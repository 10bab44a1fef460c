//! What the `plugin!` macro expands to. Not for authors.

use std::fmt;
use std::panic;

use crate::bindings::xapiary::plugin::events as wire;
pub use crate::bindings::{Guest, export_plugin};
use crate::log::{self, Level};
use crate::{Event, Plugin};

/// Makes a component of a [`Plugin`]: exports its `handle` and packs its manifest into the wasm file.
///
/// `plugin!(Type);` takes the manifest from `plugin.toml` beside the crate's `Cargo.toml`;
/// `plugin!(Type, manifest = "…");` takes it from the string, which may be any constant expression. One component has one
/// plugin. Built for another target than wasm, the macro adds nothing that runs, so that the crate's tests build natively.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty $(,)?) => {
        $crate::plugin!(
            $plugin,
            manifest =
                ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/plugin.toml"))
        );
    };
    ($plugin:ty, manifest = $manifest:expr $(,)?) => {
        const _: () = {
            struct Component;

            impl $crate::export::Guest for Component {
                fn handle(
                    event: $crate::bindings::Event,
                ) -> ::core::result::Result<(), $crate::bindings::Failure> {
                    $crate::export::deliver::<$plugin>(event)
                }
            }

    $crate::export::export_plugin!(Component with_types_in $crate::bindings);

            const MANIFEST: &str = $manifest;

            #[cfg(target_arch = "wasm32")]
            #[used]
            #[unsafe(link_section = "xapiary:manifest")]
            static SECTION: [u8; MANIFEST.len()] = $crate::export::section(MANIFEST);
        };
    };
}

/// Hands one event to a plugin.
pub fn deliver<P: Plugin>(event: wire::Event) -> Result<(), wire::Failure> {
    tell_panics();
    P::default().handle(&Event::from(event)).map_err(wire::Failure::from)
}

/// The manifest's bytes as the linker wants them: an array of a known length.
pub const fn section<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(text.as_bytes());
    bytes
}

/// A panic ends the instance with a bare trap. Its message goes to the daemon's log first, where the author looks.
fn tell_panics() {
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a text");
        let place: &dyn fmt::Display = match panic.location() {
            Some(place) => place,
            None => &"unknown",
        };
        log::write(Level::Error, format_args!("the plugin panicked: {message}"), &[("place", place)]);
    }));
}
