//! Does nothing. What it costs is what a delivery costs.

use xapiary_sdk::{Event, Outcome, Plugin};

#[derive(Default)]
struct Guest;

impl Plugin for Guest {
    fn handle(&self, _event: &Event) -> Outcome {
        Ok(())
    }
}

xapiary_sdk::plugin!(
    Guest,
    manifest = r#"
name = "no_op"
version = "0.1.0"
contract = "0.1.0"
description = "Does nothing"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#
);
