//! Why a plugin was stopped, in words for its author. Reads a trap and what the plugin last said; decides nothing.

use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};

use crate::report::{Level, LogLine, Source};

/// Why a plugin did not come to an end by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It panicked, and said so on standard error or in the log.
    #[error("the plugin panicked: {message}")]
    Panic {
        /// The panic's own words.
        message: String,
        /// Functions on its stack, innermost first.
        stack: Vec<String>,
    },
    /// It asked for more memory than it may have.
    #[error("the plugin ran out of memory: it asked for {wanted} bytes in all and may have {allowed}")]
    OutOfMemory {
        /// What it would have had, bytes.
        wanted: usize,
        /// What it may have, bytes.
        allowed: usize,
    },
    /// Its stack is used up.
    #[error("the plugin's stack is used up: a function calls itself too deeply")]
    StackOverflow {
        /// Functions on its stack, innermost first.
        stack: Vec<String>,
    },
    /// It ran for too long without waiting.
    #[error("the plugin used up its computing time of {} ms: it probably loops", .allowed.as_millis())]
    CpuTime {
        /// What it may use.
        allowed: Duration,
    },
    /// It took too long in all.
    #[error("the plugin did not end within its deadline of {} ms", .allowed.as_millis())]
    Deadline {
        /// What it may take.
        allowed: Duration,
        /// The host call in which it was waiting, where it was.
        waiting_in: Option<String>,
    },
    /// It called host functions too often.
    #[error("the plugin made more than {allowed} host calls")]
    HostCalls {
        /// What it may make.
        allowed: u64,
    },
    /// It holds too many objects and tasks.
    #[error("the plugin holds more than {allowed} objects and tasks at once: drop those that are not needed")]
    Handles {
        /// What it may hold.
        allowed: usize,
    },
    /// It ended its own process.
    #[error("the plugin exited by itself with status {status} instead of returning")]
    Exited {
        /// The status it gave.
        status: i32,
    },
    /// Any other trap.
    #[error("the plugin was stopped: {what}")]
    Trap {
        /// The trap in wasmtime's words, with what usually causes it.
        what: String,
        /// Functions on its stack, innermost first.
        stack: Vec<String>,
    },
    /// It could not be started.
    #[error("the plugin could not be started: {what}")]
    Start {
        /// The reason.
        what: String,
    },
}

/// Frames told in a report: enough to find the place, not enough to fill a log.
const FRAMES: usize = 12;

/// Finds the reason of an error that ended a run. `log` is what the plugin said before, oldest first.
pub(crate) fn classify(error: &wasmtime::Error, started: bool, log: &[LogLine]) -> Stop {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.clone();
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return Stop::Exited { status: exit.0 };
    }
    let stack = frames(error);
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Stop::StackOverflow { stack },
        // The compiler of most guest languages keeps a second stack in linear memory; it runs out first, downwards
        // over the start of memory.
        Some(Trap::MemoryOutOfBounds) if recursive(&stack) => Stop::StackOverflow { stack },
        Some(Trap::UnreachableCodeReached) => match panic_message(log) {
            Some(message) => Stop::Panic { message, stack },
            None => Stop::Trap { what: "it aborted without a message (unreachable code)".into(), stack },
        },
        Some(trap) => Stop::Trap { what: trap.to_string(), stack },
        None if started => Stop::Trap { what: chain(error), stack },
        None => Stop::Start { what: chain(error) },
    }
}

/// Whether the innermost frames repeat: a function that reaches itself again within the frames that are kept.
fn recursive(stack: &[String]) -> bool {
    stack
        .iter()
        .enumerate()
        .any(|(index, frame)| stack.iter().skip(index + 1).filter(|other| *other == frame).count() >= 2)
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    error.downcast_ref::<WasmBacktrace>().map_or_else(Vec::new, |trace| {
        trace
            .frames()
            .iter()
            .filter_map(|frame| frame.func_name())
            .map(wasmtime_demangle)
            .take(FRAMES)
            .collect()
    })
}

fn wasmtime_demangle(name: &str) -> String {
    // Names of Rust functions end in a hash that says nothing to an author.
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            path.to_owned()
        }
        _ => name.to_owned(),
    }
}

/// What the plugin said of its own end. The SDKs write it to the log, with the place as a field; what a guest without one
/// leaves on standard error is Rust's own: "thread ... panicked at PLACE:" and the message in the lines after it. A Python
/// or JavaScript guest does both, and what its SDK says is the author's mistake, the other its interpreter's.
fn panic_message(log: &[LogLine]) -> Option<String> {
    told_in_log(log).or_else(|| told_on_standard_error(log))
}

fn told_in_log(log: &[LogLine]) -> Option<String> {
    let line = log.iter().rfind(|line| {
        line.source == Source::Plugin && line.level == Level::Error && line.message.contains("panicked")
    })?;
    let message = line.message.split_once("panicked: ").map_or(line.message.as_str(), |(_, message)| message);
    Some(match line.fields.iter().find(|(name, _)| name == "place") {
        Some((_, place)) if !place.is_empty() => format!("{message} (at {place})"),
        _ => message.to_owned(),
    })
}

fn told_on_standard_error(log: &[LogLine]) -> Option<String> {
    let spoken: Vec<&str> =
        log.iter().filter(|line| line.source == Source::Stderr).map(|line| line.message.as_str()).collect();
    let at = spoken.iter().rposition(|line| line.contains("panicked at "))?;
    let place = spoken[at].split_once("panicked at ").map_or("", |(_, place)| place.trim_end_matches(':'));
    let words: Vec<&str> =
        spoken[at + 1..].iter().take_while(|line| !line.starts_with("note: ")).copied().collect();
    Some(if words.is_empty() { place.to_owned() } else { format!("{} (at {place})", words.join(" ")) })
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Later causes often repeat an earlier one.
        if !text.is_empty() && !words.iter().any(|word| word.contains(&text)) {
            words.push(text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        }
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: Source, message: &str) -> LogLine {
        LogLine { source, level: Level::Error, message: message.into(), fields: Vec::new() }
    }

    #[test]
    fn a_panic_on_standard_error_is_told_with_its_place() {
        let log = [
            line(Source::Stderr, ""),
            line(Source::Stderr, "thread 'main' panicked at src/lib.rs:7:5:"),
            line(Source::Stderr, "index out of bounds"),
            line(Source::Stderr, "note: run with `RUST_BACKTRACE=1`"),
        ];
        assert_eq!(panic_message(&log).unwrap(), "index out of bounds (at src/lib.rs:7:5)");
    }

    #[test]
    fn a_panic_told_in_the_log_is_found() {
        let mut told = line(Source::Plugin, "the plugin panicked: no such VM");
        told.fields.push(("place".into(), "src/lib.rs:7:5".into()));
        let log = [told, line(Source::Host, "something else")];
        assert_eq!(panic_message(&log).unwrap(), "no such VM (at src/lib.rs:7:5)");
        assert_eq!(panic_message(&[line(Source::Plugin, "all is well")]), None);
    }

    #[test]
    fn what_the_sdk_tells_comes_before_what_the_interpreter_tells() {
        let mut told = line(Source::Plugin, "the plugin panicked: ValueError: no such VM");
        told.fields.push(("place".into(), "plugin.py:7".into()));
        let log = [
            told,
            line(Source::Stderr, "thread '<unnamed>' panicked at runtime/src/lib.rs:1:1:"),
            line(Source::Stderr, "an unexpected exception"),
        ];
        assert_eq!(panic_message(&log).unwrap(), "ValueError: no such VM (at plugin.py:7)");
    }

    #[test]
    fn rust_hashes_are_cut_from_function_names() {
        assert_eq!(wasmtime_demangle("guest::boom::h0123456789abcdef"), "guest::boom");
        assert_eq!(wasmtime_demangle("guest::hello"), "guest::hello");
    }
}
