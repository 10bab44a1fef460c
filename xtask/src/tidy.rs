//! `cargo xtask tidy`: reads the tracked files and points at what has no place in them.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Rust files past this many lines are named, as a hint: does one room hold two things?
const SECOND_LOOK_LINES: usize = 500;

/// Fails on machine paths; only hints at long files.
pub(crate) fn run() -> Result<()> {
    let listed =
        Command::new("git").args(["ls-files", "-z"]).output().context("listing the tracked files")?;
    if !listed.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let unwanted = unwanted_texts();
    let mut found = 0;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        // What is not text is not read.
        let Ok(text) = std::fs::read_to_string(name) else { continue };
        for (index, line) in text.lines().enumerate() {
            for (unwanted, what) in unwanted.iter().filter(|(unwanted, _)| line.contains(unwanted.as_str())) {
                println!("    {name}:{}: {what}: {unwanted}", index + 1);
                found += 1;
            }
        }
        let lines = text.lines().count();
        if lines > SECOND_LOOK_LINES && name.ends_with(".rs") && !name.contains("/generated/") {
            println!("    hint: {name} has {lines} lines");
        }
    }
    if found > 0 {
        bail!("{found} lines hold what has no place in the tree");
    }
    Ok(())
}

/// What no tracked file may hold: paths of the machine that it was written on.
fn unwanted_texts() -> Vec<(String, &'static str)> {
    let mut unwanted = vec![(format!("{}/", crate::place::root().display()), "a path of this machine")];
    if let Some(home) = std::env::var("HOME").ok().filter(|home| home.len() > 1) {
        unwanted.push((format!("{home}/"), "a path of this machine"));
    }
    unwanted
}
