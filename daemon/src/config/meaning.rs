//! The whole configuration as meant: defaults filled in, pools and grants judged, and how they fit together.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::problem::{Located, Place, Problem, Problems};
use super::raw::{RawConfig, RawPool};
use super::{Config, GrantFile, Log, Pool, Retention, Surroundings, Whereabouts};
use super::{control, grant, pool, scalar, source};

/// Where state is kept when nobody says otherwise.
const STATE_FOLDER: &str = "/var/lib/xapiary";

/// The folder of grant files, beside the configuration.
const GRANTS_FOLDER: &str = "plugins";

/// How long events are kept that nobody needs any more.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long rows of the audit are kept: questions about who did what come late.
const KEEP_AUDIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time for deliveries in progress at a stop. systemd's `TimeoutStopSec` in the shipped unit is longer.
const DRAIN: Duration = Duration::from_secs(20);

/// The words that a level may be.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Judges the whole. `None` when something that has no default is wrong; all problems have been recorded.
pub(super) fn mean(
    file: &Path,
    raw: &RawConfig,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Option<Config> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let state = state(raw, surroundings, problems);
    let control = control::mean(file, &raw.control, surroundings, problems);
    let level = raw.level.as_ref().map_or(Some("info".to_owned()), |level| log_level(level, problems));
    let log = level.map(|level| Log { format: raw.format.unwrap_or_default(), level });
    let names = pool_names(&raw.pools, problems);
    let written = raw.pools.len();
    let pools: Vec<Pool> =
        raw.pools.iter().filter_map(|raw| pool::mean(raw, folder, surroundings, problems)).collect();
    let grants = grants(folder, raw.plugins.as_ref(), &raw.start, surroundings, problems);
    problems.borrow_mut().grants.clone_from(&grants);
    check_pools_of(&grants, &names, problems);
    Some(Config {
        state: state?,
        log: log?,
        drain: raw.drain.unwrap_or(DRAIN),
        retention: Retention {
            keep: raw.keep.unwrap_or(KEEP),
            keep_audit: raw.keep_audit.unwrap_or(KEEP_AUDIT),
            max_size: raw.max_size,
            max_events: raw.max_events,
        },
        control: control?,
        pools: (pools.len() == written).then_some(pools)?,
        grants,
        warnings: Vec::new(),
    })
}

/// Where the daemon keeps its journal and listens.
pub(super) fn whereabouts(
    file: &Path,
    raw: &RawConfig,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Option<Whereabouts> {
    let state = state(raw, surroundings, problems);
    let control = control::mean(file, &raw.control, surroundings, problems);
    Some(Whereabouts { state: state?, socket: control?.socket })
}

pub(super) fn usual_whereabouts(surroundings: &Surroundings) -> Whereabouts {
    Whereabouts { state: usual_state(surroundings), socket: control::usual_socket(surroundings) }
}

fn state(raw: &RawConfig, surroundings: &Surroundings, problems: &RefCell<Problems>) -> Option<PathBuf> {
    match &raw.state {
        Some(written) => state_folder(written, problems),
        None => Some(usual_state(surroundings)),
    }
}

fn usual_state(surroundings: &Surroundings) -> PathBuf {
    surroundings.state_folder.clone().unwrap_or_else(|| PathBuf::from(STATE_FOLDER))
}

fn state_folder(written: &Located<String>, problems: &RefCell<Problems>) -> Option<PathBuf> {
    let path = PathBuf::from(&written.value);
    if path.is_absolute() {
        return Some(path);
    }
    let what = format!("{:?} is no absolute path", written.value);
    let problem =
        Problem::at(&written.place, "state", what).instead(format!("write state = \"{STATE_FOLDER}\""));
    problems.borrow_mut().errors.push(problem);
    None
}

fn log_level(written: &Located<String>, problems: &RefCell<Problems>) -> Option<String> {
    let report = |what: String, instead: String| {
        problems.borrow_mut().errors.push(Problem::at(&written.place, "log.level", what).instead(instead));
    };
    let possible =
        format!("write one of {}, or parts such as \"info,xapiary::feed=debug\"", LEVELS.join(", "));
    for word in written.value.split(',').map(str::trim) {
        // A bare word that is no level would be taken for the name of a part of the program, to be logged in full.
        let bare = !word.contains(['=', '[', ':']) && !LEVELS.contains(&word.to_lowercase().as_str());
        if bare && !word.starts_with("xapi") {
            let instead = match scalar::nearest(word, LEVELS) {
                Some(level) => format!("write \"{level}\""),
                None => possible,
            };
            report(format!("{word:?} is no level"), instead);
            return None;
        }
    }
    match EnvFilter::builder().parse(&written.value) {
        Ok(_) => Some(written.value.clone()),
        Err(error) => {
            report(format!("{:?} is no filter for logs: {error}", written.value), possible);
            None
        }
    }
}

/// The names of all pools, good or not, after checking that none stands twice.
fn pool_names(pools: &[RawPool], problems: &RefCell<Problems>) -> Vec<String> {
    let mut seen: Vec<&Located<String>> = Vec::new();
    for name in pools.iter().filter_map(|pool| pool.name.as_ref()) {
        if let Some(first) = seen.iter().find(|first| first.value == name.value) {
            let what = format!("the pool of line {} has this name too", first.place.line);
            let problem = Problem::at(&name.place, format!("pool.{}.name", name.value), what);
            problems.borrow_mut().errors.push(problem.instead("give each pool a name of its own"));
        }
        seen.push(name);
    }
    seen.into_iter().map(|name| name.value.clone()).collect()
}

/// Reads every `NAME.toml` of the grants folder.
fn grants(
    folder: &Path,
    written: Option<&Located<String>>,
    start: &Place,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Vec<GrantFile> {
    let grants = folder.join(written.map_or(GRANTS_FOLDER, |written| &written.value));
    let place = written.map_or(start, |written| &written.place);
    let entries = match std::fs::read_dir(&grants) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && written.is_none() => {
            let what = format!("there is no folder {}, so no plugin will run", grants.display());
            problems.borrow_mut().warnings.push(Problem::at(place, "plugins", what));
            return Vec::new();
        }
        Err(error) => {
            let what = format!("the folder {} cannot be read: {error}", grants.display());
            problems.borrow_mut().errors.push(Problem::at(place, "plugins", what));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(entry.path()),
            Err(error) => {
                let problem = source::cannot_read(&grants, &error);
                problems.borrow_mut().errors.push(problem);
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files.iter().filter_map(|file| grant::load(file, surroundings, problems)).collect()
}

/// A plain name in a grant that no pool has is a mistake; a pattern without a pool may be meant for later.
fn check_pools_of(grants: &[GrantFile], names: &[String], problems: &RefCell<Problems>) {
    for grant in grants {
        for pattern in &grant.pools {
            if names.iter().any(|name| pattern.value.matches(name)) {
                continue;
            }
            let problem =
                Problem::at(&pattern.place, "pools", format!("no pool is called \"{}\"", pattern.value));
            let mut problems = problems.borrow_mut();
            if pattern.value.is_name() {
                let known = names.iter().map(String::as_str);
                let instead = match scalar::nearest(&pattern.value.to_string(), known) {
                    Some(name) => format!("write \"{name}\""),
                    None => format!("pools are {}", names.join(", ")),
                };
                problems.errors.push(problem.instead(instead));
            } else {
                problems.warnings.push(problem);
            }
        }
    }
}
