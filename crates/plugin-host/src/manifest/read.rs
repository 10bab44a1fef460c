//! From TOML text to [`Manifest`], with every problem and its line.

use toml::de::{DeTable, DeValue};

use super::secrets::secrets;
use super::settings::{Setting, SettingKind};
use super::subscribe::subscriptions;
use super::toml_reader::{Reader, kind_of};
use super::{Manifest, ManifestProblem, Request};
use crate::version::Version;
use grant::nearest::hint;

const KEYS: &[&str] =
    &["name", "version", "contract", "description", "subscribe", "request", "settings", "secrets"];

pub(super) fn read(text: &str) -> Result<Manifest, Vec<ManifestProblem>> {
    let mut reader = Reader::new(text);
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            reader.problem(error.span().map_or(0, |span| span.start), error.message());
            return Err(reader.problems);
        }
    };
    reader.only(&table, "the manifest", KEYS);
    let name = reader.required_text(&table, "name", "the manifest", 0);
    if let Some(name) = &name
        && !is_name(name)
    {
        reader.problem(
            0,
            format!("`name` is `{name}`: use lower-case letters, digits, `-` and `_`, at most 64"),
        );
    }
    let version = reader.required_text(&table, "version", "the manifest", 0);
    let contract = reader.required_text(&table, "contract", "the manifest", 0);
    for (key, value) in [("version", &version), ("contract", &contract)] {
        if let Some(value) = value
            && Version::parse(value).is_none()
        {
            reader.problem(0, format!("`{key}` is `{value}`: write three numbers such as `0.1.0`"));
        }
    }
    let description = reader.required_text(&table, "description", "the manifest", 0);
    let subscriptions = subscriptions(&mut reader, &table);
    let requests = requests(&mut reader, &table);
    let settings = settings(&mut reader, &table);
    let secrets = secrets(&mut reader, &table);

    match (name, version, contract, description) {
        (Some(name), Some(version), Some(contract), Some(description)) if reader.problems.is_empty() => {
            Ok(Manifest { name, version, contract, description, subscriptions, requests, settings, secrets })
        }
        _ => {
            reader.problems.sort_by_key(|problem| problem.line);
            Err(reader.problems)
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
}

fn requests(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Request> {
    let mut requests = Vec::new();
    for (at, inner) in reader.tables(table, "request") {
        reader.only(inner, "[[request]]", &["call", "reason"]);
        let call = reader.required_text(inner, "call", "[[request]]", at);
        let reason = reader.required_text(inner, "reason", "[[request]]", at);
        if let (Some(call), Some(reason)) = (call, reason) {
            match grant::Pattern::parse(&call) {
                Ok(_) => requests.push(Request { call, reason }),
                Err(problem) => reader.problem(at, problem),
            }
        }
    }
    requests
}

fn settings(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Setting> {
    let Some(value) = table.get("settings") else { return Vec::new() };
    let Some(inner) = value.get_ref().as_table() else {
        reader.problem(value.span().start, "`settings` is no table: write `[settings.NAME]`");
        return Vec::new();
    };
    let mut settings = Vec::new();
    for (name, value) in inner {
        let at = name.span().start;
        let name = name.get_ref().to_string();
        let place = format!("[settings.{name}]");
        let Some(table) = value.get_ref().as_table() else {
            reader.problem(at, format!("`{name}` is no table: write `{place}`"));
            continue;
        };
        reader.only(table, &place, &["type", "default", "description"]);
        let description = reader.text(table, "description").unwrap_or_default();
        let Some(word) = reader.required_text(table, "type", &place, at) else { continue };
        let Some(kind) = SettingKind::ALL.into_iter().find(|kind| kind.word() == word) else {
            let words = SettingKind::ALL.map(SettingKind::word);
            let hint = hint(&word, words);
            reader
                .problem(at, format!("`type` of {place} is one of {}, not `{word}`{hint}", words.join(", ")));
            continue;
        };
        let default = table.get("default").map(|value| (value.span().start, to_json(value.get_ref()), value));
        if let Some((at, json, value)) = &default
            && !json.as_ref().is_some_and(|json| kind.accepts(json))
        {
            let found = kind_of(value.get_ref());
            reader.problem(*at, format!("`default` of {place} is {found}, not of type {}", kind.word()));
        }
        settings.push(Setting { name, kind, default: default.and_then(|(_, json, _)| json), description });
    }
    settings
}

/// The JSON of the values that a setting can have.
fn to_json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()?.into()
        }
        DeValue::Float(number) => {
            number.as_str().replace('_', "").parse::<f64>().ok().filter(|n| n.is_finite())?.into()
        }
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Array(list) => {
            list.iter().map(|element| to_json(element.get_ref())).collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Operation;
    use crate::schedule::Schedule;
    use crate::subscription::{AlertInterest, Interest, ObjectInterest, Subscription};

    const GOOD: &str = r#"
name = "vm-keepalive"
version = "0.1.0"
contract = "0.1.0"
description = "starts a VM again"

[[subscribe]]
name = "stopped"
class = "vm"
on = ["modified"]
fields = ["power_state"]
with = ["guest_metrics"]
latest = true

[[subscribe]]
name = "line"
connection = true

[[subscribe]]
name = "alarm"
alert = true
names = ["HA_HOST_FAILED", "BACKUP_OF_OURS_FAILED"]
priority_at_most = 3

[[subscribe]]
name = "night"
cron = "0 3 * * *"
time_zone = "Europe/Berlin"

[[request]]
call = "VM.start"
reason = "to start it"

[settings.max_starts]
type = "integer"
default = 3
description = "how often"

[settings.tag]
type = "string"
description = "which VMs"

[secrets.webhook_token]
description = "to be let in"
"#;

    fn problems(text: &str) -> Vec<String> {
        read(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_manifest_is_read() {
        let manifest = read(GOOD).unwrap();
        assert_eq!(manifest.name, "vm-keepalive");
        assert_eq!(
            manifest.subscriptions[0],
            Subscription {
                name: "stopped".into(),
                interest: Interest::Objects(ObjectInterest {
                    class: "VM".into(),
                    on: [Operation::Modified].into(),
                    fields: ["power_state".into()].into(),
                    with: ["guest_metrics".into()].into(),
                    latest: true,
                }),
            }
        );
        assert_eq!(manifest.subscriptions[1].interest, Interest::Connection);
        assert_eq!(
            manifest.subscriptions[2].interest,
            Interest::Alerts(AlertInterest {
                names: ["HA_HOST_FAILED".into(), "BACKUP_OF_OURS_FAILED".into()].into(),
                priority_at_most: Some(3),
            })
        );
        let night = Schedule::parse("0 3 * * *", Some("Europe/Berlin")).unwrap();
        assert_eq!(manifest.subscriptions[3].interest, Interest::Schedule(night));
        assert_eq!(manifest.requests, [Request { call: "VM.start".into(), reason: "to start it".into() }]);
        assert_eq!(manifest.settings.len(), 2);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = GOOD
            .replace("fields = [\"power_state\"]", "fields = [\"powerstate\"]\nfeilds = []")
            .replace("with = [\"guest_metrics\"]", "with = [\"guest_metric\", \"name_label\"]")
            .replace("HA_HOST_FAILED", "HA_HOST_FIALED")
            .replace("priority_at_most = 3", "priority_at_most = 6")
            .replace("0 3 *", "0 33 *")
            .replace("VM.start", "VM.strat")
            .replace("default = 3", "default = \"3\"")
            .replace("description = \"starts", "descripton = \"starts");
        assert_eq!(
            problems(&text),
            [
                "line 1: the manifest has no `description`",
                "line 5: unknown key `descripton` in the manifest; did you mean `description`?",
                "line 11: class VM has no field `powerstate`; did you mean `power_state`?",
                "line 12: unknown key `feilds` in [[subscribe]]; did you mean `fields`?",
                "line 13: class VM has no field `guest_metric`; did you mean `guest_metrics`?",
                "line 13: `name_label` of class VM leads to no other object: `with` names fields that do",
                "line 23: XAPI has no alert `HA_HOST_FIALED`; did you mean `HA_HOST_FAILED`?",
                "line 24: `priority_at_most` is 6, not a whole number from 1 to 5",
                "line 28: `0 33 * * *` is no schedule: value must be in range 0..=23; found 33",
                "line 31: XAPI has no method `VM.strat`; did you mean `VM.start`?",
                "line 37: `default` of [settings.max_starts] is a string, not of type integer",
            ]
        );
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let found = problems("name = \"a\"\nversion = \n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("line 2: "), "{found:?}");
    }

    #[test]
    fn a_subscription_hears_exactly_one_kind() {
        let found = problems(&GOOD.replace("connection = true", "connection = true\ntask = true"));
        assert!(found[0].contains("exactly one of"), "{found:?}");
        let found = problems(&GOOD.replace("connection = true", "task = true\non = [\"added\"]"));
        assert!(found[0].contains("`on` only goes with `class`"), "{found:?}");
        let found = problems(&GOOD.replace("Europe/Berlin", "Europe/Berlim"));
        assert!(found[0].contains("line 28: there is no time zone `Europe/Berlim`"), "{found:?}");
        let found = problems(&GOOD.replace("alert = true", "task = true"));
        assert!(found[0].contains("line 22: `names` only goes with `alert`"), "{found:?}");
        let found = problems(&GOOD.replace("class = \"vm\"", "class = \"message\""));
        assert!(found.iter().any(|found| found.contains("write `alert = true`")), "{found:?}");
        let found = problems(&GOOD.replace("class = \"vm\"", "class = \"WM\""));
        assert!(found[0].contains("no class `WM`; did you mean `VM`?"), "{found:?}");
    }

    #[test]
    fn secrets_that_are_not_given_are_told_with_the_lines_that_give_them() {
        let manifest = read(GOOD).unwrap();
        assert_eq!(manifest.missing_secrets(["webhook_token"]), None);
        assert_eq!(
            manifest.missing_secrets([]).unwrap(),
            "# webhook_token: to be let in\n[secrets]\nwebhook_token = { credential = \"webhook_token\" }\n"
        );
        assert_eq!(manifest.unasked_secret("webhook_token"), None);
        let wrong = manifest.unasked_secret("webhok_token").unwrap();
        assert!(wrong.ends_with("did you mean `webhook_token`?"), "{wrong}");
        let found =
            problems(&GOOD.replace("[secrets.webhook_token]\ndescription", "[secrets.Token]\ndescripton"));
        assert!(found.iter().any(|found| found.contains("[secrets.Token]: use lower-case")), "{found:?}");
        assert!(found.iter().any(|found| found.contains("did you mean `description`?")), "{found:?}");
    }

    #[test]
    fn settings_are_checked_and_defaults_filled_in() {
        let manifest = read(GOOD).unwrap();
        let given = |value: serde_json::Value| value.as_object().unwrap().clone();
        assert_eq!(
            manifest.settle(&given(json!({"tag": "keepalive"}))).unwrap(),
            given(json!({"max_starts": 3, "tag": "keepalive"}))
        );
        let problems: Vec<String> = manifest
            .settle(&given(json!({"max_start": 4, "max_starts": "4"})))
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            problems,
            [
                "setting `max_start`: the plugin does not know it; did you mean `max_starts`?",
                "setting `max_starts`: the plugin wants a value of type integer",
                "setting `tag`: it must be set, type string: which VMs",
            ]
        );
    }
}
