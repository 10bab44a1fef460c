//! What the rules of a plugin's grant have allowed lately, shared by its deliveries side by side.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grant::{Grant, Spent};

/// What the rules of one plugin's grant have allowed lately, by the steady clock.
#[derive(Debug)]
pub struct Spending {
    began: Instant,
    spent: Mutex<Spent>,
}

/// A call that was allowed before this began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The rule that allowed it, as [`Rule::text`](grant::Rule::text) gives it.
    pub rule: String,
    /// The object, as [`Question::object`](grant::Question::object) gives it.
    pub object: Option<String>,
    /// How long ago.
    pub age: Duration,
}

impl Default for Spending {
    fn default() -> Self {
        Spending { began: Instant::now(), spent: Mutex::default() }
    }
}

impl Spending {
    /// Counts what was allowed before, so that a restart gives no budget anew. What no rule of the grant knows any more counts
    /// for none.
    pub fn restore(&self, grant: &Grant, past: impl IntoIterator<Item = Past>) {
        let now = self.now();
        let mut spent = self.lock();
        for Past { rule, object, age } in past {
            let Some(index) = grant.rules().iter().position(|known| known.text() == rule) else { continue };
            let at = now.saturating_sub(micros(age));
            spent.spend(index, grant.rules()[index].budget(), object.as_deref(), at);
        }
    }

    /// Microseconds since this began.
    pub(crate) fn now(&self) -> i64 {
        micros(self.began.elapsed())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Spent> {
        // A panic in between leaves a count, and a count is always whole.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
