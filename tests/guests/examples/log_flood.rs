//! Writes far more log than anybody wants.

use xapiary_sdk::{Event, Outcome, Plugin, info};

const LINES: u32 = 100_000;
const LINE_BYTES: usize = 1_000;

#[derive(Default)]
struct Guest;

impl Plugin for Guest {
    fn handle(&self, _event: &Event) -> Outcome {
        let line = "x".repeat(LINE_BYTES);
        for number in 0..LINES {
            info!(number = number, "{line}");
        }
        Ok(())
    }
}

xapiary_sdk::plugin!(
    Guest,
    manifest = r#"
name = "log_flood"
version = "0.1.0"
contract = "0.1.0"
description = "Writes far more log than anybody wants"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#
);
