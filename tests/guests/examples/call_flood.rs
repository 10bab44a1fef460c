//! Calls the host without end: each call is cheap and none is the last.

use xapiary_sdk::{Outcome, plugin, settings};

struct Guest;

#[plugin(manifest = r#"
name = "call_flood"
version = "0.1.0"
contract = "0.1.0"
description = "Calls the host without end"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[settings.nothing]
type = "integer"
default = 0
description = "What it asks for again and again"
"#)]
impl Guest {
    #[on("any")]
    fn any() -> Outcome {
        loop {
            settings::get::<u64>("nothing")?;
        }
    }
}
