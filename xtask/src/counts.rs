//! How many tests passed, failed and were skipped, as the runners say it themselves.

use std::ops::AddAssign;

use anyhow::{Context, Result};

/// Tests counted over one or more runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Counts {
    /// These counts with `skipped` of the passed tests counted as what they are: tests that said that they cannot run
    /// here and returned. More of them than passed means that the counts or the list of the skipped are wrong.
    pub(crate) fn with_skipped(mut self, skipped: u64) -> Result<Counts> {
        let passed = self.passed.checked_sub(skipped);
        self.passed = passed.with_context(|| format!("{skipped} tests were skipped, but {self}"))?;
        self.skipped += skipped;
        Ok(self)
    }
}

/// What the runner that wrote `output` says at its end: cargo-nextest in one summary, cargo's own runner in one line
/// for each program, which are added up. `None` when there is neither: then no test has run, which is never a success.
pub(crate) fn in_output(output: &str) -> Option<Counts> {
    let mut nextest = None;
    let mut own: Option<Counts> = None;
    for line in output.lines() {
        let line = without_colours(line);
        let line = line.trim();
        if let Some(list) = line.strip_prefix("test result: ") {
            *own.get_or_insert_default() += in_list(list);
        } else if let Some(rest) = line.strip_prefix("Summary") {
            let list = rest.split_once(" tests run: ").or_else(|| rest.split_once(" test run: "));
            nextest = list.map(|(_, list)| in_list(list)).or(nextest);
        }
    }
    // Under cargo-nextest the lines of cargo's own runner are those of single tests that failed.
    nextest.or(own)
}

/// Reads `3 passed (1 slow), 1 failed, 2 skipped` and `ok. 3 passed; 0 failed; 1 ignored`.
fn in_list(list: &str) -> Counts {
    let mut counts = Counts::default();
    let words: Vec<&str> = list.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<u64>() else { continue };
        match pair[1] {
            "passed" => counts.passed += number,
            // "timed out" and "exec failed" are nextest's further ways to fail.
            "failed" | "timed" | "exec" => counts.failed += number,
            "skipped" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // An escape of the form ESC [ … letter.
            for inner in characters.by_ref() {
                if inner.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn a_test_that_said_that_it_cannot_run_has_not_passed() {
        let counts = Counts { passed: 5, failed: 1, skipped: 2 };
        assert_eq!(counts.with_skipped(0).unwrap(), counts);
        assert_eq!(counts.with_skipped(3).unwrap(), Counts { passed: 2, failed: 1, skipped: 5 });
        assert!(counts.with_skipped(6).is_err());
    }

    #[test]
    fn summaries_of_both_runners_are_read() {
        for (output, expected) in [
            ("     Summary [   0.005s] 3 tests run: 3 passed, 1 skipped\n", counts(3, 0, 1)),
            ("     Summary [   0.005s] 1 test run: 1 passed, 0 skipped\n", counts(1, 0, 0)),
            (
                "     Summary [   9.1s] 7/9 tests run: 4 passed (1 slow, 1 flaky), 1 failed, 1 exec failed, 1 timed out, 2 skipped",
                counts(4, 3, 2),
            ),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped",
                counts(2, 0, 0),
            ),
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\ntest result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
                counts(4, 2, 1),
            ),
            (
                "test result: FAILED. 0 passed; 1 failed; 0 ignored\n     Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped",
                counts(1, 1, 0),
            ),
            ("error: could not compile", None),
        ] {
            assert_eq!(in_output(output), expected, "{output}");
        }
    }
}
