//! Trouble on purpose: what a pool was told to do wrong. Pure state; the doors and the dispatcher obey it.

mod calls;
mod pattern;
mod rules;
mod spoil;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use smol_str::SmolStr;
use xapi::Value;
use xapi::codec::Failure;

pub use calls::Calls;
pub use pattern::Methods;
pub use rules::{FailingCalls, Latency, Often, RuleId};
pub use spoil::Spoil;

use rules::Rules;

/// What is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    seed: u64,
    /// Answers to spoil, first in, first out.
    spoils: VecDeque<(Methods, Spoil)>,
    latencies: Rules<Latency>,
    failing: Rules<FailingCalls>,
    next_rule: u64,
    /// Logins still to refuse as if the password were wrong.
    pub(crate) refused_logins: u64,
    /// Answer everything over TCP with HOST_IS_SLAVE and this address.
    pub(crate) slave_of: Option<String>,
    /// Hosts in emergency mode, with the error that each answers with.
    pub(crate) stranded: HashMap<SmolStr, Failure>,
    /// Answer everything with this error before any dispatch.
    pub(crate) emergency: Option<Failure>,
    /// How the network behaves.
    pub(crate) network: Network,
}

/// How the network between clients and the HTTP and HTTPS doors behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) reach: Reach,
    /// How often all connections were cut.
    pub(crate) cuts: u64,
}

/// Whether connections reach the doors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// They do.
    #[default]
    Open,
    /// New ones are refused, and those that were open are closed.
    Refused,
    /// Nothing that is sent reaches the other side, and nobody is told: connections are half-open.
    Silent,
}

/// What befalls one call at the door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// What passes before the call is taken, and again before its answer goes out.
    pub(crate) delay: Duration,
    pub(crate) spoil: Option<Spoil>,
}

impl Trouble {
    /// None yet.
    pub(crate) fn new(seed: u64) -> Self {
        Trouble { seed, ..Trouble::default() }
    }

    /// Spoils the next answer to a call of these methods that is not to be spoilt already.
    pub(crate) fn spoil_next(&mut self, methods: Methods, spoil: Spoil) {
        self.spoils.push_back((methods, spoil));
    }

    pub(crate) fn add_latency(&mut self, latency: Latency) -> RuleId {
        let id = self.new_rule();
        self.latencies.add(id, latency);
        id
    }

    pub(crate) fn add_failing(&mut self, failing: FailingCalls) -> RuleId {
        let id = self.new_rule();
        self.failing.add(id, failing);
        id
    }

    /// Ends a rule; one that has ended is no error.
    pub(crate) fn end(&mut self, id: RuleId) {
        self.latencies.remove(id);
        self.failing.remove(id);
    }

    /// What befalls a call of this method at the door; an order to spoil it is used up.
    pub(crate) fn fate(&mut self, method: &str) -> Fate {
        let index = self.spoils.iter().position(|(only, _)| only.fits(method));
        let spoil = index.and_then(|index| self.spoils.remove(index)).map(|(_, spoil)| spoil);
        Fate { delay: self.latencies.latency(self.seed, method) / 2, spoil }
    }

    /// Whether any calls are to fail.
    pub(crate) fn fails_calls(&self) -> bool {
        !self.failing.is_empty()
    }

    /// What a call fails with that a pool would do.
    pub(crate) fn failure(&mut self, method: &str, arguments: &[Value]) -> Option<Failure> {
        self.failing.failure(self.seed, method, arguments)
    }

    fn new_rule(&mut self) -> RuleId {
        self.next_rule += 1;
        RuleId(self.next_rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(seed: u64, often: Often, others_between: bool) -> Vec<bool> {
        let mut trouble = Trouble::new(seed);
        let failure = Failure::new("VM_BAD_POWER_STATE", ["$1", "halted"]);
        trouble.add_failing(FailingCalls { methods: Methods::of("VM.*"), failure, often });
        let calls = (0..40).map(|_| {
            if others_between {
                assert_eq!(trouble.failure("host.disable", &[]), None);
            }
            trouble.failure("VM.start", &["OpaqueRef:a".into()])
        });
        let calls: Vec<_> = calls.collect();
        for failure in calls.iter().flatten() {
            assert_eq!(failure.to_string(), "VM_BAD_POWER_STATE [OpaqueRef:a, halted]");
        }
        calls.iter().map(Option::is_some).collect()
    }

    #[test]
    fn which_calls_fail_follows_from_the_seed_alone() {
        let chance = failures(1, Often::Chance(0.3), false);
        assert_eq!(chance, failures(1, Often::Chance(0.3), true));
        assert_ne!(chance, failures(2, Often::Chance(0.3), false));
        let hit = chance.iter().filter(|hit| **hit).count();
        assert!((4..=20).contains(&hit), "{hit} of 40");
        let third = failures(1, Often::Nth(3), false);
        assert!(third.iter().enumerate().all(|(index, hit)| *hit == ((index + 1) % 3 == 0)));
        assert!(failures(1, Often::Nth(0), false).iter().all(|hit| *hit));
    }

    #[test]
    fn the_newest_latency_counts_until_it_ends() {
        let mut trouble = Trouble::new(1);
        let millis = Duration::from_millis;
        let latency =
            |pattern, min, max| Latency { methods: Methods::of(pattern), min: millis(min), max: millis(max) };
        trouble.add_latency(latency("*", 10, 10));
        let slow = trouble.add_latency(latency("session.*", 1000, 3000));
        assert_eq!(trouble.fate("VM.start").delay, millis(5));
        let login = "session.login_with_password";
        let delays: Vec<_> = (0..20).map(|_| trouble.fate(login).delay).collect();
        assert!(delays.iter().all(|delay| (millis(500)..=millis(1500)).contains(delay)), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay != delays[0]), "they differ");
        trouble.end(slow);
        assert_eq!(trouble.fate(login).delay, millis(5));
    }
}
