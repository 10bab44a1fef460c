//! Running other programs, with a line that says what is being done and how long it took.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A silent command is reported on this often, so that nobody takes it for a hung one.
const STILL_RUNNING_EVERY: Duration = Duration::from_secs(10);

/// Says that `name` begins, does it, and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(_) => println!("    {name}: done in {seconds:.1} s"),
        Err(error) => println!("    {name}: FAILED after {seconds:.1} s: {error:#}"),
    }
    outcome
}

/// A cargo command line, started from the root of the tree.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(crate::place::root()).stdin(Stdio::null());
    // Cargo tells a program that it runs about its package. Build scripts that look at these variables would be run
    // anew, with all that hangs on them, each time somebody builds with and without `cargo xtask`.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command that speaks for itself; fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("    $ {line}");
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a command whose output is of interest only when it fails; says now and then that it is still at work.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("    $ {line}");
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.with_context(|| format!("starting `{line}`"))?;
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = loop {
        match end.recv_timeout(STILL_RUNNING_EVERY) {
            Ok(output) => break output.with_context(|| format!("waiting for `{line}`"))?,
            Err(RecvTimeoutError::Timeout) => {
                println!("    still running after {} s", start.elapsed().as_secs());
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that waited for `{line}` died"),
        }
    };
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("`{line}` ended with {}", output.status);
    }
    Ok(())
}

/// Runs a command, passes its output on as it comes, and gives back all that it wrote and whether it succeeded.
pub(crate) fn run_and_listen(command: &mut Command) -> Result<(String, bool)> {
    let line = shown(command);
    println!("    $ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{line}`"))?;
    let stderr = child.stderr.take().context("the command has no standard error")?;
    let stdout = child.stdout.take().context("the command has no standard output")?;
    let errors = std::thread::spawn(move || pass_on(stderr, std::io::stderr()));
    let mut heard = pass_on(stdout, std::io::stdout())?;
    match errors.join() {
        Ok(text) => heard.push_str(&text?),
        Err(_) => bail!("the thread that read the output of `{line}` died"),
    }
    let status = child.wait().with_context(|| format!("waiting for `{line}`"))?;
    Ok((heard, status.success()))
}

/// `always` when a person looks on, for programs that would drop their colours because we listen too.
pub(crate) fn colour() -> &'static str {
    if std::io::stderr().is_terminal() { "always" } else { "never" }
}

fn pass_on(from: impl std::io::Read, mut to: impl Write) -> Result<String> {
    let mut reader = BufReader::new(from);
    let mut heard = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("reading a command's output")? > 0 {
        to.write_all(&line).and_then(|()| to.flush()).context("passing a command's output on")?;
        heard.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(heard)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
