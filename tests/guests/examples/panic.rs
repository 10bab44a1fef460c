//! Panics.

use xapiary_sdk::{Outcome, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "panic"
version = "0.1.0"
contract = "0.1.0"
description = "Panics"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any() -> Outcome {
        panic!("a guest panics on purpose");
    }
}
