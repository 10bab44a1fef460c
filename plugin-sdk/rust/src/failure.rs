//! What the daemon shall do with a delivery that did not work out.

use std::time::Duration;

use crate::{Error, Fault};

/// How soon a delivery is tried again when `?` met a transport fault. The daemon reconnects by itself within that time
/// when the pool is there; it may wait longer than it was asked to.
pub const TRANSPORT_RETRY: Duration = Duration::from_secs(10);

/// How a delivery ends: `Ok` is done for good, anything else is for the daemon to act on.
pub type Outcome = Result<(), Failure>;

/// A delivery that did not work out.
///
/// Any error becomes one by `?`. An [`Error`] of the SDK with a transport fault is tried again after
/// [ten seconds](TRANSPORT_RETRY), since nothing was done and the pool may come back. A budget of the grant that has [room later](Error::wait) is waited for. Everything else is given up, with the
/// error's text, its causes and its advice, since the same would fail again. Whoever knows better matches on the error and
/// says so.
///
/// ```
/// use std::time::Duration;
/// use xapiary_sdk::{Failure, Outcome};
///
/// fn wait_for(address: &str, attempt: u32) -> Outcome {
///     let port: u16 = address.trim_start_matches("10.0.0.1:").parse()?;
///     if port == 0 && attempt < 3 {
///         return Err(Failure::retry(Duration::from_secs(5), "it is not there yet"));
///     }
///     Ok(())
/// }
///
/// assert_eq!(wait_for("10.0.0.1:x", 1), Err(Failure::give_up("invalid digit found in string")));
/// ```
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

// `Failure` is itself no `std::error::Error`, so that this can be for all of them.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        judge(&error)
    }
}

#[cold]
fn judge(error: &(dyn std::error::Error + 'static)) -> Failure {
    if let Some(error) = error.downcast_ref::<Error>() {
        return match error.fault {
            Fault::Transport => Failure::retry(TRANSPORT_RETRY, error.to_string()),
            Fault::Limit if let Some(wait) = error.wait() => {
                Failure::retry(wait, format!("{error}; {}", error.advice))
            }
            _ if error.advice.is_empty() => Failure::GiveUp(error.to_string()),
            _ => Failure::GiveUp(format!("{error}; {}", error.advice)),
        };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    Failure::GiveUp(text)
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
    fn a_budget_that_has_room_later_is_waited_for() {
        let used_up = |params: &[&str]| {
            let params = params.iter().map(|&param| param.to_owned()).collect();
            Failure::from(Error { code: "LIMIT".into(), params, ..error(Fault::Limit, "raise it") })
        };
        assert_eq!(
            used_up(&["VM.start", "per_minute", "1500"]),
            Failure::retry(
                Duration::from_millis(1500),
                "a limit is used up: LIMIT (VM.start, per_minute, 1500); raise it"
            )
        );
        for params in [&["VM.start", "per_event"][..], &["calls"], &["a", "b", "soon"]] {
            assert!(matches!(used_up(params), Failure::GiveUp(_)), "{params:?}");
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
    fn an_error_of_anybody_is_given_up_with_its_causes() {
        let inner = "x".parse::<u8>().unwrap_err();
        let outer = std::io::Error::other(inner);
        assert_eq!(Failure::from(outer), Failure::give_up("invalid digit found in string"));
    }
}
