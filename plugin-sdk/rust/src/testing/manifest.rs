//! What a test needs of a manifest: which subscription hears an event, and the settings' defaults.

use serde_json::{Map, Value as Json};

use super::schema::hint;
use crate::Operation;

pub(super) struct Manifest {
    pub(super) name: String,
    whole: Map<String, Json>,
}

/// What has happened, as far as subscriptions ask.
pub(super) enum Happened<'h> {
    Change { class: &'h str, operation: Operation, changed: &'h [String] },
    Task,
    Alert { name: &'h str, priority: u8 },
    Tick(&'h str),
    Connection,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Manifest, String> {
        let whole: Map<String, Json> =
            toml::from_str(text).map_err(|error| format!("the manifest: {error}"))?;
        let name = whole.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        Ok(Manifest { name, whole })
    }

    /// The settings' defaults. Those without one must be set by the test.
    pub(super) fn defaults(&self) -> Map<String, Json> {
        let settings = self.whole.get("settings").and_then(Json::as_object).into_iter().flatten();
        settings.filter_map(|(name, setting)| Some((name.clone(), setting.get("default")?.clone()))).collect()
    }

    /// Whether the manifest has a setting or a secret of this name.
    pub(super) fn knows(&self, kind: &str, name: &str) -> Result<(), String> {
        let known = self.whole.get(kind).and_then(Json::as_object);
        if known.is_some_and(|known| known.contains_key(name)) {
            return Ok(());
        }
        let hint = hint(name, known.into_iter().flatten().map(|(name, _)| name.as_str()));
        Err(format!("the manifest has no [{kind}.{name}]{hint}"))
    }

    /// The first subscription that hears it, as the daemon chooses.
    pub(super) fn hears(&self, happened: &Happened<'_>) -> Option<&str> {
        self.subscriptions().find(|subscription| wants(subscription, happened)).and_then(named)
    }

    /// Subscriptions of other classes that hear changes of objects which belong to theirs: name, class, and the fields of
    /// `with`.
    pub(super) fn joined(&self) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
        let modified = |subscription: &&Map<String, Json>| {
            let on = texts(subscription, "on");
            on.is_empty() || on.contains(&"modified")
        };
        self.subscriptions().filter(modified).filter_map(|subscription| {
            Some((named(subscription)?, subscription.get("class")?.as_str()?, texts(subscription, "with")))
        })
    }

    fn subscriptions(&self) -> impl Iterator<Item = &Map<String, Json>> {
        self.whole.get("subscribe").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object)
    }
}

fn named(subscription: &Map<String, Json>) -> Option<&str> {
    subscription.get("name").and_then(Json::as_str)
}

fn texts<'s>(subscription: &'s Map<String, Json>, key: &str) -> Vec<&'s str> {
    subscription.get(key).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

fn wants(subscription: &Map<String, Json>, happened: &Happened<'_>) -> bool {
    let is = |key: &str| subscription.get(key).and_then(Json::as_bool) == Some(true);
    let any_or = |listed: Vec<&str>, name: &str| listed.is_empty() || listed.contains(&name);
    match happened {
        Happened::Change { class, operation, changed } => {
            let fields = texts(subscription, "fields");
            subscription.get("class").and_then(Json::as_str) == Some(*class)
                && any_or(texts(subscription, "on"), &operation.to_string())
                && (*operation != Operation::Modified
                    || fields.is_empty()
                    || changed.iter().any(|field| fields.contains(&field.as_str())))
        }
        Happened::Task => is("task"),
        Happened::Alert { name, priority } => {
            let most = subscription.get("priority_at_most").and_then(Json::as_u64);
            is("alert")
                && any_or(texts(subscription, "names"), name)
                && most.is_none_or(|most| *priority > 0 && u64::from(*priority) <= most)
        }
        Happened::Tick(name) => subscription.contains_key("cron") && named(subscription) == Some(*name),
        Happened::Connection => is("connection"),
    }
}
