//! A plugin as the administrator installed it: its component, its grant, its settings, checked together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use plugin_host::grant::{RawAllow, RawRead};
use plugin_host::report::Reads;
use plugin_host::{Grant, Interest, Limits, Plugin, RawGrant, Schedule, Spending, Subscription, Terms};
use secrecy::SecretString;
use smol_str::SmolStr;

use crate::compiler::Compiler;
use crate::config::{Digest, GrantFile, LimitSettings, Located, Place, Problem};

/// The class whose objects are alerts. Each picture of a pool brings up to 10,000 of them.
const ALERTS: SmolStr = SmolStr::new_static("message");

/// A plugin that is ready for deliveries.
pub(crate) struct Installed {
    /// The name of its grant file, which is its name in the journal.
    pub(crate) name: String,
    /// The compiled component.
    pub(crate) plugin: Plugin,
    /// What it may do and use.
    pub(crate) terms: Arc<Terms>,
    /// Deliveries side by side.
    pub(crate) concurrency: usize,
    /// What it asks for and is not granted, as lines to paste; such calls will be refused.
    pub(crate) missing: Option<String>,
    /// The digest of its grant file.
    pub(crate) grant_digest: Digest,
    /// What it was seen to read while it runs dry.
    pub(crate) reads: Mutex<Reads>,
}

impl Installed {
    /// Loads the component of a grant file and checks all that belongs together.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place in the grant file.
    pub(crate) fn load(compiler: &Compiler, grant_file: &GrantFile) -> Result<Self, Vec<Problem>> {
        let plugin = Self::compile(compiler, grant_file)?;
        Self::granted(plugin, grant_file)
    }

    /// Loads the component of a grant file, if it is the one that was pinned.
    fn compile(compiler: &Compiler, grant_file: &GrantFile) -> Result<Plugin, Vec<Problem>> {
        let start = Place::nowhere(&grant_file.path);
        let component = std::fs::read(&grant_file.component).map_err(|error| {
            let what = format!("reading {}: {error}", grant_file.component.display());
            vec![Problem::at(&start, "file", what)]
        })?;
        let digest = Digest::of(&component);
        if let Some(pinned) = grant_file.digest
            && pinned != digest
        {
            let what = format!("{} is not the component that was pinned", grant_file.component.display());
            let instead = format!("if you trust what is there now, write digest = \"{digest}\"");
            return Err(vec![Problem::at(&start, "digest", what).instead(instead)]);
        }
        compiler.load(&component).map_err(|error| {
            let what = format!("{}: {}", grant_file.component.display(), chain(&error));
            vec![Problem::at(&start, "file", what)]
        })
    }

    /// A plugin that is loaded already, with what a grant file says.
    ///
    /// # Errors
    /// Everything that does not fit together, each with its place in the grant file.
    pub(crate) fn granted(plugin: Plugin, grant_file: &GrantFile) -> Result<Self, Vec<Problem>> {
        let start = Place::nowhere(&grant_file.path);
        let mut problems = Vec::new();
        let settings = settings(grant_file, &plugin, &start, &mut problems);
        let secrets = secrets(grant_file, &plugin, &mut problems);
        let grant = grant(grant_file, &start, &mut problems);
        match (settings, grant) {
            (Some(settings), Some(grant)) if problems.is_empty() => Ok(Installed {
                name: grant_file.name.clone(),
                missing: plugin.manifest().lacking(&grant, secrets.keys().map(String::as_str)),
                grant_digest: grant_file.text,
                reads: Mutex::default(),
                plugin,
                terms: Arc::new(Terms {
                    grant,
                    spending: Spending::default(),
                    settings,
                    secrets,
                    limits: limits(&grant_file.limits),
                    dry_run: grant_file.dry_run,
                }),
                concurrency: grant_file.concurrency,
            }),
            _ => Err(problems),
        }
    }

    /// Whether it asks for something beyond its grant that the version before, with the same grant, did not ask for.
    pub(crate) fn asks_for_more_than(&self, before: &Installed) -> bool {
        let lines = |missing: &Option<String>| -> BTreeSet<String> {
            let lines = missing.iter().flat_map(|lines| lines.lines());
            lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        !lines(&self.missing).is_subset(&lines(&before.missing))
    }

    /// Classes that it hears of, may look at or may act on.
    pub(crate) fn classes(&self) -> BTreeSet<SmolStr> {
        let heard = self.subscriptions().iter().flat_map(|subscription| match &subscription.interest {
            Interest::Objects(objects) => {
                let joined = objects.joined_classes().map(SmolStr::new_static);
                std::iter::once(objects.class.clone()).chain(joined).collect()
            }
            Interest::Alerts(_) => vec![ALERTS],
            Interest::Tasks | Interest::Schedule(_) | Interest::Connection => Vec::new(),
        });
        // Alerts are told and not kept, so for looking at them there is nothing to follow.
        let granted = self.terms.grant.classes().into_iter().map(SmolStr::new_static);
        heard.chain(granted.filter(|class| *class != ALERTS)).collect()
    }

    /// When it wants to be woken, by the names of the subscriptions.
    pub(crate) fn schedules(&self) -> impl Iterator<Item = (&str, &Schedule)> {
        self.subscriptions().iter().filter_map(|subscription| match &subscription.interest {
            Interest::Schedule(schedule) => Some((subscription.name.as_str(), schedule)),
            _ => None,
        })
    }

    /// What it wants to hear.
    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        &self.plugin.manifest().subscriptions
    }
}

fn settings(
    grant_file: &GrantFile,
    plugin: &Plugin,
    start: &Place,
    problems: &mut Vec<Problem>,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    let given = grant_file.settings.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect();
    match plugin.manifest().settle(&given) {
        Ok(settings) => Some(settings),
        Err(wrong) => {
            problems.extend(wrong.into_iter().map(|wrong| {
                let written = grant_file.settings.iter().find(|(name, _)| *name == wrong.name);
                let place = written.map_or(start, |(_, value)| &value.place);
                Problem::at(place, format!("settings.{}", wrong.name), wrong.what)
            }));
            None
        }
    }
}

fn secrets(
    grant_file: &GrantFile,
    plugin: &Plugin,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, SecretString> {
    let manifest = plugin.manifest();
    for (name, secret) in &grant_file.secrets {
        if let Some(what) = manifest.unasked_secret(name) {
            problems.push(Problem::at(&secret.place, format!("secrets.{name}"), what));
        }
    }
    grant_file.secrets.iter().map(|(name, secret)| (name.clone(), secret.value.clone())).collect()
}

/// The rules of a grant file, checked.
///
/// # Errors
/// Everything that is wrong with them, each with its place.
pub(crate) fn compiled(grant_file: &GrantFile) -> Result<Grant, Vec<Problem>> {
    let mut problems = Vec::new();
    grant(grant_file, &Place::nowhere(&grant_file.path), &mut problems).ok_or(problems)
}

fn grant(grant_file: &GrantFile, start: &Place, problems: &mut Vec<Problem>) -> Option<Grant> {
    let texts = |texts: &[Located<String>]| texts.iter().map(|text| text.value.clone()).collect();
    let raw = RawGrant {
        file: grant_file.path.display().to_string(),
        allow: grant_file
            .allow
            .iter()
            .map(|rule| RawAllow {
                line: rule.place.line,
                call: texts(&rule.call),
                on: rule.on.as_ref().map(|on| on.value.clone()),
                args: rule.args.iter().map(|(name, written)| (name.clone(), written.value.clone())).collect(),
                per_event: rule.per_event,
                per_minute: rule.per_minute,
                objects_per_hour: rule.objects_per_hour,
            })
            .collect(),
        read: grant_file
            .read
            .iter()
            .map(|rule| RawRead { class: texts(&rule.class), fields: texts(&rule.fields) })
            .collect(),
    };
    match Grant::compile(&raw) {
        Ok(grant) => Some(grant),
        Err(wrong) => {
            problems.extend(wrong.into_iter().map(|wrong| {
                let place = place_of(grant_file, &wrong).unwrap_or(start);
                Problem::at(
                    place,
                    format!("{}.{}", wrong.place.trim_matches(['[', ']']), wrong.key),
                    wrong.what,
                )
            }));
            None
        }
    }
}

/// Where in the grant file a rule's problem is.
fn place_of<'g>(grant_file: &'g GrantFile, wrong: &plugin_host::GrantProblem) -> Option<&'g Place> {
    let element =
        |list: &'g [Located<String>]| wrong.element.and_then(|index| list.get(index)).map(|text| &text.place);
    if wrong.place == "[[allow]]" {
        let rule = grant_file.allow.get(wrong.index)?;
        let found = match wrong.key.as_str() {
            "call" => element(&rule.call),
            "on" => rule.on.as_ref().map(|on| &on.place),
            key => key
                .strip_prefix("args.")
                .and_then(|name| rule.args.iter().find(|(written, _)| written == name))
                .map(|(_, written)| &written.place),
        };
        Some(found.unwrap_or(&rule.place))
    } else {
        let rule = grant_file.read.get(wrong.index)?;
        let found = match wrong.key.as_str() {
            "class" => element(&rule.class),
            "fields" => element(&rule.fields),
            _ => None,
        };
        Some(found.unwrap_or(&rule.place))
    }
}

fn limits(set: &LimitSettings) -> Limits {
    let default = Limits::default();
    let bytes =
        |set: Option<u64>, default| set.map_or(default, |set| usize::try_from(set).unwrap_or(usize::MAX));
    Limits {
        memory: bytes(set.memory, default.memory),
        deadline: set.deadline.unwrap_or(default.deadline),
        cpu: set.cpu.unwrap_or(default.cpu),
        host_calls: set.host_calls.unwrap_or(default.host_calls),
        pool_calls: set.calls.map_or(default.pool_calls, |set| u32::try_from(set).unwrap_or(u32::MAX)),
        call_timeout: set.call_timeout.unwrap_or(default.call_timeout),
        log: bytes(set.log, default.log),
        state: bytes(set.state, default.state),
        ..default
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
