//! Alerts (class `message`): kept beside the database, told as `add` and `del`, never as `mod`.

use std::collections::VecDeque;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use crate::failures;

/// Messages kept; the oldest goes when one more comes.
const KEPT_MAX: usize = 10_000;
/// Deletions remembered at most; beyond, all but [`GRAVES_KEPT`] are forgotten.
const GRAVES_MAX: usize = 1023;
const GRAVES_KEPT: usize = 512;

/// All messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    kept: VecDeque<Message>,
    graves: VecDeque<(i64, SmolStr)>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) generation: i64,
    pub(crate) reference: SmolStr,
    pub(crate) record: Struct,
}

impl Messages {
    pub(crate) fn add(&mut self, generation: i64, reference: SmolStr, record: Struct) {
        self.kept.push_back(Message { generation, reference, record });
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bury(generation, oldest.reference);
        }
    }

    pub(crate) fn remove(&mut self, generation: i64, reference: &str) -> Result<(), Failure> {
        let index = self.kept.iter().position(|message| message.reference == reference);
        let message = index.and_then(|index| self.kept.remove(index));
        let message = message.ok_or_else(|| failures::handle_invalid("message", reference))?;
        self.bury(generation, message.reference);
        Ok(())
    }

    pub(crate) fn get(&self, reference: &str) -> Result<&Struct, Failure> {
        let found = self.kept.iter().find(|message| message.reference == reference);
        found.map(|message| &message.record).ok_or_else(|| failures::handle_invalid("message", reference))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.kept.iter()
    }

    /// References deleted after a generation, oldest first, with the generation.
    pub(crate) fn deleted_since(&self, generation: i64) -> impl Iterator<Item = &(i64, SmolStr)> {
        self.graves.iter().filter(move |(at, _)| *at > generation)
    }

    /// Forgets deletions, as a restart does; messages themselves stay, since they are files.
    pub(crate) fn forget_deletions(&mut self) {
        self.graves.clear();
    }

    /// References with records, as `get_all_records` answers.
    pub(crate) fn records(&self, wanted: impl Fn(&Struct) -> bool) -> Value {
        let chosen = self.kept.iter().filter(|message| wanted(&message.record));
        Value::Struct(chosen.map(|m| (m.reference.clone(), Value::Struct(m.record.clone()))).collect())
    }

    fn bury(&mut self, generation: i64, reference: SmolStr) {
        self.graves.push_back((generation, reference));
        if self.graves.len() > GRAVES_MAX {
            self.graves.drain(..self.graves.len() - GRAVES_KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_its_end_is_told() {
        let mut messages = Messages::default();
        for generation in 1..=10_001 {
            messages.add(generation, format!("OpaqueRef:{generation}").into(), Struct::new());
        }
        assert_eq!(messages.iter().count(), KEPT_MAX);
        assert!(messages.get("OpaqueRef:1").is_err() && messages.get("OpaqueRef:2").is_ok());
        let ends: Vec<_> = messages.deleted_since(10_000).cloned().collect();
        assert_eq!(ends, [(10_001, "OpaqueRef:1".into())]);
        messages.forget_deletions();
        assert_eq!(messages.deleted_since(0).count(), 0);
        assert_eq!(messages.iter().count(), KEPT_MAX, "they are files, and files stay");
    }
}
