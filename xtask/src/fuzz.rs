//! `cargo xtask fuzz TARGET`: feeds the decoders what libFuzzer makes of our recorded exchanges, and the decision on calls what
//! it makes of `fuzz/seeds`. Installs nothing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{place, step};

/// Longer recordings make poor seeds: changes to them rarely meet anything new.
const SEED_BYTES_MAX: usize = 64 * 1024;
/// Longest input that is made.
const INPUT_BYTES_MAX: usize = 128 * 1024;
/// An input that takes longer than so many seconds is a finding.
const SLOW_SECONDS: u64 = 10;
/// More resident memory than this is a finding.
const MEMORY_MIB: u64 = 2048;

/// What is fed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// An answer on the XML wire
    XmlReply,
    /// An answer on the JSON wire
    JsonReply,
    /// An answer to event.from on either wire, down to typed records
    EventBatch,
    /// The result of a task
    XmlValue,
    /// Grants and calls, decided and compared with a slow reference
    Grant,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::XmlReply => "xml-reply",
            Target::JsonReply => "json-reply",
            Target::EventBatch => "event-batch",
            Target::XmlValue => "xml-value",
            Target::Grant => "grant",
        }
    }

    /// The part of a recorded answer that this target is fed, if any. `name` is `NN-what.WIRE`.
    fn seed<'b>(self, name: &str, body: &'b [u8]) -> Option<&'b [u8]> {
        let (xml, json) = (name.ends_with(".xml"), name.ends_with(".json"));
        match self {
            Target::XmlReply => xml.then_some(body),
            Target::JsonReply => json.then_some(body),
            Target::EventBatch => name.contains("event-from").then_some(body),
            Target::XmlValue => {
                // What stands between the envelope's parts is written as a task's result is.
                let start = find(body, b"<name>Value</name>")? + b"<name>Value</name>".len();
                body.get(start..find(body, b"</member></struct></value></param>")?)
            }
            Target::Grant => None,
        }
    }
}

/// Runs one target for `seconds`, starting from our recordings and from what earlier runs found worth keeping.
pub(crate) fn run(target: Target, seconds: u64) -> Result<()> {
    if !has_cargo_fuzz() {
        bail!(
            "cargo-fuzz is not installed, and a C++ compiler is needed too: run `cargo install cargo-fuzz --locked`"
        );
    }
    let corpus = place::root().join("fuzz/corpus").join(target.name());
    let seeds = match target {
        Target::Grant => step::step("seeds", || own_seeds(target, &corpus))?,
        _ => step::step("seeds from the recorded exchanges", || seeds(target, &corpus))?,
    };
    println!("    {seeds} seeds in {}", corpus.display());
    let mut command = step::cargo(["fuzz", "run", "--sanitizer", "none", target.name(), "--"]);
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={SLOW_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        "-print_final_stats=1".to_owned(),
    ]);
    step::step(&format!("fuzzing {} for {seconds} s", target.name()), || step::run(&mut command))
}

fn has_cargo_fuzz() -> bool {
    let output = Command::new("cargo").args(["fuzz", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Copies the seeds that were written by hand; how many.
fn own_seeds(target: Target, corpus: &Path) -> Result<usize> {
    std::fs::create_dir_all(corpus).with_context(|| format!("making {}", corpus.display()))?;
    let kept = place::root().join("fuzz/seeds").join(target.name());
    let entries = std::fs::read_dir(&kept).with_context(|| format!("listing {}", kept.display()))?;
    let mut copied = 0;
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", kept.display()))?;
        let to = corpus.join(entry.file_name());
        std::fs::copy(entry.path(), &to).with_context(|| format!("writing {}", to.display()))?;
        copied += 1;
    }
    Ok(copied)
}

/// Writes the seeds; how many.
fn seeds(target: Target, corpus: &Path) -> Result<usize> {
    std::fs::create_dir_all(corpus).with_context(|| format!("making {}", corpus.display()))?;
    let recorded = place::root().join("crates/xapi/tests/wire");
    let entries = std::fs::read_dir(&recorded).with_context(|| format!("listing {}", recorded.display()))?;
    let mut written = 0;
    for entry in entries {
        let path = entry.with_context(|| format!("listing {}", recorded.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".response") else { continue };
        let response = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let head = find(&response, b"\r\n\r\n").map(|at| at + 4);
        let Some(body) =
            head.or_else(|| find(&response, b"\n\n").map(|at| at + 2)).and_then(|at| response.get(at..))
        else {
            bail!("{} has no empty line after its head", path.display());
        };
        if let Some(seed) = target.seed(name, body).filter(|seed| seed.len() <= SEED_BYTES_MAX) {
            let seed_path = corpus.join(name);
            std::fs::write(&seed_path, seed).with_context(|| format!("writing {}", seed_path.display()))?;
            written += 1;
        }
    }
    if written == 0 {
        bail!("no recorded exchange is a seed of {}", target.name());
    }
    Ok(written)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
