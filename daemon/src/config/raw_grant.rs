//! A grant file as typed: right kinds, known keys, places kept.

use std::time::Duration;

use toml::de::DeValue;

use super::grant::{AllowRule, Digest, LimitSettings, ReadRule};
use super::problem::{Located, Place, Problem};
use super::raw::RawPassword;
use super::scalar;
use super::table::Table;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
/// More of a budget than any sensible one: what was allowed is remembered one by one.
const BUDGET_MAX: u64 = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The whole file. Required keys are `None` only when that has been reported.
pub(super) struct RawGrant {
    pub(super) start: Place,
    /// Of the text of the file.
    pub(super) text: Digest,
    pub(super) file: Option<Located<String>>,
    pub(super) digest: Option<Located<String>>,
    pub(super) pools: Vec<Located<String>>,
    pub(super) enabled: bool,
    pub(super) dry_run: bool,
    pub(super) concurrency: Option<u64>,
    pub(super) settings: Vec<(String, Located<serde_json::Value>)>,
    pub(super) secrets: Vec<RawSecret>,
    pub(super) limits: LimitSettings,
    pub(super) allow: Vec<AllowRule>,
    pub(super) read: Vec<ReadRule>,
}

/// One key of `[secrets]`.
pub(super) struct RawSecret {
    pub(super) name: String,
    pub(super) kept: RawPassword,
}

impl RawGrant {
    /// Reads the table of the whole file.
    pub(super) fn read(mut root: Table<'_>) -> RawGrant {
        for (key, example) in [("file", "file = \"vm_keepalive.wasm\""), ("pools", "pools = [\"*\"]")] {
            if !root.has(key) {
                root.missing(key, example);
            }
        }
        let file = root.text("file", "\"vm_keepalive.wasm\"");
        let digest = root.text("digest", "\"sha256:...\"");
        let pools = root.texts("pools", "[\"*\"]").unwrap_or_default();
        let enabled = root.truth("enabled").is_none_or(|enabled| enabled.value);
        let mode = root.word("mode", &[("enforce", false), ("dry-run", true)]);
        let concurrency = root.whole("concurrency", 1..=64);
        let settings = root.table("settings", "{ }").map(settings).unwrap_or_default();
        let secrets =
            root.table("secrets", "{ token = { credential = \"token\" } }").map(secrets).unwrap_or_default();
        let limits = root.table("limits", "{ memory = \"64MiB\" }").map(limits).unwrap_or_default();
        let allow = root.tables("allow").into_iter().filter_map(allow).collect();
        let read = root.tables("read").into_iter().filter_map(read).collect();
        let start = root.place().clone();
        let text = Digest::of(root.source_text().as_bytes());
        let dry_run = mode.unwrap_or(false);
        RawGrant {
            start,
            text,
            file,
            digest,
            pools,
            enabled,
            dry_run,
            concurrency,
            settings,
            secrets,
            limits,
            allow,
            read,
        }
    }
}

fn limits(mut table: Table<'_>) -> LimitSettings {
    let second = Duration::from_secs(1);
    LimitSettings {
        memory: table.size("memory", MIB..=4 * GIB),
        deadline: table.duration("deadline", Duration::from_millis(10)..=DAY),
        cpu: table.duration("cpu", Duration::from_millis(10)..=3600 * second),
        host_calls: table.whole("host_calls", 1..=1_000_000_000),
        calls: table.whole("calls", 0..=1_000_000),
        call_timeout: table.duration("call_timeout", second..=DAY),
        log: table.size("log", 0..=64 * MIB),
        state: table.size("state", 0..=GIB),
    }
}

/// `None` when the rule says too little to be one, which has been reported.
fn allow(mut table: Table<'_>) -> Option<AllowRule> {
    let call = filled(&mut table, "call", "[\"VM.start\"]");
    let on = table.text("on", "'\"keepalive\" in self.tags'");
    let args = table.table("args", "{ value = 'value.startsWith(\"auto/\")' }").map(args).unwrap_or_default();
    let mut most = |key| table.whole(key, 1..=BUDGET_MAX).and_then(|most| u32::try_from(most).ok());
    let (per_event, per_minute, objects_per_hour) =
        (most("per_event"), most("per_minute"), most("objects_per_hour"));
    let place = table.place().clone();
    Some(AllowRule { place, call: call?, on, args, per_event, per_minute, objects_per_hour })
}

/// Those that are texts; others have been reported.
fn args(mut table: Table<'_>) -> Vec<(String, Located<String>)> {
    let mut args = Vec::new();
    for (name, written) in table.free_entries() {
        match written.value {
            DeValue::String(text) => args.push((name, written.with(text.clone().into_owned()))),
            other => {
                let what = format!("expected an expression as a text, found {}", scalar::kind(other));
                let problem = Problem::at(&written.place, table.key(&name), what);
                table.report(problem.instead(format!("write {name} = 'value == \"...\"'")));
            }
        }
    }
    args
}

fn read(mut table: Table<'_>) -> Option<ReadRule> {
    let class = filled(&mut table, "class", "[\"VM\"]");
    let fields = filled(&mut table, "fields", "[\"name_label\", \"power_state\"]");
    Some(ReadRule { place: table.place().clone(), class: class?, fields: fields? })
}

/// A list that must be there and must not be empty: an empty one would grant nothing and look as if it did.
fn filled(table: &mut Table<'_>, key: &'static str, example: &str) -> Option<Vec<Located<String>>> {
    if !table.has(key) {
        table.missing(key, &format!("{key} = {example}"));
    }
    let list = table.texts(key, example)?;
    if list.is_empty() {
        let problem =
            Problem::at(table.place(), table.key(key), "the list is empty, so the rule grants nothing");
        table.report(problem.instead(format!("write {key} = {example}, or remove the rule")));
        return None;
    }
    Some(list)
}

/// Those that are rightly said; what is wrong has been reported.
fn secrets(mut table: Table<'_>) -> Vec<RawSecret> {
    let mut secrets = Vec::new();
    for (name, found) in table.free_tables() {
        let example = format!(
            "write {name} = {{ credential = \"{name}\" }} or {name} = {{ file = \"{name}.secret\" }}"
        );
        match found {
            Ok(inner) => {
                secrets.extend(RawPassword::of(inner, &example).map(|kept| RawSecret { name, kept }));
            }
            Err(place) => {
                let what = "a secret does not belong into this file: whoever may read the file would have it";
                let problem = Problem::at(&place, table.key(&name), what);
                table.report(problem.instead(format!("put it into a file of its own and {example}")));
            }
        }
    }
    secrets
}

fn settings(mut table: Table<'_>) -> Vec<(String, Located<serde_json::Value>)> {
    table.free_entries().into_iter().map(|(key, value)| (key, value.with(json(value.value)))).collect()
}

/// The JSON value that a plugin gets for a TOML value: dates as text, and numbers that JSON does not know as text.
fn json(value: &DeValue<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(written) => match i64::from_str_radix(written.as_str(), written.radix()) {
            Ok(number) => number.into(),
            Err(_) => Value::String(written.to_string()),
        },
        DeValue::Float(written) => {
            let number = written.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map_or_else(|| Value::String(written.to_string()), Value::Number)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(elements) => elements.iter().map(|element| json(element.get_ref())).collect(),
        DeValue::Table(entries) => {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                (key.clone().into_owned(), json(value.get_ref()))
            };
            Value::Object(entries.iter().map(entry).collect())
        }
    }
}
