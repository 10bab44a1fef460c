//! Objects that were read before, so that what comes again unchanged is not read again: most of a picture after a new
//! session, and every change without a difference, such as those that make a pool speak.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{Batch, RawEvent};
use crate::model::Record;

/// The objects of one pool as they were seen last, by reference.
#[derive(Debug, Default)]
pub struct Seen {
    objects: HashMap<SmolStr, (Print, Arc<Record>)>,
}

/// What tells the bytes of one object's record from others. Two that differ have the same print once in 2^128 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    length: usize,
    hash: u128,
}

impl Print {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Print { length: bytes.len(), hash: xxh3_128(bytes) }
    }

    pub(super) fn length(self) -> usize {
        self.length
    }
}

impl Seen {
    /// The object, where the message goes on with the same bytes as when it was seen last. A record ends where it ends: the
    /// same bytes are the same record, whatever follows.
    pub(super) fn find(&self, class: &str, reference: &str, ahead: &[u8]) -> Option<(Arc<Record>, Print)> {
        let (print, record) = self.objects.get(reference)?;
        let bytes = ahead.get(..print.length)?;
        let same = record.class.eq_ignore_ascii_case(class) && Print::of(bytes) == *print;
        same.then(|| (Arc::clone(record), *print))
    }

    /// Takes note of an event: of the object as it is now, or that it is gone.
    pub(super) fn note(&mut self, event: &RawEvent, print: Option<Print>) {
        match (&event.snapshot, print) {
            (Some(record), Some(print)) => {
                self.objects.insert(event.reference.clone(), (print, Arc::clone(record)));
            }
            _ => _ = self.objects.remove(&event.reference),
        }
    }

    /// Forgets the objects of these classes (any case, `*` for all) that a picture of them, read with these, does not hold.
    /// Others stay: a picture may be of a few classes, or of single objects, while another poll follows the rest.
    pub fn keep_only(&mut self, picture: &Batch, classes: &[&str]) {
        let records = picture.events.iter().filter_map(|event| event.snapshot.as_ref());
        let there: HashSet<*const Record> = records.map(Arc::as_ptr).collect();
        let asked = |record: &Record| {
            classes.iter().any(|class| *class == "*" || record.class.eq_ignore_ascii_case(class))
        };
        self.objects.retain(|_, (_, record)| there.contains(&Arc::as_ptr(record)) || !asked(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Limits;

    fn answer(events: &[(&str, &str, Option<&str>)]) -> String {
        let event = |(operation, reference, name): &(&str, &str, Option<&str>)| {
            let snapshot = name.map_or_else(String::new, |name| {
                format!(",\"snapshot\":{{\"name_label\":\"{name}\",\"tags\":[]}} ")
            });
            format!(
                "{{\"id\":\"7\",\"timestamp\":\"0.0\",\"class\":\"vm\",\"operation\":\"{operation}\",\
                 \"ref\":\"{reference}\"{snapshot}}}"
            )
        };
        let events: Vec<String> = events.iter().map(event).collect();
        let events = events.join(",");
        format!(
            "{{\"jsonrpc\":\"2.0\",\"result\":{{\"events\":[{events}],\"valid_ref_counts\":{{\"vm\":1}},\"token\":\"t\"}},\"id\":1}}"
        )
    }

    fn read(seen: &mut Seen, events: &[(&str, &str, Option<&str>)]) -> Batch {
        let text = answer(events);
        let again = Batch::decode_json_again(text.as_bytes(), &Limits::default(), seen).unwrap().unwrap();
        let fresh = Batch::decode_json(text.as_bytes(), &Limits::default()).unwrap().unwrap();
        assert_eq!(again, fresh, "what is read again says the same");
        again
    }

    fn record(batch: &Batch, index: usize) -> &Arc<Record> {
        batch.events[index].snapshot.as_ref().unwrap()
    }

    #[test]
    fn what_comes_again_unchanged_is_the_same_record_and_what_changed_is_not() {
        let mut seen = Seen::default();
        let first = read(&mut seen, &[("add", "a", Some("one")), ("add", "b", Some("two"))]);
        let second = read(&mut seen, &[("mod", "a", Some("one")), ("mod", "b", Some("tow"))]);
        assert!(Arc::ptr_eq(record(&first, 0), record(&second, 0)));
        assert_eq!(record(&second, 1).text("name_label"), "tow");
        // Back to what it was, and longer by something in front of the same end.
        let third = read(&mut seen, &[("mod", "b", Some("two")), ("mod", "a", Some("oneone"))]);
        assert_eq!(record(&third, 0).text("name_label"), "two");
        assert_eq!(record(&third, 1).text("name_label"), "oneone");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut seen = Seen::default();
        read(&mut seen, &[("add", "a", Some("one")), ("add", "b", Some("two"))]);
        read(&mut seen, &[("del", "a", None)]);
        assert_eq!(seen.objects.len(), 1);
        let picture = read(&mut seen, &[("add", "c", Some("three"))]);
        seen.keep_only(&picture, &["task"]);
        assert_eq!(seen.objects.len(), 2, "a picture of tasks says nothing of VMs");
        seen.keep_only(&picture, &["vm"]);
        assert_eq!(seen.objects.keys().collect::<Vec<_>>(), ["c"]);
        seen.keep_only(&read(&mut Seen::default(), &[]), &["*"]);
        assert!(seen.objects.is_empty());
    }
}
