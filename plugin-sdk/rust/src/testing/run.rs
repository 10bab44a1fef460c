//! What came of a delivery in a test.

use std::fmt;

use crate::log::Level;
use crate::{Failure, Outcome, Value};

/// What a plugin did with one event. The assertions print all of it when they fail.
///
/// ```no_run
/// # fn check<P: xapiary_sdk::Plugin>(mut world: xapiary_sdk::testing::World<P>) {
/// let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
/// run.assert_done().assert_calls(["Async.VM.start(web, false, false)"]);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    /// The subscription that heard the event.
    pub subscription: String,
    /// How the plugin ended.
    pub outcome: Outcome,
    /// The calls that it made, in order.
    pub calls: Vec<Call>,
    /// What it logged, in order.
    pub log: Vec<Line>,
}

/// A call to the pool. Its text is that of a line of code, with objects by their names: `VM.add_tags(web, "stopped")`, and
/// `Async.VM.start(web, false, false)` for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method, `VM.start`.
    pub method: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
    /// The arguments as a report shows them.
    pub(super) shown: Vec<String>,
    /// Whether it was started as a task.
    pub asynchronous: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.asynchronous { "Async." } else { "" };
        write!(f, "{way}{}({})", self.method, self.shown.join(", "))
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.level, self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
    }
}

impl Run {
    /// The calls as text.
    pub fn calls(&self) -> Vec<String> {
        self.calls.iter().map(ToString::to_string).collect()
    }

    /// The plugin is done with the event.
    #[track_caller]
    pub fn assert_done(&self) -> &Self {
        assert!(self.outcome.is_ok(), "the plugin is not done:\n{self}");
        self
    }

    /// The plugin asks for another try, with a reason that contains this.
    #[track_caller]
    pub fn assert_retries(&self, why: &str) -> &Self {
        let retries = matches!(&self.outcome, Err(Failure::Retry { why: told, .. }) if told.contains(why));
        assert!(retries, "the plugin does not ask for another try because of {why:?}:\n{self}");
        self
    }

    /// The plugin gives the event up, with a reason that contains this.
    #[track_caller]
    pub fn assert_gave_up(&self, why: &str) -> &Self {
        let gave_up = matches!(&self.outcome, Err(Failure::GiveUp(told)) if told.contains(why));
        assert!(gave_up, "the plugin does not give up because of {why:?}:\n{self}");
        self
    }

    /// The plugin made these calls, in this order, and no others.
    #[track_caller]
    pub fn assert_calls<const N: usize>(&self, calls: [&str; N]) -> &Self {
        assert!(self.calls() == calls, "the calls are not\n  {}\nbut:\n{self}", calls.join("\n  "));
        self
    }

    /// The plugin called nothing.
    #[track_caller]
    pub fn assert_no_calls(&self) -> &Self {
        assert!(self.calls.is_empty(), "the plugin called the pool:\n{self}");
        self
    }

    /// The plugin logged a line that contains this.
    #[track_caller]
    pub fn assert_logged(&self, text: &str) -> &Self {
        let logged = self.log.iter().any(|line| line.to_string().contains(text));
        assert!(logged, "no line of the log contains {text:?}:\n{self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  subscription: {}", self.subscription)?;
        for call in &self.calls {
            writeln!(f, "  call: {call}")?;
        }
        for line in &self.log {
            writeln!(f, "  log: {line}")?;
        }
        match &self.outcome {
            Ok(()) => write!(f, "  outcome: done"),
            Err(Failure::Retry { after, why }) => write!(f, "  outcome: another try after {after:?}: {why}"),
            Err(Failure::GiveUp(why)) => write!(f, "  outcome: given up: {why}"),
        }
    }
}
