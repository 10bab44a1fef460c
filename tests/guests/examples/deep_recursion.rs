//! Calls itself until the stack ends.

use std::hint::black_box;

use xapiary_sdk::{Event, Outcome, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "deep_recursion"
version = "0.1.0"
contract = "0.1.0"
description = "Calls itself until the stack ends"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        info!("came back from depth {}", deeper(black_box(event.sequence)));
        Ok(())
    }
}

/// Keeps something on the stack at each depth, so that no compiler makes a loop of it.
#[expect(unconditional_recursion, reason = "this guest is for the stack limit")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    deeper(depth + 1) + frame[(depth % 16) as usize]
}
