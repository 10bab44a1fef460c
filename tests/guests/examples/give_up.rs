//! Gives every event up.

use xapiary_sdk::{Event, Failure, Outcome, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "give_up"
version = "0.1.0"
contract = "0.1.0"
description = "Gives every event up"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        Err(Failure::give_up(format!("gave up event {} on purpose", event.sequence)))
    }
}
