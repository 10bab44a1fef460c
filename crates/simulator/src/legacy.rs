//! The old way to hear of events: `event.register`, `unregister`, `next` and `get_current_id`.
//!
//! A log and not a difference of states: one queue for all who registered, each change with its picture of that moment,
//! deletions too, nothing of what was there before. What nobody waits for is not kept. Whoever reads too slowly is told
//! `EVENTS_LOST`.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};
use xapi::codec::{Failure, Reply, json};
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::database::Occurrence;
use crate::events::Wanted;
use crate::failures;
use crate::pool::Pool;
use crate::tasks::Outcome;

/// What the queue holds at most, in bytes of its events as JSON; beyond, the oldest go.
const QUEUE_MAX: usize = 10_000_000;

/// Everybody's registrations and the one queue.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    readers: HashMap<SmolStr, Reader>,
    queue: VecDeque<Queued>,
    /// Bytes in the queue.
    size: usize,
    /// The number that the next event gets.
    next: i64,
    /// The first number that is certainly still there.
    kept_from: i64,
}

/// What one session registered for, and how far it has read.
#[derive(Debug, Default)]
struct Reader {
    wanted: Wanted,
    next: i64,
}

#[derive(Debug)]
struct Queued {
    number: i64,
    size: usize,
    class: String,
    reference: SmolStr,
    event: Value,
}

impl Legacy {
    /// The number that the next event gets.
    pub(crate) fn current(&self) -> i64 {
        self.next
    }

    /// Whether anybody registered.
    pub(crate) fn heard(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Forgets everybody and everything, as a restart does.
    pub(crate) fn forget(&mut self) {
        *self = Legacy::default();
    }

    /// A session is over, and its registration with it.
    pub(crate) fn leave(&mut self, session: &str) {
        self.readers.remove(session);
        if self.readers.is_empty() {
            // Who comes now begins with what comes now.
            self.queue.clear();
            self.size = 0;
            self.kept_from = self.next;
        }
    }

    /// Puts a change at the end of the queue, if anybody wants it.
    pub(crate) fn add(&mut self, change: Occurrence, seconds: i64) {
        let class = change.class.to_ascii_lowercase();
        if !self.readers.values().any(|reader| reader.wanted.object(&class, &change.reference)) {
            return;
        }
        let mut event = Struct::with_capacity(6);
        event.insert("id", format_smolstr!("{}", self.next));
        // A float without a fraction, as OCaml writes it.
        event.insert("timestamp", format_smolstr!("{seconds}."));
        event.insert("class", class.as_str());
        event.insert("operation", change.operation);
        event.insert("ref", change.reference.clone());
        event.insert("snapshot", change.snapshot);
        let event = Value::Struct(event);
        let size = json::encode_value(&event).len();
        self.queue.push_back(Queued { number: self.next, size, class, reference: change.reference, event });
        self.next += 1;
        self.size += size;
        while self.size > QUEUE_MAX
            && let Some(oldest) = self.queue.pop_front()
        {
            self.size -= oldest.size;
            self.kept_from = oldest.number + 1;
        }
    }

    fn register(&mut self, session: &SmolStr, classes: &Value) {
        let next = self.next;
        let reader = self.readers.entry(session.clone());
        reader.or_insert_with(|| Reader { wanted: Wanted::default(), next }).wanted.add(words(classes));
    }

    /// Takes classes out. The session stays registered, if for nothing, and then waits for ever.
    fn unregister(&mut self, session: &SmolStr, classes: &Value) {
        let next = self.next;
        let reader = self.readers.entry(session.clone());
        reader.or_insert_with(|| Reader { wanted: Wanted::default(), next }).wanted.remove(words(classes));
    }

    /// What a session has not read yet, if there is any. It counts as read.
    fn read(&mut self, session: &str) -> Option<Reply> {
        let Some(reader) = self.readers.get_mut(session) else {
            let trace = hex::encode(Sha256::digest(session)).chars().take(32).collect::<String>();
            return Some(Err(Failure::new("SESSION_NOT_REGISTERED", [format!("trackid={trace}")])));
        };
        let from = std::mem::replace(&mut reader.next, self.next);
        if from < self.kept_from {
            return Some(Err(Failure::new::<SmolStr>("EVENTS_LOST", [])));
        }
        let wanted = &reader.wanted;
        let unread = self.queue.iter().filter(|queued| queued.number >= from);
        let events: Vec<Value> = unread
            .filter(|queued| wanted.object(&queued.class, &queued.reference))
            .map(|queued| queued.event.clone())
            .collect();
        (!events.is_empty()).then_some(Ok(Value::Array(events)))
    }
}

impl Pool {
    /// The answer to `event.next`, if there is one yet.
    pub(crate) fn next_events(&mut self, session: &str) -> Option<Reply> {
        if !self.sessions.contains_key(session) {
            return Some(Err(failures::session_invalid(session)));
        }
        self.legacy.read(session)
    }

    /// Hands on what the database saw happen since the last time.
    pub(crate) fn keep_readers(&mut self) {
        let seconds = self.clock.unix_seconds();
        for change in self.database.take_occurrences() {
            self.legacy.add(change, seconds);
        }
        self.database.watch(self.legacy.heard());
    }

    /// xapi's sign of life: whoever reads the old way hears of the pool, although nothing changed.
    pub(crate) fn beat(&mut self) {
        let row = self.pool_row();
        if let Some(snapshot) = self.database.record("pool", &row) {
            let beat = Occurrence { class: "pool", reference: row, operation: "mod", snapshot };
            self.legacy.add(beat, self.clock.unix_seconds());
            self.stirs += 1;
        }
    }
}

/// `event.register`.
pub(crate) fn register(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    pool.legacy.register(&a.session, &a.value(0));
    Ok(Value::VOID.into())
}

/// `event.unregister`.
pub(crate) fn unregister(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    pool.legacy.unregister(&a.session, &a.value(0));
    Ok(Value::VOID.into())
}

fn words(classes: &Value) -> impl Iterator<Item = &str> {
    classes.as_array().unwrap_or_default().iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(size: usize) -> Occurrence {
        let snapshot = [("name_label".into(), Value::from("x".repeat(size)))].into_iter().collect();
        Occurrence { class: "VM", reference: "OpaqueRef:v".into(), operation: "mod", snapshot }
    }

    fn numbers(reply: Option<Reply>) -> Vec<String> {
        let Some(Ok(Value::Array(events))) = reply else { return Vec::new() };
        let id = |event: Value| event.as_struct().unwrap().get("id").unwrap().as_str().unwrap().to_owned();
        events.into_iter().map(id).collect()
    }

    #[test]
    fn who_reads_too_slowly_is_told_once_and_goes_on() {
        let mut legacy = Legacy::default();
        let classes = Value::Array(vec!["vm".into()]);
        legacy.register(&"slow".into(), &classes);
        legacy.add(change(10), 0);
        assert_eq!(numbers(legacy.read("slow")), ["0"]);
        for _ in 0..11 {
            legacy.add(change(1_000_000), 0);
        }
        assert!(legacy.size <= QUEUE_MAX && legacy.queue.len() == 9, "{}", legacy.queue.len());
        let lost = legacy.read("slow").unwrap().unwrap_err();
        assert_eq!(lost.code, "EVENTS_LOST");
        assert!(legacy.read("slow").is_none(), "what was lost is behind");
        legacy.add(change(10), 0);
        assert_eq!(numbers(legacy.read("slow")), ["12"]);
        legacy.leave("slow");
        assert_eq!((legacy.size, legacy.current()), (0, 13));
        legacy.add(change(10), 0);
        assert_eq!(legacy.current(), 13, "what nobody wants gets no number");
    }
}
