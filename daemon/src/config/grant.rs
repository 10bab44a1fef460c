//! A grant file: what the administrator lets one plugin see and do. Places are kept, so that whoever compiles the
//! rules later can point at the line that is wrong.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::Surroundings;
use super::keeping::Keeping;
use super::pattern::Pattern;
use super::problem::{Located, Place, Problem, Problems};
use super::raw::RawPassword;
use super::raw_grant::{RawGrant, RawSecret};
use super::{pool, source};

/// How many deliveries of one plugin may run at once when nobody says otherwise.
const CONCURRENCY: usize = 4;

/// What one plugin is granted.
#[derive(Clone, Debug)]
pub(crate) struct GrantFile {
    /// The plugin's name here: that of the file without its ending.
    pub(crate) name: String,
    /// The grant file.
    pub(crate) path: PathBuf,
    /// The digest of the grant file as it was read.
    pub(crate) text: Digest,
    /// The component to load.
    pub(crate) component: PathBuf,
    /// The component's digest as pinned. It was right when the configuration was loaded; compare it again with the
    /// bytes that are loaded.
    pub(crate) digest: Option<Digest>,
    /// The component's digest when the configuration was loaded.
    pub(crate) found: Digest,
    /// Differs when the file's text, the component or a secret does.
    pub(crate) edition: Digest,
    /// The pools whose events it may get; at least one.
    pub(crate) pools: Vec<Located<Pattern>>,
    /// Whether it is to run.
    pub(crate) enabled: bool,
    /// Whether its calls that change something are recorded and not sent.
    pub(crate) dry_run: bool,
    /// How many of its deliveries may run at once, 1 to 64.
    pub(crate) concurrency: usize,
    /// The administrator's values for the plugin, not yet compared with what it asks for.
    pub(crate) settings: Vec<(String, Located<serde_json::Value>)>,
    /// Secrets for the plugin as they were when the configuration was loaded, not yet compared with what it asks for.
    pub(crate) secrets: Vec<(String, Located<SecretString>)>,
    /// Limits that differ from the defaults.
    pub(crate) limits: LimitSettings,
    /// What it may call, in the order of the file; not yet compiled.
    pub(crate) allow: Vec<AllowRule>,
    /// What it may see, in the order of the file.
    pub(crate) read: Vec<ReadRule>,
}

impl GrantFile {
    /// Whether it is for this pool.
    pub(crate) fn covers(&self, pool: &str) -> bool {
        self.pools.iter().any(|pattern| pattern.value.matches(pool))
    }
}

/// Limits on one delivery; `None` leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitSettings {
    /// Linear memory, bytes.
    pub(crate) memory: Option<u64>,
    /// Wall time in all, waiting included.
    pub(crate) deadline: Option<Duration>,
    /// Time that the plugin itself may run.
    pub(crate) cpu: Option<Duration>,
    /// Calls of host functions.
    pub(crate) host_calls: Option<u64>,
    /// Calls that go to the pool.
    pub(crate) calls: Option<u64>,
    /// Longest time that one call to the pool may take.
    pub(crate) call_timeout: Option<Duration>,
    /// Log text, bytes.
    pub(crate) log: Option<u64>,
    /// Bytes written to the plugin's own store.
    pub(crate) state: Option<u64>,
}

/// One `[[allow]]`: methods, and on which objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowRule {
    /// The head of the rule.
    pub(crate) place: Place,
    /// Methods or patterns such as `VM.start`, `VM.get_*`; at least one.
    pub(crate) call: Vec<Located<String>>,
    /// A CEL expression over `self` and `args`, as written; `None` means any object.
    pub(crate) on: Option<Located<String>>,
    /// CEL expressions over `value`, by the argument that each is about, as written.
    pub(crate) args: Vec<(String, Located<String>)>,
    /// At most so many calls in one run of the plugin for one event.
    pub(crate) per_event: Option<u32>,
    /// At most so many calls within any minute.
    pub(crate) per_minute: Option<u32>,
    /// At most so many different objects within any hour.
    pub(crate) objects_per_hour: Option<u32>,
}

/// One `[[read]]`: classes, and which of their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadRule {
    /// The head of the rule.
    pub(crate) place: Place,
    /// Classes of XAPI; at least one.
    pub(crate) class: Vec<Located<String>>,
    /// Fields, or `*`; at least one.
    pub(crate) fields: Vec<Located<String>>,
}

/// The SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// In lower-case hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Digest, ()> {
        let digits = text.strip_prefix("sha256:").ok_or(())?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ())?;
        Ok(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Reads and judges one grant file. `None` when something that has no default is wrong; all problems have been
/// recorded.
pub(super) fn load(
    path: &Path,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Option<GrantFile> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if !pool::is_name(&name) {
        let problem = Problem::file(path, format!("{name:?} cannot be the name of a plugin"));
        let advice =
            "name the file with at most 64 letters, digits, dots, dashes and underscores before .toml";
        problems.borrow_mut().errors.push(problem.instead(advice));
    }
    let raw = super::read(path, RawGrant::read, problems)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    if raw.pools.is_empty() {
        let problem = Problem::at(&raw.start, "pools", "no pool is named, so the plugin would hear nothing");
        // When the key is missing or of a wrong kind, that has been said already.
        if !problems.borrow().errors.iter().any(|known| known.file == path && known.key == "pools") {
            problems.borrow_mut().errors.push(problem.instead("write pools = [\"*\"] for all of them"));
        }
    }
    let component = raw.file.as_ref().map(|file| file.with(folder.join(&file.value)));
    let digest = raw.digest.as_ref().and_then(|digest| read_digest(digest, problems));
    let component =
        component.and_then(|component| check_component(&raw, &component, digest.as_ref(), problems));
    let keeping = Keeping { folder, surroundings, problems };
    let secrets: Vec<_> = raw.secrets.iter().filter_map(|secret| read_secret(&keeping, secret)).collect();
    let (component, found) = component?;
    Some(GrantFile {
        edition: edition(raw.text, found, &secrets),
        found,
        name,
        path: path.to_path_buf(),
        text: raw.text,
        component,
        digest: digest.map(|digest| digest.value),
        pools: raw
            .pools
            .into_iter()
            .map(|pattern| pattern.with(Pattern::new(pattern.value.clone())))
            .collect(),
        enabled: raw.enabled,
        dry_run: raw.dry_run,
        concurrency: raw.concurrency.and_then(|number| usize::try_from(number).ok()).unwrap_or(CONCURRENCY),
        settings: raw.settings,
        secrets,
        limits: raw.limits,
        allow: raw.allow,
        read: raw.read,
    })
}

fn edition(text: Digest, component: Digest, secrets: &[(String, Located<SecretString>)]) -> Digest {
    let mut digest = Sha256::new().chain_update(text.0).chain_update(component.0);
    for (_, secret) in secrets {
        digest.update(Sha256::digest(secret.value.expose_secret()));
    }
    Digest(digest.finalize().into())
}

/// What cannot be read has been reported.
fn read_secret(keeping: &Keeping<'_>, raw: &RawSecret) -> Option<(String, Located<SecretString>)> {
    let name = &raw.name;
    let otherwise = format!("{name} = {{ file = \"...\" }}");
    let (_, secret) = keeping.read(&raw.kept, &format!("secrets.{name}"), &otherwise)?;
    let (RawPassword::File(written) | RawPassword::Credential(written)) = &raw.kept;
    Some((name.clone(), written.with(secret)))
}

fn read_digest(written: &Located<String>, problems: &RefCell<Problems>) -> Option<Located<Digest>> {
    let digest = written.value.parse().ok().map(|digest| written.with(digest));
    if digest.is_none() {
        let problem = Problem::at(&written.place, "digest", format!("{:?} is no digest", written.value));
        problems
            .borrow_mut()
            .errors
            .push(problem.instead("write digest = \"sha256:\" and 64 hexadecimal digits"));
    }
    digest
}

/// The component must be a file that we can read, and the one that was pinned. Gives it with its digest.
fn check_component(
    raw: &RawGrant,
    component: &Located<PathBuf>,
    pinned: Option<&Located<Digest>>,
    problems: &RefCell<Problems>,
) -> Option<(PathBuf, Digest)> {
    let path = &component.value;
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = format!("{}: {}", path.display(), source::cannot_read(path, &error).what);
            let problem = Problem::at(&component.place, "file", what);
            problems
                .borrow_mut()
                .errors
                .push(problem.instead("name a component; the path is relative to this file"));
            return None;
        }
    };
    let found = Digest::of(&bytes);
    match pinned {
        Some(pinned) if pinned.value != found => {
            let what = format!("{} is not the pinned component: its digest is {found}", path.display());
            let problem = Problem::at(&pinned.place, "digest", what);
            let advice = format!("if you trust the file that is there now, write digest = \"{found}\"");
            problems.borrow_mut().errors.push(problem.instead(advice));
            None
        }
        None if raw.digest.is_none() => {
            let what = "the component is not pinned: whoever can change the file changes what runs";
            let problem = Problem::at(&component.place, "file", what);
            problems.borrow_mut().warnings.push(problem.instead(format!("write digest = \"{found}\"")));
            Some((path.clone(), found))
        }
        _ => Some((path.clone(), found)),
    }
}
