//! How much the journal keeps: what is old and nobody needs goes, looked at once an hour; and where it may hold only so much, what
//! is beyond that goes, looked at every few seconds, whoever needs it.

use std::time::Duration;

use jiff::Timestamp;
use journal::{By, Gap, Head, Journal, Limits};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Retention;
use crate::steady;

/// How often it is looked whether something has become old.
const AGE_EVERY: Duration = Duration::from_secs(3600);
/// When that is first looked at after a start: not while everything is read anew.
const AGE_FIRST: Duration = Duration::from_secs(60);
/// How often the journal is measured where it has a limit.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Keeps the journal as it is to be, which may change, until asked to stop. What plugins lose is told to `lost`. A failure is told and
/// tried again later.
pub(crate) async fn run(
    journal: Journal,
    mut retention: watch::Receiver<Retention>,
    lost: watch::Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let mut age_due = Instant::now() + AGE_FIRST;
    let mut told_above = false;
    let mut noted = Head::default();
    loop {
        let present = *retention.borrow_and_update();
        let limits = Limits { bytes: present.max_size, events: present.max_events };
        if limits != Limits::default() {
            keep_within(&journal, limits, &lost, &mut told_above).await;
        }
        if Instant::now() >= age_due {
            age_due = Instant::now() + AGE_EVERY;
            remove_old(&journal, present.keep).await;
            remove_old_audit(&journal, present.keep_audit).await;
            note_head(&journal, &mut noted).await;
        }
        let measure_due = (limits != Limits::default()).then(|| Instant::now() + MEASURE_EVERY);
        let next = measure_due.map_or(age_due, |due| due.min(age_due));
        tokio::select! {
            // Either it says stop, or whoever could say so is gone.
            _ = stop.wait_for(|stop| *stop) => return,
            Ok(()) = retention.changed() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Removes what is older than `keep`. What a plugin has not dealt with, or a dead letter is about, stays, and holds what came
/// after it.
async fn remove_old(journal: &Journal, keep: Duration) {
    let (before, by) = aged(keep);
    match journal.prune(before, by).await {
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

/// Removes rows of the audit that are older than `keep`, whoever asks for them.
async fn remove_old_audit(journal: &Journal, keep: Duration) {
    let (before, by) = aged(keep);
    match journal.prune_audit(before, by).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "old rows of the audit were removed"),
        Err(error) => tracing::warn!(error = %error, "removing old rows of the audit"),
    }
}

/// Tells the head of the audit when it has changed. Kept where the journal's file is not, it shows later that the rows up to
/// it were not written anew.
async fn note_head(journal: &Journal, noted: &mut Head) {
    match journal.listings().audit_head().await {
        Ok(head) if head != *noted => {
            tracing::info!(head = %head, "the head of the audit");
            *noted = head;
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(error = %error, "reading the head of the audit"),
    }
}

/// What is from before this is older than `keep`; and in whose name it is removed.
fn aged(keep: Duration) -> (i64, By) {
    let now = Timestamp::now().as_microsecond();
    // When the clock was set forward nothing has become old by that.
    let aged = now.min(steady::now());
    let age = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    let by = By { who: "xapiary".to_owned(), reason: "the age in [journal]".to_owned(), at_micros: now };
    (aged.saturating_sub(age), by)
}

async fn keep_within(journal: &Journal, limits: Limits, lost: &watch::Sender<()>, told_above: &mut bool) {
    let shrunk = match journal.keep_within(limits, Timestamp::now().as_microsecond()).await {
        Ok(shrunk) => shrunk,
        Err(error) => {
            tracing::warn!(error = %error, "removing events beyond the limit in [journal]");
            // It may have lost something before it failed.
            lost.send_replace(());
            return;
        }
    };
    if shrunk.events > 0 {
        tracing::info!(events = shrunk.events, "events beyond the limit in [journal] were removed");
    }
    for Gap { plugin, first, last, events, dead, why, .. } in &shrunk.gaps {
        tracing::warn!(
            plugin,
            first,
            last,
            events,
            dead_letters = dead,
            why,
            "the plugin lost events: it had not dealt with them when the journal reached its limit"
        );
    }
    if !shrunk.gaps.is_empty() {
        lost.send_replace(());
    }
    if shrunk.still_above && !std::mem::replace(told_above, true) {
        tracing::warn!("the journal is above its limit in [journal] without any event: the pools need more");
    }
    *told_above &= shrunk.still_above || shrunk.events == 0;
}
