//! Tests that cannot run here: they say so in a file, because a runner counts them as passed and hides what they print.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::place;

/// The variable that names the file. `tests/skipped.rs` writes to it.
const VARIABLE: &str = "XAPIARY_SKIPPED";

/// A file that waits for what tests have to say.
pub(crate) struct Skips {
    file: PathBuf,
}

impl Skips {
    /// An empty file for one run of the tests.
    pub(crate) fn listen() -> Result<Skips> {
        Skips::at(place::target()?.join("skipped"))
    }

    fn at(file: PathBuf) -> Result<Skips> {
        // Made now and not by the first test: that it is there at the end shows that nothing went wrong with it.
        std::fs::write(&file, "").with_context(|| format!("making {} for skipped tests", file.display()))?;
        Ok(Skips { file })
    }

    /// Has the tests that `command` runs write to the file.
    pub(crate) fn asked_of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(VARIABLE, &self.file)
    }

    /// One line for each test that was skipped: its name and why. Sorted, since tests run side by side.
    pub(crate) fn told(self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("reading in {} which tests were skipped", self.file.display()))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

#[cfg(test)]
#[path = "../../tests/skipped.rs"]
mod skipped;

#[cfg(test)]
mod tests {
    use super::*;

    /// Does nothing but be skipped when the test below runs it; by itself it has nothing to say.
    #[test]
    fn skipped_when_asked() {
        if std::env::var_os("XAPIARY_SKIP_ME").is_some() {
            skipped::skipped("it was asked to");
        }
    }

    #[test]
    fn what_a_test_says_arrives_and_what_an_earlier_run_said_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skipped");
        std::fs::write(&file, "an earlier run: why\n").unwrap();
        let skips = Skips::at(file).unwrap();
        for _ in 0..2 {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "skips::tests::skipped_when_asked", "--test-threads=2"])
                .env("XAPIARY_SKIP_ME", "yes");
            assert!(skips.asked_of(&mut command).output().unwrap().status.success());
        }
        assert_eq!(skips.told().unwrap(), ["skips::tests::skipped_when_asked: it was asked to"; 2]);
    }
}
