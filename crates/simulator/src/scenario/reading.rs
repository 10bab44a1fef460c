//! From the text of a scenario to its steps. Everything that is wrong is told at once.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;
use toml::Spanned;
use toml::de::DeTable;
use xapi::codec::Failure;
use xapi::suggestion;

use super::action::Action;
use super::keys::{Keys, Problems, ScenarioError};
use super::{Again, EVERY_MIN, Planned, Scenario};
use crate::catalog;
use crate::churn::Kind;
use crate::methods::names;
use crate::trouble::{FailingCalls, Latency, Methods, Often, Reach, Spoil};

/// The memory of a host that joins, in bytes.
const JOINING_MEMORY: i64 = 64 << 30;
/// How long before the door serves a new certificate the pool tells of it.
const NOTICE: Duration = Duration::from_secs(5);

/// Reads what a step does from its keys.
type Reader = fn(&mut Keys<'_, '_>) -> Option<Action>;

/// Everything that a step can do: its word, whether it lasts, how it is read.
const DOINGS: &[(&str, bool, Reader)] = &[
    ("latency", true, latency),
    ("fail-calls", true, fail_calls),
    ("spoil", false, spoil),
    ("refuse-connections", true, |_| Some(Action::Reach(Reach::Refused))),
    ("half-open", true, |_| Some(Action::Reach(Reach::Silent))),
    ("drop-connections", false, |_| Some(Action::DropConnections)),
    ("end-sessions", false, |_| Some(Action::EndSessions)),
    ("refuse-logins", false, |keys| Some(Action::RefuseLogins { count: count(keys)? })),
    ("forget-deletions", false, forget_deletions),
    ("restart-toolstack", false, |keys| {
        Some(Action::RestartToolstack { loses: keys.take("loses").unwrap_or_default() })
    }),
    ("rotate-certificate", false, rotate_certificate),
    ("lose-host", true, |keys| Some(Action::LoseHost { host: keys.take("host") })),
    ("join-host", false, join_host),
    ("fail-over", false, |keys| Some(Action::FailOver { host: keys.take("host") })),
    ("emergency", true, emergency),
    ("crash-vms", false, |keys| Some(Action::Crash { vm: keys.take("vm"), count: count(keys)? })),
    ("boot-storm", false, |keys| storm(keys, Kind::Boot)),
    ("shutdown-storm", false, |keys| storm(keys, Kind::Shutdown)),
    ("migration-storm", false, |keys| storm(keys, Kind::Migrate)),
    ("snapshot-storm", false, |keys| storm(keys, Kind::Snapshot)),
    ("deletion-storm", false, |keys| storm(keys, Kind::DeleteSnapshot)),
    ("metrics-storm", false, |keys| storm(keys, Kind::Metrics)),
    ("alert-storm", false, |keys| storm(keys, Kind::Alert)),
    ("detach-sr", true, |keys| Some(Action::DetachSr { sr: keys.take("sr") })),
    ("churn", true, churn),
];

/// Reads a whole scenario.
pub(super) fn read(text: &str) -> Result<Scenario, ScenarioError> {
    let problems = Problems::new(text);
    let scenario = match DeTable::parse(text) {
        Ok(table) => Some(whole(&problems, table)),
        Err(error) => {
            problems.note(&error.span().unwrap_or_default(), String::new(), error.message());
            None
        }
    };
    match (problems.into_error(), scenario) {
        (None, Some(scenario)) => Ok(scenario),
        (Some(error), _) => Err(error),
        // A text that is no TOML was noted as a problem.
        (None, None) => Err(ScenarioError { problems: Vec::new() }),
    }
}

fn whole<'t>(problems: &Problems<'t>, table: Spanned<DeTable<'t>>) -> Scenario {
    let start = table.span().start;
    let mut keys = Keys::new(problems, String::new(), table);
    let about = keys.take("about").unwrap_or_default();
    let tables = keys.tables("step");
    if tables.as_ref().is_some_and(Vec::is_empty) {
        keys.wrong(&(start..start), "step", "nothing happens: write steps, each under a [[step]] of its own");
    }
    keys.finish();
    let steps =
        tables.into_iter().flatten().enumerate().filter_map(|(index, table)| step(problems, index, table));
    Scenario { about, steps: steps.map(Arc::new).collect() }
}

fn step<'t>(problems: &Problems<'t>, index: usize, table: Spanned<DeTable<'t>>) -> Option<Planned> {
    let mut keys = Keys::new(problems, format!("step[{index}]"), table);
    let at = keys.take::<Span>("at").unwrap_or_default().0;
    let every = keys.spanned::<Span>("every");
    let times = keys.spanned("times");
    let lasts = keys.spanned::<Span>("for");
    let Some((span, word)) = keys.spanned::<String>("do") else {
        keys.required::<String>("do", "\"end-sessions\"");
        return None;
    };
    let Some((word, may_last, reader)) = DOINGS.iter().find(|(known, _, _)| *known == word) else {
        let near = suggestion::for_name(&word, DOINGS.iter().map(|(known, _, _)| known));
        let all: Vec<&str> = DOINGS.iter().map(|(known, _, _)| *known).collect();
        let known = if near.is_some() { String::new() } else { format!("; it can do {}", all.join(", ")) };
        keys.wrong(
            &span,
            "do",
            format!("a pool cannot do {word:?}{}{known}", suggestion::shown(near.as_deref())),
        );
        return None;
    };
    if let Some((span, _)) = lasts.as_ref().filter(|_| !may_last) {
        keys.wrong(span, "for", format!("{word} does not last"));
    }
    if let Some((span, _)) = times.as_ref().filter(|_| every.is_none()) {
        keys.wrong(
            span,
            "times",
            "this says how often in all, but not after how long again: write every, too",
        );
    }
    if let Some((span, _)) = every.as_ref().filter(|(_, every)| every.0 < EVERY_MIN) {
        keys.wrong(span, "every", "this is too often: write 1ms or more");
    }
    let action = reader(&mut keys);
    keys.finish();
    let again = every.map(|(_, every)| Again { every: every.0, times: times.map(|(_, times)| times) });
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    Some(Planned { index, at, again, lasts: lasts.map(|(_, lasts)| lasts.0), action: action? })
}

fn latency(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let methods = methods(keys);
    let min = keys.take::<Span>("min").unwrap_or_default().0;
    let (span, Span(max)) = keys.required_spanned("max", "\"2s\"")?;
    if max < min {
        keys.wrong(&span, "max", "this is less than min");
    }
    Some(Action::Latency(Latency { methods: methods?, min, max }))
}

fn fail_calls(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let (methods, failure) = (methods(keys), failure(keys));
    let nth = keys.spanned("nth");
    let chance = keys.spanned::<f64>("chance");
    if let Some((span, _)) = chance.as_ref().filter(|(_, chance)| !(0.0..=1.0).contains(chance)) {
        keys.wrong(span, "chance", "a probability is between 0 and 1");
    }
    let often = match (nth, chance) {
        (Some(_), Some((span, _))) => {
            keys.wrong(&span, "chance", "both nth and chance are given: keep one of them");
            return None;
        }
        (None, Some((_, chance))) => Often::Chance(chance),
        (nth, None) => Often::Nth(nth.map_or(1, |(_, nth)| nth)),
    };
    Some(Action::Fail(FailingCalls { methods: methods?, failure: failure?, often }))
}

fn spoil(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let methods = methods(keys);
    let count = count(keys);
    let (span, how) = keys.required_spanned::<String>("how", "\"cut\"")?;
    let Some((_, spoil)) = Spoil::WORDS.iter().find(|(word, _)| *word == how) else {
        let words: Vec<&str> = Spoil::WORDS.iter().map(|(word, _)| *word).collect();
        let near = suggestion::for_name(&how, &words);
        let what = format!("{how:?} is none of {}{}", words.join(", "), suggestion::shown(near.as_deref()));
        keys.wrong(&span, "how", what);
        return None;
    };
    Some(Action::Spoil { spoil: *spoil, count: count?, methods: methods? })
}

fn forget_deletions(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let class = keys.spanned::<SmolStr>("class");
    if let Some((span, class)) = &class
        && catalog::entry(class).is_none()
    {
        let near = suggestion::for_name(class, catalog::entries().iter().map(|entry| entry.class.name));
        keys.wrong(
            span,
            "class",
            format!("there is no class {class:?}{}", suggestion::shown(near.as_deref())),
        );
        return None;
    }
    Some(Action::ForgetDeletions { class: class.map(|(_, class)| class) })
}

fn rotate_certificate(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let host = keys.take("host");
    let notice = keys.spanned::<Span>("notice");
    let announced = keys.take("announced").unwrap_or(true);
    if let Some((span, _)) = notice.as_ref().filter(|_| !announced) {
        keys.wrong(span, "notice", "nothing is told of a certificate that is not announced");
    }
    let notice = notice.map_or(NOTICE, |(_, notice)| notice.0);
    Some(Action::RotateCertificate { host, notice: announced.then_some(notice) })
}

fn join_host(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let name = keys.required("name", "\"xen-new\"");
    let address = keys.required("address", "\"10.0.0.99\"");
    let memory = match keys.spanned::<i64>("memory") {
        None => JOINING_MEMORY,
        Some((_, memory)) if memory > 0 => memory,
        Some((span, _)) => {
            keys.wrong(&span, "memory", "write how many bytes of memory it has, more than 0");
            return None;
        }
    };
    Some(Action::JoinHost { name: name?, address: address?, memory })
}

fn emergency(keys: &mut Keys<'_, '_>) -> Option<Action> {
    Some(Action::Emergency { failure: failure(keys)? })
}

fn churn(keys: &mut Keys<'_, '_>) -> Option<Action> {
    let (span, rate) = keys.required_spanned::<f64>("rate", "50.0")?;
    if !(rate > 0.0 && rate <= crate::CHURN_MAX) {
        let most = crate::CHURN_MAX;
        keys.wrong(&span, "rate", format!("write how many changes a second, more than 0 and at most {most}"));
        return None;
    }
    Some(Action::Churn { rate })
}

fn storm(keys: &mut Keys<'_, '_>, kind: Kind) -> Option<Action> {
    keys.demand("count", "20")?;
    Some(Action::Storm { kind, count: count(keys)? })
}

/// How many; one where nothing is said. A step that does nothing is a mistake.
fn count<T: DeserializeOwned + From<u8> + PartialEq>(keys: &mut Keys<'_, '_>) -> Option<T> {
    match keys.spanned::<T>("count") {
        Some((span, count)) if count == T::from(0) => {
            keys.wrong(&span, "count", "write how many, at least 1");
            None
        }
        counted => Some(counted.map_or(T::from(1), |(_, count)| count)),
    }
}

/// The error that calls are answered with: its code, then its parameters.
fn failure(keys: &mut Keys<'_, '_>) -> Option<Failure> {
    const EXAMPLE: &str = "[\"SR_BACKEND_FAILURE_44\", \"\", \"There is insufficient space\", \"\"]";
    let (span, words) = keys.required_spanned::<Vec<SmolStr>>("error", EXAMPLE)?;
    let Some((code, parameters)) = words.split_first() else {
        keys.wrong(&span, "error", format!("an error has a code at least: write for example {EXAMPLE}"));
        return None;
    };
    Some(Failure::new(code, parameters.iter().map(SmolStr::as_str)))
}

/// The methods that a step is about; all of them where it does not say.
fn methods(keys: &mut Keys<'_, '_>) -> Option<Methods> {
    let Some((span, pattern)) = keys.spanned::<String>("methods") else { return Some(Methods::all()) };
    let methods = Methods::of(&pattern);
    if methods.any() {
        return Some(methods);
    }
    let near = suggestion::for_name(&pattern, names());
    keys.wrong(&span, "methods", format!("no method fits {pattern:?}{}", suggestion::shown(near.as_deref())));
    None
}

/// A time as people write it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
struct Span(Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = humantime::parse_duration(&text);
        read.map(Span)
            .map_err(|error| format!("{text:?} is no time: {error}; write for example \"30s\" or \"5m\""))
    }
}
