//! What a delivery comes back with: its outcome, what to store, what it said and what it used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::stop::Stop;

/// One finished run of a plugin.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Keys to write together with the acknowledgement. Empty unless the outcome is [`Outcome::Done`].
    pub state: Vec<StateWrite>,
    /// The last lines that the plugin (or the host about it) logged, oldest first.
    pub log: Vec<LogLine>,
    /// What it used.
    pub usage: Usage,
    /// What it read or tried to, fields by class. Empty unless it runs dry: then it says which lines its grant needs.
    pub reads: Reads,
}

/// Fields by class.
pub type Reads = BTreeMap<String, BTreeSet<String>>;

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The plugin returned without an error.
    Done,
    /// The plugin asks to be given the event again.
    Retry {
        /// Not before so long.
        after: Duration,
        /// The plugin's own words.
        why: String,
    },
    /// The plugin will not handle this event.
    GiveUp {
        /// The plugin's own words.
        why: String,
    },
    /// The plugin did not come to an end by itself.
    Stopped(Stop),
}

/// One key to set or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// The key, at most 512 bytes.
    pub key: String,
    /// The new value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// Who wrote a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The plugin, through `log.write`.
    Plugin,
    /// The plugin's standard output.
    Stdout,
    /// The plugin's standard error; where panics are told.
    Stderr,
    /// The host, about the plugin: a refused call, a limit.
    Host,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What was done.
    Info,
    /// What should be looked at.
    Warn,
    /// What failed.
    Error,
}

/// One log line, bounded by the delivery's log limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub source: Source,
    /// How much it matters.
    pub level: Level,
    /// The text. It comes from the plugin and may hold any character.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

impl fmt::Display for LogLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        write!(out, "{level}: {}", self.message)?;
        for (name, value) in &self.fields {
            write!(out, " {name}={value:?}")?;
        }
        Ok(())
    }
}

/// What a delivery used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the start of the sandbox to its end.
    pub wall: Duration,
    /// Time that the plugin itself ran, told in steps of the engine's tick; waiting in host calls is left out.
    pub cpu: Duration,
    /// The most linear memory it held at once, bytes.
    pub memory_peak: usize,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Calls and starts that reached the pool.
    pub pool_calls: u32,
    /// Calls that the grant refused.
    pub refused_calls: u32,
    /// Bytes of log that were dropped over the limit.
    pub log_dropped: usize,
}
