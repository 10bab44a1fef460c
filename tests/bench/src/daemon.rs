//! The program `xapiary run` as a child: started, listened to, weighed, stopped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::memory::Memory;

/// How long any line may take that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    started: Instant,
    lines: mpsc::UnboundedReceiver<(Instant, Value)>,
}

/// What it says of itself when it has stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// Deliveries whose way was timed.
    pub(crate) deliveries: u64,
    /// From the complete reply to the start of the delivery.
    pub(crate) start_p50: Duration,
    /// The same, for 99 of 100.
    pub(crate) start_p99: Duration,
}

impl Daemon {
    /// Starts it. Its log comes as one JSON object a line.
    pub(crate) fn start(program: &Path, config: &Path) -> Result<Self> {
        Self::spawn(Command::new(program), program, config)
    }

    /// Starts it with all its threads on the first core.
    pub(crate) fn start_on_one_core(program: &Path, config: &Path) -> Result<Self> {
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", "0"]).arg(program);
        Self::spawn(taskset, program, config)
    }

    fn spawn(mut command: Command, program: &Path, config: &Path) -> Result<Self> {
        let started = Instant::now();
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(config)
            .env_remove("XAPIARY_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stderr = child.stderr.take().context("the daemon has no standard error")?;
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let heard = Instant::now();
                match serde_json::from_str(&line) {
                    // Nobody listens any more when the daemon is being dropped.
                    Ok(line) => _ = sender.send((heard, line)),
                    // What is said before the log begins.
                    Err(_) => eprintln!("    {line}"),
                }
            }
        });
        Ok(Daemon { child, started, lines })
    }

    /// Waits for the line with this message, and tells how long after the start it came.
    pub(crate) async fn says(&mut self, message: &str) -> Result<Duration> {
        let (heard, _) = self.line(message).await?;
        Ok(heard.saturating_duration_since(self.started))
    }

    /// CPU time that it has used so far, of all threads, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // The name in parentheses may hold anything; fields are counted after it, the state being the third.
        let (_, after) = stat.rsplit_once(')').context("reading the daemon's CPU time")?;
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    /// Asks it to stop, and gives what it says when it has.
    pub(crate) async fn stop(mut self) -> Result<Closing> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("asking the daemon to stop")?;
        let (_, line) = self.line("stopped").await?;
        let status = self.ended().await?;
        ensure!(status.success(), "the daemon ended with {status}");
        let number =
            |name: &str| line[name].as_u64().with_context(|| format!("its closing line has no {name}"));
        Ok(Closing {
            deliveries: number("deliveries")?,
            start_p50: Duration::from_micros(number("start_p50_us")?),
            start_p99: Duration::from_micros(number("start_p99_us")?),
        })
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing the daemon")?;
        self.child.wait().context("waiting for the daemon")?;
        Ok(())
    }

    async fn line(&mut self, message: &str) -> Result<(Instant, Value)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut last = Value::Null;
        loop {
            match tokio::time::timeout_at(deadline, self.lines.recv()).await {
                Ok(Some((heard, line))) if line["message"] == message => return Ok((heard, line)),
                Ok(Some((_, line))) => {
                    if matches!(line["level"].as_str(), Some("ERROR")) {
                        eprintln!("    xapiary: {line}");
                    }
                    last = line;
                }
                Ok(None) => bail!("the daemon ended before it said {message:?}; its last line was {last}"),
                Err(_) => bail!("the daemon did not say {message:?} in time; its last line was {last}"),
            }
        }
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for the daemon")? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "the daemon says that it has stopped, and does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already unless something failed; then nothing of it is wanted any more.
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            _ = self.child.wait();
        }
    }
}
