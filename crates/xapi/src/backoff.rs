//! When to try a login again. Pure: the caller brings the random number.

use std::time::Duration;

use crate::error::Error;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A refused password is tried again only rarely: an account behind a directory would be locked, and xapi itself
/// holds such logins back.
const REFUSED_FIRST: Duration = Duration::from_secs(60);
const REFUSED_LONGEST: Duration = Duration::from_secs(600);

/// The pause after `failures` failed logins in a row (1 or more), the last of which ended with `error`.
///
/// `random` is in 0.0..1.0 and spreads the pause over 75 to 125 % of its length.
#[must_use]
pub fn pause(error: &Error, failures: u32, random: f64) -> Duration {
    let (first, longest) =
        if advice(error).is_some() { (REFUSED_FIRST, REFUSED_LONGEST) } else { (FIRST, LONGEST) };
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(longest).mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0)
}

/// What a person must do about a failed login that no waiting mends; none for those that pass.
#[must_use]
pub fn advice(error: &Error) -> Option<&'static str> {
    if error.untrusted() {
        Some("look at its certificate, and pin it if it is right")
    } else if let Error::OtherPool { .. } = error {
        Some("correct the address, or take the host out of the members")
    } else if error.is("SESSION_AUTHENTICATION_FAILED") {
        Some("correct the user or the password; it is tried rarely, so that the account is not locked")
    } else if error.is("SESSION_AUTHORIZATION_FAILED") {
        Some("give the user a role in the pool")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Failure;

    fn refused(code: &str) -> Error {
        Error::Xapi { method: "session.login_with_password".into(), failure: Failure::new(code, ["root"]) }
    }

    #[test]
    fn a_pool_that_is_away_is_asked_again_after_1_to_30_seconds() {
        let booting = refused("HOST_STILL_BOOTING");
        let pauses: Vec<u64> = (1..9).map(|failures| pause(&booting, failures, 0.5).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_wrong_password_is_tried_at_most_once_in_45_seconds() {
        let wrong = refused("SESSION_AUTHENTICATION_FAILED");
        for failures in 1..20 {
            let pause = pause(&wrong, failures, 0.0);
            assert!(pause >= Duration::from_secs(45) && pause <= Duration::from_secs(750), "{pause:?}");
        }
    }
}
