//! Logs: where they go and how they look.
//!
//! Human lines on a terminal, fields for systemd's journal where standard error leads there, JSON lines elsewhere. What
//! guests and pools put into names cannot break a line or steer a terminal: control characters are escaped. This room
//! must not know what is logged.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;

use tracing::{Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::LogFormat;

/// Goes before the level in the configuration.
const LEVEL_VARIABLE: &str = "XAPIARY_LOG";

/// systemd tells by this variable which device and inode lead to its journal.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The level is no filter.
    #[error("reading {text:?} as a filter for logs")]
    Level {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The level cannot be changed any more.
    #[error("changing how much is logged")]
    Reload(#[source] reload::Error),
    /// systemd's journal was asked for and is not there.
    #[error("opening systemd's journal")]
    Journal(#[source] io::Error),
    /// Somebody was here before.
    #[error("starting to log")]
    Started(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// How much is logged, to be changed while the process runs.
pub(crate) struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    /// The environment says how much, and goes before the configuration.
    pinned: bool,
}

impl LogLevel {
    /// Takes up another filter, such as `info,xapiary::feed=debug`, unless the environment says what to log.
    ///
    /// # Errors
    /// When the filter is malformed; the one before holds then.
    pub(crate) fn set(&self, level: &str) -> Result<(), TelemetryError> {
        if self.pinned {
            return Ok(());
        }
        self.handle.reload(filter(level)?).map_err(TelemetryError::Reload)
    }
}

fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let parsed = EnvFilter::builder().parse(text);
    parsed.map_err(|source| TelemetryError::Level { text: text.to_owned(), source })
}

/// Begins to log to standard error, for the whole process, panics included. `level` is a filter such as
/// `info,xapiary::feed=debug`; the environment variable `XAPIARY_LOG` goes before it.
///
/// # Errors
/// When the filter is malformed, when `format` asks for a journal that is not there, or when logging has begun before.
pub(crate) fn start(format: LogFormat, level: &str) -> Result<LogLevel, TelemetryError> {
    let pinned = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let (filter, handle) = reload::Layer::new(filter(pinned.as_deref().unwrap_or(level))?);
    let variable = std::env::var(JOURNAL_VARIABLE).ok();
    let output = choose(format, io::stderr().is_terminal(), leads_to_journal(variable.as_deref()));
    let subscriber: Box<dyn Subscriber + Send + Sync> = match output {
        Output::Journal => match journal_layer() {
            Ok(layer) => Box::new(tracing_subscriber::registry().with(filter).with(layer)),
            // Standard error leads to the journal too, only without fields of its own.
            Err(_) if format == LogFormat::Auto => json(filter, io::stderr),
            Err(error) => return Err(TelemetryError::Journal(error)),
        },
        Output::Human => human(filter, io::stderr().is_terminal(), io::stderr),
        Output::Json => json(filter, io::stderr),
    };
    tracing::subscriber::set_global_default(subscriber).map_err(TelemetryError::Started)?;
    log_panics();
    Ok(LogLevel { handle, pinned: pinned.is_some() })
}

/// Whatever can break a line or steer a terminal, written as an escape; all else as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        // The last two ranges turn the direction of writing, so that a line reads as something else.
        if letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Human,
    Json,
    Journal,
}

fn choose(format: LogFormat, terminal: bool, journal: bool) -> Output {
    match format {
        LogFormat::Human => Output::Human,
        LogFormat::Json => Output::Json,
        LogFormat::Journald => Output::Journal,
        LogFormat::Auto if journal => Output::Journal,
        LogFormat::Auto if terminal => Output::Human,
        LogFormat::Auto => Output::Json,
    }
}

/// Whether standard error is the stream that `variable` (device and inode) names: the variable is inherited by
/// children whose standard error may lead elsewhere.
fn leads_to_journal(variable: Option<&str>) -> bool {
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    names(variable, stderr.dev(), stderr.ino())
}

fn names(variable: Option<&str>, device: u64, inode: u64) -> bool {
    let named = variable.and_then(|text| text.split_once(':'));
    named.is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

fn human<F, W>(filter: F, colour: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    F: Layer<Registry> + Send + Sync,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colour)
        .with_timer(Milliseconds)
        .fmt_fields(format::debug_fn(write_field).delimited(" "))
        .compact();
    Box::new(tracing_subscriber::registry().with(filter).with(lines))
}

fn json<F, W>(filter: F, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    F: Layer<Registry> + Send + Sync,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).json();
    let lines = lines.flatten_event(true).with_current_span(false).with_timer(Milliseconds);
    Box::new(tracing_subscriber::registry().with(filter).with(lines))
}

fn journal_layer() -> io::Result<tracing_journald::Layer> {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    Ok(tracing_journald::layer()?
        .with_syslog_identifier("xapiary".to_owned())
        .with_field_prefix(Some("XAPIARY".to_owned()))
        .with_priority_mappings(priorities))
}

/// One field of a human line. Texts come quoted and escaped by their `Debug`; everything else is escaped here.
fn write_field(
    writer: &mut Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = escaped(&format!("{value:?}"));
    match field.name() {
        "message" => writer.write_str(&value),
        name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[2m{name}=\u{1b}[0m{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// UTC to the millisecond, as in RFC 3339.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("(no message)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        if tracing::enabled!(Level::ERROR) {
            tracing::error!(place, thread = thread.name().unwrap_or_default(), "panic: {text}");
        } else {
            before(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a name from a pool may hold.
    const HOSTILE: &str = "web\u{1b}[2J\n2026 ERROR forged\u{202e}\u{7}";

    fn written(subscriber: impl FnOnce(EnvFilter, Paper) -> Box<dyn Subscriber + Send + Sync>) -> String {
        let paper = Paper::default();
        tracing::subscriber::with_default(subscriber(EnvFilter::new("info"), paper.clone()), || {
            tracing::info!(vm = HOSTILE, shown = %HOSTILE, count = 3, "seen {HOSTILE}");
            tracing::debug!("too quiet");
        });
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn nothing_in_a_human_line_breaks_it_or_steers_the_terminal() {
        let text = written(|filter, paper| human(filter, false, move || paper.clone()));
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(
            !text.trim_end().chars().any(|letter| letter.is_control() || letter == '\u{202e}'),
            "{text:?}"
        );
        assert!(text.contains("seen web\\u{1b}[2J\\n2026 ERROR forged\\u{202e}\\u{7}"), "{text:?}");
        assert!(text.contains("count=3"), "{text:?}");
        let text = written(|filter, paper| human(filter, true, move || paper.clone()));
        assert!(text.contains("\u{1b}[2mcount=\u{1b}[0m3") && !text.contains("\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn a_json_line_is_one_object_with_the_text_as_it_was() {
        let text = written(|filter, paper| json(filter, move || paper.clone()));
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["vm"], HOSTILE);
        assert_eq!(line["count"], 3);
        assert_eq!(line["level"], "INFO");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn logs_go_where_the_situation_asks_for() {
        use LogFormat::{Auto, Human, Journald, Json};
        for (format, terminal, journal, expected) in [
            (Auto, true, false, Output::Human),
            (Auto, false, false, Output::Json),
            (Auto, false, true, Output::Journal),
            (Human, false, true, Output::Human),
            (Json, true, true, Output::Json),
            (Journald, true, false, Output::Journal),
        ] {
            assert_eq!(choose(format, terminal, journal), expected);
        }
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        for (variable, expected) in [
            (Some("9:4711"), true),
            (Some("9:4712"), false),
            (Some("8:4711"), false),
            (Some("9"), false),
            (Some("nine:4711"), false),
            (None, false),
        ] {
            assert_eq!(names(variable, 9, 4711), expected, "{variable:?}");
        }
    }
}
