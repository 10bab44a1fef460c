//! Answers that come from the journal alone: the same with a daemon and without one.

use std::collections::HashMap;

use jiff::Timestamp;
use journal::{
    AuditFilter, Audited, By, Effect, Error, EventFilter, Gap, Listings, NewAudit, OpenDelivery, OpenState,
    PluginCursor, Verified,
};

use super::types::{
    ActionLine, AuditLine, AuditQuery, AuditVerified, CallLine, DeadDetail, DeadLine, DeliveryDetail,
    DeliveryLine, EventDetail, EventLine, EventQuery, Events, GapLine, JournalStatus, OfPlugin, PluginStatus,
};
use super::{expected, summary};

/// So many lines unless more are asked for.
const LINES: usize = 50;
/// No answer has more lines than this, however many are asked for.
const LINES_MAX: usize = 1000;

/// How many lines an answer has.
pub(super) fn lines(asked: Option<usize>) -> usize {
    asked.unwrap_or(LINES).min(LINES_MAX)
}

/// A time as people and programs read it.
pub(crate) fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}

/// What the journal holds.
pub(crate) async fn journal(listings: &Listings) -> Result<JournalStatus, Error> {
    let counts = listings.counts().await?;
    Ok(JournalStatus {
        events: counts.events,
        last: counts.last,
        objects: counts.objects,
        open_deliveries: counts.open_deliveries,
        dead: counts.dead,
        effects: counts.effects,
        effects_in_doubt: counts.effects_in_doubt,
        audit_rows: listings.audit_head().await?.id,
        bytes: counts.bytes,
        free_bytes: counts.free_bytes,
    })
}

/// How plugins stand, as far as the journal knows.
pub(crate) async fn plugins(listings: &Listings) -> Result<Vec<PluginStatus>, Error> {
    let last = listings.last().await?;
    let dead: HashMap<String, u64> = listings.dead_counts().await?.into_iter().collect();
    let lost: HashMap<String, u64> = listings.lost().await?.into_iter().collect();
    let disabled = listings.disabled().await?;
    let cursors = listings.plugins().await?;
    let status = |PluginCursor { plugin, cursor }| {
        let off = disabled.iter().find(|disabled| disabled.plugin == plugin);
        PluginStatus {
            state: if off.is_some() { "disabled" } else { "not running" }.to_owned(),
            why: off.map(|disabled| by(&disabled.by)),
            cursor: Some(cursor),
            behind: last.saturating_sub(cursor),
            dead: dead.get(&plugin).copied().unwrap_or_default(),
            lost: lost.get(&plugin).copied().unwrap_or_default(),
            name: plugin,
            ..PluginStatus::default()
        }
    };
    Ok(cursors.into_iter().map(status).collect())
}

/// How one plugin stands, as far as the journal knows; one that it does not know has never run.
pub(crate) async fn plugin(listings: &Listings, name: &str) -> Result<PluginStatus, Error> {
    let known = plugins(listings).await?.into_iter().find(|plugin| plugin.name == name);
    let never = || PluginStatus {
        name: name.to_owned(),
        state: "not running".to_owned(),
        why: Some("it has never run".to_owned()),
        ..PluginStatus::default()
    };
    Ok(known.unwrap_or_else(never))
}

/// Who did something, when and why, in a sentence.
pub(super) fn by(by: &By) -> String {
    let at = time(by.at_micros);
    if by.reason.is_empty() {
        format!("by {} at {at}", by.who)
    } else {
        format!("by {} at {at}: {}", by.who, by.reason)
    }
}

/// Events that a query lets through.
pub(crate) async fn events(listings: &Listings, query: EventQuery) -> Result<Events, Error> {
    let EventQuery { after, pool, kind, class, reference, limit, wait_s: _ } = query;
    let limit = lines(limit);
    // Before the events are read: what comes in between is looked at the next time.
    let last = listings.last().await?;
    let filter = EventFilter { after, pool, kind, class, reference };
    let events = listings.events(filter, limit).await?;
    let looked_to = match events.last() {
        Some(newest) if after.is_some() && events.len() >= limit => newest.sequence,
        Some(newest) => newest.sequence.max(last),
        None => last,
    };
    Ok(Events { events: events.iter().map(summary::event).collect(), looked_to })
}

/// One event; nothing if there is none of this number.
pub(crate) async fn event(listings: &Listings, sequence: u64) -> Result<Option<EventDetail>, Error> {
    let Some(stored) = listings.event(sequence).await? else { return Ok(None) };
    // What is no JSON, which we never write, is shown as the text that it is.
    let payload = serde_json::from_str(&stored.payload).unwrap_or_else(|_| stored.payload.clone().into());
    Ok(Some(EventDetail { event: summary::event(&stored), payload }))
}

async fn event_line(listings: &Listings, sequence: u64) -> Result<Option<EventLine>, Error> {
    Ok(listings.event(sequence).await?.as_ref().map(summary::event))
}

/// Open deliveries.
pub(crate) async fn deliveries(listings: &Listings, of: OfPlugin) -> Result<Vec<DeliveryLine>, Error> {
    let open = listings.open_deliveries(of.plugin, lines(of.limit)).await?;
    Ok(open.into_iter().map(|(plugin, open)| delivery_line(plugin, open)).collect())
}

fn delivery_line(plugin: String, open: OpenDelivery) -> DeliveryLine {
    let OpenDelivery { sequence, attempt, state, .. } = open;
    let (state, not_before, why) = match state {
        OpenState::Started => ("started", None, None),
        OpenState::Retry { not_before_micros, why } => ("retry", Some(time(not_before_micros)), Some(why)),
        OpenState::Settled => ("settled", None, None),
    };
    DeliveryLine { plugin, sequence, attempt, state: state.to_owned(), not_before, why }
}

/// All that is known of one delivery; nothing if the plugin or the event is not known.
pub(crate) async fn delivery(
    listings: &Listings,
    plugin: &str,
    sequence: u64,
) -> Result<Option<DeliveryDetail>, Error> {
    let plugins = listings.plugins().await?;
    let Some(known) = plugins.into_iter().find(|known| known.plugin == plugin) else { return Ok(None) };
    if sequence == 0 || sequence > listings.last().await? {
        return Ok(None);
    }
    let calls = listings.effects(plugin, sequence).await?;
    let dead = listings.dead_letter_of(plugin, sequence).await?.map(dead_line);
    let line = |state: &str, attempt| DeliveryLine {
        plugin: plugin.to_owned(),
        sequence,
        attempt,
        state: state.to_owned(),
        not_before: None,
        why: None,
    };
    let told_with = listings.folded_in(plugin, sequence).await?;
    let event = event_line(listings, sequence).await?;
    let gaps = listings.gaps(Some(plugin.to_owned()), LINES_MAX).await?;
    let within = |gap: &Gap| (gap.first..=gap.last).contains(&sequence);
    // Of those that are gone with their events, those that were settled before are not told apart.
    let lost_in = gaps.into_iter().find(|gap| event.is_none() && within(gap));
    let delivery = match (&dead, listings.delivery(plugin, sequence).await?) {
        _ if told_with.is_some() => DeliveryLine {
            why: told_with.map(|into| format!("it was told with event {into}")),
            ..line("folded", 0)
        },
        (Some(dead), _) => DeliveryLine { why: Some(dead.why.clone()), ..line("dead", dead.attempts) },
        (None, Some(open)) => delivery_line(plugin.to_owned(), open),
        (None, None) if lost_in.is_some() => {
            let why = lost_in
                .map(|gap| format!("the plugin lost events {} to {}: {}", gap.first, gap.last, gap.why));
            DeliveryLine { why, ..line("lost", 0) }
        }
        (None, None) if sequence <= known.cursor => {
            line("settled", calls.iter().map(|call| call.attempt).max().unwrap_or_default())
        }
        (None, None) => line("not started", 0),
    };
    let folded = listings.folded_into(plugin, sequence).await?;
    let calls = calls.into_iter().map(call_line).collect();
    Ok(Some(DeliveryDetail { delivery, event, folded, calls, dead }))
}

/// Dead letters, newest first.
pub(crate) async fn dead(listings: &Listings, of: OfPlugin) -> Result<Vec<DeadLine>, Error> {
    let letters = listings.dead(of.plugin, lines(of.limit)).await?;
    Ok(letters.into_iter().map(dead_line).collect())
}

/// One dead letter; nothing if none bears this number.
pub(crate) async fn dead_letter(listings: &Listings, id: u64) -> Result<Option<DeadDetail>, Error> {
    let Some(letter) = listings.dead_letter(id).await? else { return Ok(None) };
    let event = event_line(listings, letter.sequence).await?;
    let calls = listings.effects(&letter.plugin, letter.sequence).await?;
    let calls = calls.into_iter().map(call_line).collect();
    Ok(Some(DeadDetail { dead: dead_line(letter), event, calls }))
}

fn dead_line(letter: journal::DeadLetter) -> DeadLine {
    let journal::DeadLetter { id, plugin, sequence, attempts, at_micros, why, log } = letter;
    DeadLine { id, plugin, sequence, attempts, at: time(at_micros), why, log }
}

fn call_line(effect: Effect) -> CallLine {
    let Effect { attempt, index, method, arguments, object, intended_at_micros, conclusion, .. } = effect;
    let expected = expected::state(&method, &arguments);
    let took = conclusion.as_ref().map(|conclusion| conclusion.at_micros.saturating_sub(intended_at_micros));
    CallLine {
        attempt,
        index,
        method,
        arguments,
        object,
        expected,
        at: time(intended_at_micros),
        outcome: conclusion.map(|conclusion| summary::outcome(&conclusion.outcome)),
        took_s: took
            .and_then(|micros| u64::try_from(micros).ok())
            .map(|micros| std::time::Duration::from_micros(micros).as_secs_f64()),
    }
}

/// What plugins lost, newest first.
pub(crate) async fn gaps(listings: &Listings, of: OfPlugin) -> Result<Vec<GapLine>, Error> {
    let gaps = listings.gaps(of.plugin, lines(of.limit)).await?;
    let line = |gap: Gap| {
        let Gap { id, plugin, first, last, events, dead, newest: _, at_micros, why } = gap;
        GapLine { id, at: time(at_micros), plugin, first, last, events, dead, why }
    };
    Ok(gaps.into_iter().map(line).collect())
}

/// Rows of the audit, newest first.
///
/// # Errors
/// Also when a time or a head cannot be read, which is the asker's fault.
pub(crate) async fn audit(listings: &Listings, query: AuditQuery) -> Result<Vec<AuditLine>, Asked> {
    let AuditQuery { plugin, object, kind, since, limit } = query;
    let since = since.map(|since| {
        let time: Result<Timestamp, _> = since.parse();
        time.map_err(|error| {
            Asked::Wrong(format!("{since:?} is no time: {error}; write 2026-01-31T06:00:00Z"))
        })
    });
    let since_micros = since.transpose()?.map(Timestamp::as_microsecond);
    let filter = AuditFilter { plugin, object, kind, since_micros };
    let rows = listings.audit(filter, lines(limit)).await?;
    Ok(rows.into_iter().map(audit_line).collect())
}

/// Whether the audit is as it was written. `noted` is a head that was noted earlier.
///
/// # Errors
/// As [`audit`].
pub(crate) async fn verify_audit(listings: &Listings, noted: Option<&str>) -> Result<AuditVerified, Asked> {
    let noted = noted.map(|noted| noted.parse().map_err(Asked::Wrong)).transpose()?;
    let Verified { rows, anchor, head, faults } = listings.verify_audit(noted).await?;
    Ok(AuditVerified { rows, removed_through: anchor.id, head: head.to_string(), faults })
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Asked {
    /// It makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// The journal cannot say.
    #[error(transparent)]
    Journal(#[from] Error),
}

fn audit_line(row: Audited) -> AuditLine {
    let Audited { id, entry, result, .. } = row;
    let NewAudit { at_micros, kind, plugin, who, what, object, details, .. } = entry;
    // What is no JSON is a person's own words.
    let json = |text: String| serde_json::from_str(&text).unwrap_or_else(|_| text.into());
    let (result_at, result) = result.unzip();
    AuditLine {
        id,
        at: time(at_micros),
        details: if kind == "action" { details.into() } else { json(details) },
        kind,
        plugin,
        who,
        what,
        object,
        result: result.map(json),
        result_at: result_at.map(time),
    }
}

/// What people did, newest first.
pub(crate) async fn actions(listings: &Listings, limit: Option<usize>) -> Result<Vec<ActionLine>, Error> {
    let actions = listings.actions(lines(limit)).await?;
    let line = |action: journal::Action| ActionLine {
        id: action.id,
        at: time(action.by.at_micros),
        who: action.by.who,
        verb: action.verb,
        subject: action.subject,
        reason: action.by.reason,
    };
    Ok(actions.into_iter().map(line).collect())
}
