//! Trouble on purpose: what tests tell a pool to do wrong. Pure state; the doors and the dispatcher obey it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::Failure;

/// How the answer to a call is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Status 200 and bytes that are neither XML nor JSON.
    Garbage,
    /// Status 500 with an HTML page, connection closed.
    ServerError,
    /// The right head and half of the body, then the connection closes.
    Truncated,
    /// The connection closes without an answer.
    Close,
}

/// What calls came in, for tests to look at.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// How many calls of each method, by the name as sent.
    pub by_method: BTreeMap<String, u64>,
    /// When logins with a password were tried, counted from the pool's beginning.
    pub logins: Vec<Duration>,
    /// Requests that were no call at all.
    pub malformed: u64,
}

impl Calls {
    /// How many calls of this method came in.
    #[must_use]
    pub fn of(&self, method: &str) -> u64 {
        self.by_method.get(method).copied().unwrap_or_default()
    }
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Answers to spoil, first in, first out; a method narrows it to calls of that method.
    pub(crate) spoils: VecDeque<(Option<String>, Spoil)>,
    /// Logins still to refuse as if the password were wrong.
    pub(crate) refused_logins: u64,
    /// Answer everything over TCP with HOST_IS_SLAVE and this address.
    pub(crate) slave_of: Option<String>,
    /// Hosts in emergency mode, with the error that each answers with.
    pub(crate) stranded: HashMap<SmolStr, Failure>,
    /// Answer everything with this error before any dispatch.
    pub(crate) emergency: Option<Failure>,
}

impl Faults {
    /// How to spoil the answer to a call of this method, if at all; the order is used up.
    pub(crate) fn spoil(&mut self, method: &str) -> Option<Spoil> {
        let fits = |(only, _): &(Option<String>, Spoil)| only.as_deref().is_none_or(|only| only == method);
        let index = self.spoils.iter().position(fits)?;
        self.spoils.remove(index).map(|(_, spoil)| spoil)
    }
}
