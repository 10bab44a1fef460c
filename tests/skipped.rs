//! How a test that cannot run here says so. Taken in by path where it is needed; it needs nothing but this file.
//!
//! The line goes to the standard output, which a test runner hides when a test passes, and to the file that
//! `XAPIARY_SKIPPED` names. `cargo xtask test` sets that variable, shows the lines, and does not count these tests as
//! passed.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that the running test is skipped, and why. The test has to return after that; call it once in a test.
///
/// # Panics
/// When the file that was asked for cannot be written: a skip that nobody hears of would look like a success.
pub(crate) fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    print!("skipped: {line}");
    if let Some(path) = std::env::var_os("XAPIARY_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write, so that lines of tests that run side by side stay whole.
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a skipped test can be noted");
    }
}
