//! The configuration: what the administrator wrote, checked as a whole.
//!
//! Every file is read twice: once as typed ([`raw`]: right kinds, known keys, places kept), once as meant (addresses,
//! trust, passwords, grants, and how they fit together). All problems of all files are found in one go. This room
//! opens no connection, compiles no plugin and no expression; it must not know what a pool answers.

mod changes;
mod control;
mod grant;
mod identity;
mod keeping;
mod meaning;
mod password;
mod pattern;
mod pool;
mod problem;
mod raw;
mod raw_grant;
mod scalar;
mod source;
mod table;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use changes::changes;
pub(crate) use control::{Control, People, Person};
pub(crate) use grant::{AllowRule, Digest, GrantFile, LimitSettings};
pub(crate) use password::Password;
pub(crate) use pool::Pool;
pub(crate) use problem::{Located, Place, Problem, Problems};

use source::Source;

/// Everything that the daemon was told, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The folder of the journal and whatever else must survive a restart.
    pub(crate) state: PathBuf,
    /// How and how much to log.
    pub(crate) log: Log,
    /// How long deliveries in progress may take to end after a request to stop.
    pub(crate) drain: Duration,
    /// How long and how much the journal keeps.
    pub(crate) retention: Retention,
    /// Who may look at the daemon and steer it, and where.
    pub(crate) control: Control,
    /// The pools to watch, in the order of the file; at least one, names are unique.
    pub(crate) pools: Vec<Pool>,
    /// The plugins and what each is granted, ordered by name; disabled ones included.
    pub(crate) grants: Vec<GrantFile>,
    /// What is unwise but does not keep us from running.
    pub(crate) warnings: Vec<Problem>,
}

/// How long and how much the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// How long it keeps events that every plugin has dealt with.
    pub(crate) keep: Duration,
    /// How long it keeps rows of the audit.
    pub(crate) keep_audit: Duration,
    /// How many bytes of it may be in use, whoever needs them; no limit unless written.
    pub(crate) max_size: Option<u64>,
    /// How many events it may hold, whoever needs them; no limit unless written.
    pub(crate) max_events: Option<u64>,
}

/// How and how much to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// The form of the lines.
    pub(crate) format: LogFormat,
    /// A filter such as `info` or `info,xapiary::feed=debug`; known to be well formed.
    pub(crate) level: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, journald under systemd, JSON elsewhere.
    #[default]
    Auto,
    /// For reading, in colour on a terminal.
    Human,
    /// One JSON object a line.
    Json,
    /// Fields sent to systemd's journal.
    Journald,
}

/// What the configuration may refer to outside its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// systemd's state folder for the service, from `STATE_DIRECTORY`.
    pub(crate) state_folder: Option<PathBuf>,
    /// systemd's folder for what lives as long as the service, from `RUNTIME_DIRECTORY`.
    pub(crate) runtime_folder: Option<PathBuf>,
    /// The folder of the credentials that systemd gave the service, from `CREDENTIALS_DIRECTORY`.
    pub(crate) credentials_folder: Option<PathBuf>,
}

impl Surroundings {
    /// Takes them from the environment of this process.
    pub(crate) fn from_environment() -> Surroundings {
        // systemd separates several state folders by colons; the unit asks for one.
        let first =
            |value: String| value.split(':').next().filter(|path| !path.is_empty()).map(PathBuf::from);
        Surroundings {
            state_folder: std::env::var("STATE_DIRECTORY").ok().and_then(first),
            runtime_folder: std::env::var("RUNTIME_DIRECTORY").ok().and_then(first),
            credentials_folder: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// Reads the configuration and all grant files that belong to it.
///
/// # Errors
/// Everything that is wrong, in all files at once.
pub(crate) fn load(path: &Path) -> Result<Config, Problems> {
    load_in(path, &Surroundings::from_environment())
}

/// Like [`load`], with surroundings other than this process's.
pub(crate) fn load_in(path: &Path, surroundings: &Surroundings) -> Result<Config, Problems> {
    let problems = RefCell::new(Problems::default());
    let config = read(path, raw::RawConfig::read, &problems)
        .and_then(|raw| meaning::mean(path, &raw, surroundings, &problems));
    let mut problems = problems.into_inner();
    problems.sort();
    match config {
        Some(config) if problems.errors.is_empty() => Ok(Config { warnings: problems.warnings, ..config }),
        _ => Err(problems),
    }
}

/// Where a daemon with this configuration keeps its journal and listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// The folder of the journal.
    pub(crate) state: PathBuf,
    /// The control socket.
    pub(crate) socket: PathBuf,
}

/// Reads no more than where the daemon is: for those who ask it something, who need not be able to read its passwords.
///
/// # Errors
/// When the file cannot be read or these two are wrong. Whatever else is wrong with it is the daemon's affair.
pub(crate) fn whereabouts(path: &Path) -> Result<Whereabouts, Problems> {
    let surroundings = Surroundings::from_environment();
    let noted = RefCell::new(Problems::default());
    let raw = read(path, raw::RawConfig::read, &noted);
    let found = raw.and_then(|raw| {
        noted.borrow_mut().errors.clear();
        meaning::whereabouts(path, &raw, &surroundings, &noted)
    });
    found.ok_or_else(|| noted.into_inner())
}

/// Where a daemon without any configuration would be.
pub(crate) fn usual_whereabouts() -> Whereabouts {
    meaning::usual_whereabouts(&Surroundings::from_environment())
}

/// Reads one file as TOML and hands its table to `as_typed`. `None` when it is no TOML at all; all syntax errors have
/// then been recorded, and nothing else, since what follows from them is noise.
fn read<T>(
    path: &Path,
    as_typed: impl FnOnce(table::Table<'_>) -> T,
    problems: &RefCell<Problems>,
) -> Option<T> {
    let source = match Source::read(path) {
        Ok(source) => source,
        Err(problem) => {
            problems.borrow_mut().errors.push(*problem);
            return None;
        }
    };
    let (root, faults) = toml::de::DeTable::parse_recoverable(&source.text);
    if faults.is_empty() {
        return Some(as_typed(table::Table::root(&source, root.get_ref(), problems)));
    }
    let faults = faults.iter().map(|fault| match fault.span() {
        Some(span) => Problem::at(&source.place(span), "", format!("this is no TOML: {}", fault.message())),
        None => Problem::file(path, format!("this is no TOML: {}", fault.message())),
    });
    problems.borrow_mut().errors.extend(faults);
    None
}

#[cfg(test)]
mod tests;
