//! `xapiary.toml` as typed: right kinds, known keys, places kept. Nothing is judged here.

use std::time::Duration;

use xapi::Wire;

use super::LogFormat;
use super::problem::{Located, Place, Problem};
use super::table::Table;

/// The longest time that one may ask to wait for deliveries at a stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// How long events may be kept: a day at least, since a plugin may be away for a night.
const KEEP: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(24 * 3600)..=Duration::from_secs(10 * 365 * 24 * 3600);

/// What may be in use of the journal: what is below the least would be lost to the pictures of the pools alone.
const MAX_SIZE: std::ops::RangeInclusive<u64> = 1024 * 1024..=64 * 1024 * 1024 * 1024 * 1024;

/// How many events the journal may hold.
const MAX_EVENTS: std::ops::RangeInclusive<u64> = 1000..=1_000_000_000_000;

/// The whole file.
pub(super) struct RawConfig {
    pub(super) start: Place,
    pub(super) state: Option<Located<String>>,
    pub(super) plugins: Option<Located<String>>,
    pub(super) format: Option<LogFormat>,
    pub(super) level: Option<Located<String>>,
    pub(super) drain: Option<Duration>,
    /// How long events are kept.
    pub(super) keep: Option<Duration>,
    pub(super) keep_audit: Option<Duration>,
    /// How many bytes of the journal may be in use.
    pub(super) max_size: Option<u64>,
    /// How many events it may hold.
    pub(super) max_events: Option<u64>,
    pub(super) control: RawControl,
    pub(super) pools: Vec<RawPool>,
}

/// `[control]`.
#[derive(Default)]
pub(super) struct RawControl {
    pub(super) socket: Option<Located<String>>,
    pub(super) observe: Vec<Located<String>>,
    pub(super) operate: Vec<Located<String>>,
    pub(super) administer: Vec<Located<String>>,
    pub(super) metrics: Option<Located<String>>,
}

/// One `[[pool]]`. Required keys are `None` only when that has been reported.
pub(super) struct RawPool {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) name: Option<Located<String>>,
    pub(super) url: Option<Located<String>>,
    pub(super) members: Vec<Located<String>>,
    pub(super) user: Option<Located<String>>,
    pub(super) password: Option<RawPassword>,
    pub(super) trust: Option<Located<RawTrust>>,
    pub(super) trust_written: bool,
    pub(super) wire: Option<Wire>,
    pub(super) identity: Option<RawIdentity>,
}

/// Where a password is kept.
pub(super) enum RawPassword {
    /// A file of its own.
    File(Located<String>),
    /// A credential that systemd hands to the service, by name.
    Credential(Located<String>),
}

/// A certificate of our own, with its key.
pub(super) struct RawIdentity {
    pub(super) certificate: Located<String>,
    pub(super) key: RawKey,
}

/// Where a key is kept.
pub(super) enum RawKey {
    /// A file of its own.
    File(Located<String>),
    /// A credential that systemd hands to the service, by name.
    Credential(Located<String>),
}

/// Why a member's certificate is believed.
pub(super) enum RawTrust {
    /// Fingerprints.
    Pin(Vec<Located<String>>),
    /// A file with certificates of authorities.
    Authority(Located<String>),
    /// The authorities of the operating system.
    System,
}

impl RawConfig {
    /// Reads the table of the whole file.
    pub(super) fn read(mut root: Table<'_>) -> RawConfig {
        let start = root.place().clone();
        let state = root.text("state", "\"/var/lib/xapiary\"");
        let plugins = root.text("plugins", "\"plugins\"");
        let (mut format, mut level, mut drain) = (None, None, None);
        let (mut keep, mut keep_audit, mut max_size, mut max_events) = (None, None, None, None);
        if let Some(mut log) = root.table("log", "{ level = \"info\" }") {
            format = log.word(
                "format",
                &[
                    ("auto", LogFormat::Auto),
                    ("human", LogFormat::Human),
                    ("json", LogFormat::Json),
                    ("journald", LogFormat::Journald),
                ],
            );
            level = log.text("level", "\"info\"");
        }
        if let Some(mut stop) = root.table("stop", "{ drain = \"20s\" }") {
            drain = stop.duration("drain", Duration::ZERO..=LONGEST_DRAIN);
        }
        if let Some(mut journal) = root.table("journal", "{ keep = \"30d\" }") {
            keep = journal.duration("keep", KEEP);
            keep_audit = journal.duration("keep_audit", KEEP);
            max_size = journal.size("max_size", MAX_SIZE);
            max_events = journal.whole("max_events", MAX_EVENTS);
        }
        let control = RawControl::read(&mut root);
        let pools_written = root.has("pool");
        let pools: Vec<RawPool> = root.tables("pool").into_iter().map(RawPool::read).collect();
        if !pools_written {
            root.report(
                Problem::at(&start, "pool", "no pool is named, so there is nothing to watch").instead(
                    "write\n[[pool]]\nname = \"lab\"\nurl = \"https://10.0.0.10\"\nuser = \"root\"\n\
                     password = { credential = \"lab\" }\ntrust = { pin = [\"sha256:...\"] }",
                ),
            );
        }
        RawConfig {
            start,
            state,
            plugins,
            format,
            level,
            drain,
            keep,
            keep_audit,
            max_size,
            max_events,
            control,
            pools,
        }
    }
}

impl RawControl {
    const PEOPLE: &'static str = "[\"group:operators\", \"user:alice\"]";

    fn read(root: &mut Table<'_>) -> RawControl {
        let Some(mut table) = root.table("control", "{ operate = [\"group:operators\"] }") else {
            return RawControl::default();
        };
        let mut people = |key| table.texts(key, Self::PEOPLE).unwrap_or_default();
        let (observe, operate, administer) = (people("observe"), people("operate"), people("administer"));
        let socket = table.text("socket", "\"/run/xapiary/control.sock\"");
        let metrics = table.text("metrics", "\"127.0.0.1:9187\"");
        RawControl { socket, observe, operate, administer, metrics }
    }
}

impl RawPool {
    fn read(mut table: Table<'_>) -> RawPool {
        // A client certificate stands for user and password, unless one of them is written all the same.
        let by_certificate = table.has("client_certificate") && !table.has("user") && !table.has("password");
        let mut required = |key: &'static str, example: &str| {
            let may_be_left_out = by_certificate && key == "user";
            if !table.has(key) && !may_be_left_out {
                table.missing(key, &format!("{key} = {example}"));
            }
            table.text(key, example)
        };
        let name = required("name", "\"lab\"");
        let url = required("url", "\"https://10.0.0.10\"");
        let user = required("user", "\"root\"");
        let members = table.texts("members", "[\"10.0.0.11\"]").unwrap_or_default();
        let password = if by_certificate {
            table.know("password");
            None
        } else {
            RawPassword::read(&mut table)
        };
        let identity = RawIdentity::read(&mut table);
        let trust_written = table.has("trust");
        let trust = RawTrust::read(&mut table);
        let wire = table.word("wire", &[("auto", Wire::Auto), ("xml", Wire::Xml), ("json", Wire::Json)]);
        let (place, path) = (table.place().clone(), table.path().to_owned());
        RawPool { place, path, name, url, members, user, password, trust, trust_written, wire, identity }
    }
}

impl RawPassword {
    const EXAMPLE: &'static str = "{ credential = \"lab\" } or password = { file = \"lab.password\" }";

    fn read(pool: &mut Table<'_>) -> Option<RawPassword> {
        if !pool.has("password") {
            pool.missing("password", &format!("password = {}", Self::EXAMPLE));
        } else if pool.holds_text("password") {
            // A kind of its own, because this mistake puts a secret where many can read it.
            let place = pool.any("password")?.0;
            let what = "a password does not belong into this file: whoever may read the file would have it";
            let instead = format!(
                "put it into a file of its own and write password = {}; then change it in the pool, it has been seen",
                Self::EXAMPLE
            );
            pool.report(Problem::at(&place, pool.key("password"), what).instead(instead));
            return None;
        }
        let table = pool.table("password", Self::EXAMPLE)?;
        RawPassword::of(table, &format!("write password = {}", Self::EXAMPLE))
    }

    /// The table that says where a secret is kept; `instead` is what to write.
    pub(super) fn of(mut table: Table<'_>, instead: &str) -> Option<RawPassword> {
        let file = table.text("file", "\"lab.password\"");
        let credential = table.text("credential", "\"lab\"");
        match (file, credential, table.has("file") || table.has("credential")) {
            (Some(file), None, _) => Some(RawPassword::File(file)),
            (None, Some(name), _) => Some(RawPassword::Credential(name)),
            (Some(_), Some(_), _) => {
                let what = "both a file and a credential are named";
                table.report(Problem::at(table.place(), table.path(), what).instead("keep one of them"));
                None
            }
            (None, None, true) => None,
            (None, None, false) => {
                let what = "it does not say where the secret is kept";
                table.report(Problem::at(table.place(), table.path(), what).instead(instead));
                None
            }
        }
    }
}

impl RawIdentity {
    const EXAMPLE: &'static str = "{ certificate = \"xapiary.pem\", key = \"xapiary.key\" }";

    fn read(pool: &mut Table<'_>) -> Option<RawIdentity> {
        let mut table = pool.table("client_certificate", Self::EXAMPLE)?;
        let required = |key: &'static str, example: &str| {
            if !table.has(key) {
                table.missing(key, &format!("{key} = {example}"));
            }
        };
        required("certificate", "\"xapiary.pem\"");
        required("key", "\"xapiary.key\"");
        let certificate = table.text("certificate", "\"xapiary.pem\"");
        let key = RawKey::read(&mut table);
        Some(RawIdentity { certificate: certificate?, key: key? })
    }
}

impl RawKey {
    fn read(table: &mut Table<'_>) -> Option<RawKey> {
        if table.holds_text("key") {
            return table.text("key", "\"xapiary.key\"").map(RawKey::File);
        }
        let mut key = table.table("key", "\"xapiary.key\" or key = { credential = \"lab-key\" }")?;
        if !key.has("credential") {
            key.missing("credential", "credential = \"lab-key\"");
        }
        key.text("credential", "\"lab-key\"").map(RawKey::Credential)
    }

    /// Where it was written.
    pub(super) fn place(&self) -> &Place {
        match self {
            RawKey::File(written) | RawKey::Credential(written) => &written.place,
        }
    }
}

impl RawTrust {
    const EXAMPLE: &'static str =
        "{ pin = [\"sha256:...\"] }, or trust = { ca = \"authority.pem\" }, or trust = \"system\"";

    fn read(pool: &mut Table<'_>) -> Option<Located<RawTrust>> {
        if !pool.has("trust") {
            // Whether one is needed depends on the address.
            pool.know("trust");
            return None;
        }
        if pool.holds_text("trust") {
            let place = pool.any("trust")?.0;
            pool.word("trust", &[("system", ())])?;
            return Some(Located { value: RawTrust::System, place });
        }
        let mut table = pool.table("trust", Self::EXAMPLE)?;
        let place = table.place().clone();
        let pins = table.texts("pin", "[\"sha256:...\"]");
        let authority = table.text("ca", "\"authority.pem\"");
        let value = match (pins, authority, table.has("pin") || table.has("ca")) {
            (Some(pins), None, _) => RawTrust::Pin(pins),
            (None, Some(file), _) => RawTrust::Authority(file),
            (Some(_), Some(_), _) => {
                let what = "both fingerprints and an authority are named";
                table.report(Problem::at(&place, table.path(), what).instead("keep one of them"));
                return None;
            }
            (None, None, true) => return None,
            (None, None, false) => {
                let what = "it does not say whom to trust";
                let instead = format!("write trust = {}", Self::EXAMPLE);
                table.report(Problem::at(&place, table.path(), what).instead(instead));
                return None;
            }
        };
        Some(Located { value, place })
    }
}
