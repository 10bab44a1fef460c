//! Succeeds on the third attempt.

use std::time::Duration;

use xapiary_sdk::{Event, Failure, Outcome, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "retry_twice"
version = "0.1.0"
contract = "0.1.0"
description = "Succeeds on the third attempt"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        if event.attempt < 3 {
            let why = format!("attempt {} fails on purpose", event.attempt);
            return Err(Failure::retry(Duration::from_millis(10), why));
        }
        info!(attempt = event.attempt, "succeeded");
        Ok(())
    }
}
