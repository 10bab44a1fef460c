//! References as a plugin sees them: numbers of its own in place of XAPI's, good for one delivery.
//!
//! A plugin can only pass back what it was given, so a guessed handle opens nothing; and since each handle carries
//! its delivery, one that was kept in the store is refused rather than taken for another object.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use smol_str::SmolStr;

/// What a handle stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The class; empty where it was not known when the handle was given.
    pub(crate) class: SmolStr,
    /// XAPI's raw reference.
    pub(crate) reference: SmolStr,
    /// Whether a call of this delivery returned it, so that the world may not have it yet.
    pub(crate) fresh: bool,
}

/// Why a text is no handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleFault {
    /// It belongs to another delivery.
    Stale,
    /// The plugin was never given it.
    Unknown,
}

impl HandleFault {
    pub(crate) fn advice(self) -> &'static str {
        match self {
            HandleFault::Stale => {
                "a reference is good for one delivery; keep the uuid and ask `objects.by-uuid` for the object"
            }
            HandleFault::Unknown => "use references as they were given to the plugin",
        }
    }
}

pub(crate) struct Handles {
    prefix: String,
    numbers: HashMap<SmolStr, usize>,
    known: Vec<Known>,
    hasher: RandomState,
}

impl Handles {
    pub(crate) fn new(sequence: u64, attempt: u32) -> Self {
        Handles {
            prefix: format!("ref:{sequence}.{attempt}."),
            numbers: HashMap::new(),
            known: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// The handle of a reference: the same one each time.
    pub(crate) fn issue(&mut self, class: &str, reference: &str) -> String {
        let number = match self.numbers.get(reference) {
            Some(number) => {
                let known = &mut self.known[*number];
                if known.class.is_empty() {
                    known.class = class.into();
                }
                *number
            }
            None => {
                let number = self.known.len();
                self.numbers.insert(reference.into(), number);
                self.known.push(Known { class: class.into(), reference: reference.into(), fresh: false });
                number
            }
        };
        format!("{}{}", self.prefix, number + 1)
    }

    /// As [`issue`](Self::issue), for a reference that a call returned.
    pub(crate) fn issue_fresh(&mut self, class: &str, reference: &str) -> String {
        let new = !self.numbers.contains_key(reference);
        let handle = self.issue(class, reference);
        if new && let Some(known) = self.known.last_mut() {
            known.fresh = true;
        }
        handle
    }

    /// What compares equal to the handle if one was given, and to nothing else otherwise; gives none out.
    pub(crate) fn peek(&self, reference: &str) -> String {
        match self.numbers.get(reference) {
            Some(number) => format!("{}{}", self.prefix, number + 1),
            None => format!("ref:unseen.{:016x}", self.hasher.hash_one(reference)),
        }
    }

    /// What each handle of this delivery begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What a handle stands for.
    pub(crate) fn resolve(&self, handle: &str) -> Result<&Known, HandleFault> {
        match handle.strip_prefix(&self.prefix) {
            Some(number) => number
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1))
                .and_then(|index| self.known.get(index))
                .ok_or(HandleFault::Unknown),
            None if handle.starts_with("ref:") => Err(HandleFault::Stale),
            None => Err(HandleFault::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_one_handle_and_comes_back() {
        let mut handles = Handles::new(7, 1);
        let first = handles.issue("", "OpaqueRef:a");
        assert_eq!(first, "ref:7.1.1");
        assert_eq!(handles.issue("VM", "OpaqueRef:a"), first);
        let known = handles.resolve(&first).unwrap();
        assert_eq!(
            (known.class.as_str(), known.reference.as_str(), known.fresh),
            ("VM", "OpaqueRef:a", false)
        );
        let made = handles.issue_fresh("VM", "OpaqueRef:b");
        assert!(handles.resolve(&made).unwrap().fresh);
        handles.issue_fresh("VM", "OpaqueRef:a");
        assert!(!handles.resolve(&first).unwrap().fresh, "it was known before");
    }

    #[test]
    fn guessed_and_kept_handles_are_refused() {
        let mut handles = Handles::new(7, 2);
        handles.issue("VM", "OpaqueRef:a");
        for (text, fault) in [
            ("ref:7.2.2", HandleFault::Unknown),
            ("ref:7.2.0", HandleFault::Unknown),
            ("ref:7.2.", HandleFault::Unknown),
            ("ref:7.2.18446744073709551616", HandleFault::Unknown),
            ("ref:7.1.1", HandleFault::Stale),
            ("ref:6.2.1", HandleFault::Stale),
            ("OpaqueRef:a", HandleFault::Unknown),
            ("", HandleFault::Unknown),
        ] {
            assert_eq!(handles.resolve(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn peeking_gives_nothing_out() {
        let mut handles = Handles::new(1, 1);
        let unseen = handles.peek("OpaqueRef:a");
        assert_eq!(unseen, handles.peek("OpaqueRef:a"));
        assert_eq!(handles.resolve(&unseen), Err(HandleFault::Stale));
        let given = handles.issue("VM", "OpaqueRef:a");
        assert_eq!(handles.peek("OpaqueRef:a"), given);
    }
}
