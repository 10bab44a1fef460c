//! Does nothing. What it costs is what a delivery costs.

use xapiary_sdk::{Outcome, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "no_op"
version = "0.1.0"
contract = "0.1.0"
description = "Does nothing"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any() -> Outcome {
        Ok(())
    }
}
