//! A plugin, as the daemon and the tests see it.

use crate::event::Hears;
use crate::{Error, Event, Failure, Outcome, Subject};

/// A plugin. The attribute [`plugin`](macro@crate::plugin) implements it; there is no need to do so by hand.
pub trait Plugin {
    /// The text of `plugin.toml`.
    const MANIFEST: &'static str;

    /// Hands one event to the handler of its subscription.
    ///
    /// # Errors
    ///
    /// What the handler gives, and giving up an event of a subscription without a handler.
    fn handle(event: &Event, subject: Subject) -> Outcome;
}

/// What a handler may return: nothing, an [`Outcome`], or a result with an error that `?` would turn into a [`Failure`].
pub trait IntoOutcome {
    /// As an [`Outcome`].
    #[doc(hidden)]
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

/// The subject as a handler takes it. The daemon keeps to the manifest, so another one means that component and manifest
/// are not of one build.
pub fn subject<T: Hears>(event: &Event, subject: Subject) -> Result<T, Failure> {
    T::of(subject).ok_or_else(|| {
        Failure::give_up(format!(
            "the subscription {:?} brought another kind of event than its handler takes",
            event.subscription
        ))
    })
}

/// An event of a subscription that has no handler.
pub fn unanswered(event: &Event) -> Outcome {
    Err(Failure::give_up(format!("no handler is there for the subscription {:?}", event.subscription)))
}

/// The plugin's instance, made of its settings.
pub fn instance<T: serde::de::DeserializeOwned>() -> Result<T, Error> {
    crate::settings::load()
}
