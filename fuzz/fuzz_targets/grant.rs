#![no_main]

#[path = "../src/grant.rs"]
mod grant_decisions;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| grant_decisions::decisions(bytes));
