//! How long the journal keeps what nobody needs any more: an hour at a time, old events go.

use std::time::Duration;

use jiff::Timestamp;
use journal::{By, Journal};
use tokio::sync::watch;

use crate::steady;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(3600);
/// When it is first looked after a start: not while everything is read anew.
const FIRST: Duration = Duration::from_secs(60);

/// Removes events older than `keep`, which may change, now and then, until asked to stop. What a plugin has not dealt with, or a dead letter
/// is about, stays, and holds what came after it. A failure is told and tried again an hour later: it loses nothing.
pub(crate) async fn run(journal: Journal, keep: watch::Receiver<Duration>, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            // Either it says stop, or whoever could say so is gone.
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => pause = EVERY,
        }
        let now = Timestamp::now().as_microsecond();
        // When the clock was set forward nothing has become old by that.
        let aged = now.min(steady::now());
        let age = i64::try_from(keep.borrow().as_micros()).unwrap_or(i64::MAX);
        let by = By { who: "xapiary".to_owned(), reason: "the age in [journal]".to_owned(), at_micros: now };
        match journal.prune(aged.saturating_sub(age), by).await {
            Ok(pruned) => {
                if pruned.events > 0 {
                    tracing::info!(events = pruned.events, calls = pruned.effects, "old events were removed");
                }
                if let Some(held_by) = pruned.held_by {
                    tracing::info!(held_by, "events older than the age in [journal] are kept");
                }
            }
            Err(error) => tracing::warn!(error = %error, "removing old events"),
        }
    }
}
