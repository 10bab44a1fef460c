//! Writes far more log than anybody wants.

use xapiary_sdk::{Outcome, info, plugin};

const LINES: u32 = 100_000;
const LINE_BYTES: usize = 1_000;

struct Guest;

#[plugin(manifest = r#"
name = "log_flood"
version = "0.1.0"
contract = "0.1.0"
description = "Writes far more log than anybody wants"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any() -> Outcome {
        let line = "x".repeat(LINE_BYTES);
        for number in 0..LINES {
            info!(number = number, "{line}");
        }
        Ok(())
    }
}
