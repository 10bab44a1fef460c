//! Takes memory until there is none.

use std::hint::black_box;

use xapiary_sdk::{Outcome, plugin};

const MEBIBYTE: usize = 1 << 20;

struct Guest;

#[plugin(manifest = r#"
name = "out_of_memory"
version = "0.1.0"
contract = "0.1.0"
description = "Takes memory until there is none"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]
"#)]
impl Guest {
    #[on("any")]
    fn any() -> Outcome {
        let mut taken = Vec::new();
        loop {
            // Ones, since zeroed memory need not be touched to be had.
            taken.push(black_box(vec![1_u8; MEBIBYTE]));
        }
    }
}
