//! What the daemon shall do with a delivery that did not work out.

use std::time::Duration;

use crate::bindings::xapiary::plugin::events as wire;
use crate::{Error, Fault};

/// How soon a delivery is tried again when `?` met a transport fault. The daemon reconnects by itself within that time
/// when the pool is there; it may wait longer than it was asked to.
pub const TRANSPORT_RETRY: Duration = Duration::from_secs(10);

/// How a delivery ends: `Ok` is done for good, anything else is for the daemon to act on.
pub type Outcome = Result<(), Failure>;

/// A delivery that did not work out.
///
/// An [`Error`] becomes one by `?`: a transport fault is tried again after [ten seconds](TRANSPORT_RETRY), since nothing was
/// done and the pool may come back. Everything else is given up, with the error's text, its parameters and its advice, since
/// the same call would fail again. Whoever knows better matches on the error and says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Deliver the event again later. What this attempt wrote to the store is forgotten.
    Retry {
        /// Not before so long.
        after: Duration,
        /// The reason, for the person who reads the log.
        why: String,
    },
    /// Trying again cannot help: the delivery becomes a dead letter, with this reason.
    GiveUp(String),
}

impl Failure {
    /// Asks for another delivery of the same event, not before `after` has passed.
    pub fn retry(after: Duration, why: impl Into<String>) -> Failure {
        Failure::Retry { after, why: why.into() }
    }

    /// Makes the delivery a dead letter, which stays until a person acts on it.
    pub fn give_up(why: impl Into<String>) -> Failure {
        Failure::GiveUp(why.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error.fault {
            Fault::Transport => Failure::retry(TRANSPORT_RETRY, error.to_string()),
            _ if error.advice.is_empty() => Failure::GiveUp(error.to_string()),
            _ => Failure::GiveUp(format!("{error}; {}", error.advice)),
        }
    }
}

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> wire::Failure {
        match failure {
            Failure::Retry { after, why } => {
                let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                wire::Failure::Retry(wire::Pause { after, why })
            }
            Failure::GiveUp(why) => wire::Failure::GiveUp(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: Fault, advice: &str) -> Error {
        Error { fault, code: "CODE".into(), params: vec!["detail".into()], advice: advice.into() }
    }

    #[test]
    fn only_a_transport_fault_is_tried_again() {
        let retry = Failure::from(error(Fault::Transport, "wait for the pool"));
        assert_eq!(retry, Failure::retry(TRANSPORT_RETRY, "the pool could not be reached: CODE (detail)"));
        for fault in [Fault::Denied, Fault::Limit, Fault::Xapi, Fault::InDoubt, Fault::DryRun, Fault::Invalid]
        {
            assert!(matches!(Failure::from(error(fault, "")), Failure::GiveUp(_)), "{fault:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_line_that_would_allow_it() {
        let failure = Failure::from(error(Fault::Denied, "add call = [\"VM.start\"]"));
        assert_eq!(
            failure,
            Failure::give_up("the grant does not allow it: CODE (detail); add call = [\"VM.start\"]")
        );
    }

    #[test]
    fn a_pause_too_long_for_the_wire_is_as_long_as_the_wire_allows() {
        let wire::Failure::Retry(pause) = Failure::retry(Duration::MAX, "later").into() else {
            panic!("a retry stays a retry");
        };
        assert_eq!((pause.after, pause.why.as_str()), (u64::MAX, "later"));
    }
}
