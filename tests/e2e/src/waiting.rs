//! Waiting for a condition.

use std::time::{Duration, Instant};

/// How long anything may take that ought to take well under a second; generous, since the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How long until a condition that nobody announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks again and again until `look` finds what it looks for.
///
/// # Panics
/// When that does not happen within the limit, with `what` was waited for and what was seen last.
pub async fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => {
                assert!(Instant::now() < deadline, "{what}: not within {limit:?}; last seen: {seen}");
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
