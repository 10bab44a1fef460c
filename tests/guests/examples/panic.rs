//! Panics.

use xapiary_sdk::{Event, Outcome, Plugin};

#[derive(Default)]
struct Guest;

impl Plugin for Guest {
    fn handle(&self, _event: &Event) -> Outcome {
        panic!("a guest panics on purpose");
    }
}

xapiary_sdk::plugin!(
    Guest,
    manifest = r#"
name = "panic"
version = "0.1.0"
contract = "0.1.0"
description = "Panics"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#
);
