//! Is what we hear still what happens? A change that we make ourselves must come round: `event.inject` touches an object,
//! gives a token, and a later poll must return a greater one. Pure; the caller brings the clock.

use std::time::{Duration, Instant};

use smol_str::SmolStr;

use super::token;

/// So many polls may end without our change before something is wrong: the first may have been under way.
const MISSES: u32 = 2;

/// One change of ours at a time, on its way through the pool and back.
#[derive(Debug, Clone)]
pub struct Canary {
    every: Duration,
    due: Instant,
    under_way: Option<Flight>,
    back: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Flight {
    token: SmolStr,
    sent: Instant,
    misses: u32,
}

/// What a poll says of our change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// None is under way.
    Idle,
    /// It came round, so much later.
    Back(Duration),
    /// Not yet.
    Awaited,
    /// It should have: the pool does not tell what happens in it.
    Lost,
}

impl Canary {
    /// The first change is due at once, then one in each period. Each costs every client that follows the object one
    /// event without a difference, so not more often than every half minute.
    #[must_use]
    pub fn new(every: Duration, now: Instant) -> Self {
        Canary { every, due: now, under_way: None, back: None }
    }

    /// Whether to make a change now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.under_way.is_none() && now >= self.due
    }

    /// A change was made, for which `event.inject` gave this token.
    pub fn sent(&mut self, token: impl Into<SmolStr>, now: Instant) {
        self.under_way = Some(Flight { token: token.into(), sent: now, misses: 0 });
        self.due = now + self.every;
    }

    /// No change could be made; the next is due after the period.
    pub fn skipped(&mut self, now: Instant) {
        self.due = now + self.every;
    }

    /// A poll that began after the change was made returned this token.
    pub fn polled(&mut self, given: &str, now: Instant) -> Round {
        let Some(flight) = &mut self.under_way else { return Round::Idle };
        if token::is_before(&flight.token, given) {
            let took = now.saturating_duration_since(flight.sent);
            self.under_way = None;
            self.back = Some(now);
            return Round::Back(took);
        }
        flight.misses += 1;
        if flight.misses >= MISSES { Round::Lost } else { Round::Awaited }
    }

    /// A new session: what was under way is nobody's business any more.
    pub fn forget(&mut self, now: Instant) {
        self.under_way = None;
        self.due = now;
    }

    /// How long ago a change of ours came round last; none before the first.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.back.map(|back| now.saturating_duration_since(back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(generation: u64) -> String {
        format!("{generation:020},{:020}", 0)
    }

    #[test]
    fn a_change_comes_round_when_a_poll_is_beyond_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut canary = Canary::new(Duration::from_secs(30), start);
        assert!(canary.is_due(at(0)) && canary.age(at(0)).is_none());
        assert_eq!(canary.polled(&token(7), at(0)), Round::Idle);
        canary.sent(token(10), at(1));
        assert!(!canary.is_due(at(60)), "one at a time");
        assert_eq!(canary.polled(&token(10), at(2)), Round::Awaited);
        assert_eq!(canary.polled(&token(12), at(3)), Round::Back(Duration::from_secs(2)));
        assert_eq!(canary.age(at(10)), Some(Duration::from_secs(7)));
        assert!(!canary.is_due(at(30)) && canary.is_due(at(31)));
    }

    #[test]
    fn a_change_that_two_polls_do_not_bring_is_lost() {
        let start = Instant::now();
        let mut canary = Canary::new(Duration::from_secs(30), start);
        canary.sent(token(10), start);
        assert_eq!(canary.polled(&token(3), start), Round::Awaited);
        assert_eq!(canary.polled(&token(4), start), Round::Lost);
        canary.forget(start);
        assert!(canary.is_due(start));
        assert_eq!(canary.polled(&token(4), start), Round::Idle);
    }
}
