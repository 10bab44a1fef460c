//! Why a journal takes no more calls: it is broken, or closed. Shared by all its threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::Error;

#[derive(Debug, Default)]
pub(crate) struct Fate {
    broken: OnceLock<Error>,
    closed: AtomicBool,
}

impl Fate {
    /// Makes the first lasting failure the answer to every later call; a passing error changes nothing.
    pub(crate) fn note(&self, error: &Error) {
        if error.is_broken() {
            self.broken.get_or_init(|| error.clone());
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn broken(&self) -> Option<Error> {
        self.broken.get().cloned()
    }

    /// What to tell a caller whose thread does not answer.
    pub(crate) fn verdict(&self) -> Error {
        self.broken().unwrap_or_else(|| match self.closed.load(Ordering::Acquire) {
            true => Error::Closed,
            false => Error::Broken {
                doing: "waiting for one of its threads",
                source: Arc::new(std::io::Error::other("the thread is gone")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_outweighs_closed_and_the_first_failure_stays() {
        let broken = |doing| Error::Broken { doing, source: Arc::new(std::io::Error::other("test")) };
        let fate = Fate::default();
        assert!(fate.verdict().is_broken(), "a thread that is gone without a word is a failure");
        fate.close();
        assert!(matches!(fate.verdict(), Error::Closed));
        fate.note(&Error::Full { doing: "testing", source: Arc::new(std::io::Error::other("test")) });
        assert!(fate.broken().is_none());
        fate.note(&broken("first"));
        fate.note(&broken("second"));
        assert!(matches!(fate.verdict(), Error::Broken { doing: "first", .. }));
    }
}
