//! Computes without end and calls nobody, so that only the engine can stop it.

use std::hint::black_box;

use xapiary_sdk::{Event, Outcome, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "loop_forever"
version = "0.1.0"
contract = "0.1.0"
description = "Computes without end"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        let mut number = event.sequence;
        loop {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}
