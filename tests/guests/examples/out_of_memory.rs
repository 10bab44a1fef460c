//! Takes memory until there is none.

use std::hint::black_box;

use xapiary_sdk::{Event, Outcome, Plugin};

const MEBIBYTE: usize = 1 << 20;

#[derive(Default)]
struct Guest;

impl Plugin for Guest {
    fn handle(&self, _event: &Event) -> Outcome {
        let mut taken = Vec::new();
        loop {
            // Ones, since zeroed memory need not be touched to be had.
            taken.push(black_box(vec![1_u8; MEBIBYTE]));
        }
    }
}

xapiary_sdk::plugin!(
    Guest,
    manifest = r#"
name = "out_of_memory"
version = "0.1.0"
contract = "0.1.0"
description = "Takes memory until there is none"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#
);
