//! `xapiary grant`: what a grant file allows, asked without calling anything. The object is looked up in the picture of the
//! pool that the journal keeps.

mod suggest;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use journal::Listings;
use plugin_host::grant::{Call, Question, parameters, target_parameter};
use plugin_host::{Decision, Grant};
use serde::Serialize;
use xapi::Value;
use xapi::model::{Class, Method, Record, World, schema};
use xapi::suggestion::{self, shown};

use super::call::arguments::{self, Draft};
use super::output::{self, one_line};
use super::{Answer, ConfigFile};
use crate::config::{self, GrantFile, Problems};
use crate::feed;
use crate::router::compiled;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which line of a plugin's grant allows a call on an object or refuses it, and why
    ///
    /// Nothing is called. The object is looked up in the journal, whether or not the daemon runs. Exit code 0: the call is
    /// allowed; 1: it is refused; 2: the question makes no sense.
    Test(Test),
    /// Propose the smallest grant for what a plugin was seen to call and to read, and for what it was refused
    ///
    /// Taken from the audit in the journal, whether or not the daemon runs; best after the plugin ran for a while with
    /// mode = "dry-run". Where nothing is on record, what the plugin's manifest asks for. Lines ready to paste.
    Suggest(suggest::Suggest),
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    #[command(flatten)]
    file: ConfigFile,
    /// The plugin: the name of its grant file, without .toml
    plugin: String,
    /// The method as XAPI names it, such as VM.start
    #[arg(long, value_name = "METHOD")]
    call: String,
    /// The object that the call acts on: its uuid, name or reference
    #[arg(long, value_name = "OBJECT")]
    on: Option<String>,
    /// The other arguments as a JSON object by parameter name; rules about those that are left out do not hold
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// The pool to look in, where the plugin serves several
    #[arg(long)]
    pool: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Verdict {
    allowed: bool,
    method: String,
    /// The object that the call acts on; none where the method acts on none.
    object: Option<Object>,
    file: PathBuf,
    /// Where the rule stands that allows it.
    line: Option<usize>,
    /// The rule that allows it, counted from 1.
    rule: Option<usize>,
    /// Why not, as a word.
    reason: Option<&'static str>,
    /// Why not and what would allow it, for a person.
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
struct Object {
    pool: String,
    class: String,
    uuid: Option<String>,
    name: String,
}

pub(super) async fn grant(command: &Command) -> Result<Answer> {
    let answer = match command {
        Command::Test(arguments) => test(arguments).await,
        Command::Suggest(arguments) => suggest::suggest(arguments).await,
    };
    match answer {
        // No answer: the question makes no sense, which must not look like a refusal.
        Err(error)
            if super::code(&error) == 1
                && !error.chain().any(<dyn std::error::Error>::is::<journal::Error>) =>
        {
            anstream::eprintln!("xapiary: {}", super::chain(&error));
            Ok(Answer::Misused)
        }
        answer => answer,
    }
}

async fn test(arguments: &Test) -> Result<Answer> {
    let grant_file = grant_file(&arguments.file.config, &arguments.plugin)?;
    let grant = compiled(&grant_file).map_err(|errors| Problems { errors, ..Problems::default() })?;
    let (class, method) = method(&arguments.call)?;
    let name = format!("{}.{}", class.name, method.name);
    let state = config::whereabouts(&arguments.file.config)?.state;
    let listings = Listings::open(&state).map_err(super::reach::NoJournal::from)?;
    let mut pools = listings.pools().await?;
    pools.retain(|pool| grant_file.covers(pool) && arguments.pool.as_ref().is_none_or(|only| only == pool));
    if pools.is_empty() {
        bail!(
            "the journal in {} knows no pool that {} serves{}",
            state.display(),
            arguments.plugin,
            only(arguments)
        );
    }
    let mut worlds = Vec::new();
    for pool in pools {
        let objects = listings.objects(&pool).await?;
        let world = feed::world(&pool, objects)?;
        worlds.push((pool, world));
    }
    let (pool, world, record) = target(arguments, &name, method, &worlds)?;
    let values = values(arguments, &name, method, record, world)?;
    let decision = grant.decide(&Question::of(Call { class, method, arguments: &values }, world));
    let object = record.map(|record| Object {
        pool: pool.to_owned(),
        class: record.class.to_string(),
        uuid: record.uuid().map(str::to_owned),
        name: record.text("name_label").to_owned(),
    });
    let verdict = verdict(&grant_file, &grant, name, object, decision);
    if arguments.json {
        let json = serde_json::to_value(&verdict).context("writing the answer as JSON")?;
        anstream::print!("{}", output::pretty(&json));
    } else {
        anstream::print!("{}", verdict.words(&grant_file));
    }
    Ok(if verdict.allowed { Answer::Done } else { Answer::No })
}

fn only(arguments: &Test) -> String {
    arguments.pool.as_ref().map(|pool| format!(" and that is called {pool:?}")).unwrap_or_default()
}

/// The grant file of the plugin. What is wrong with others, with passwords or with pools is of no account here.
pub(super) fn grant_file(config: &Path, plugin: &str) -> Result<GrantFile> {
    let (grants, errors) = match config::load(config) {
        Ok(config) => (config.grants, Vec::new()),
        Err(problems) => (problems.grants, problems.errors),
    };
    let names: Vec<String> = grants.iter().map(|grant_file| grant_file.name.clone()).collect();
    if let Some(grant_file) = grants.into_iter().find(|grant_file| grant_file.name == plugin) {
        return Ok(grant_file);
    }
    let wanted = format!("{plugin}.toml");
    let mut errors = errors;
    let of_it = |path: &std::path::Path| path.file_name().is_some_and(|name| *name == *wanted);
    if errors.iter().any(|error| of_it(&error.file)) {
        errors.retain(|error| of_it(&error.file));
    }
    if !errors.is_empty() {
        return Err(Problems { errors, ..Problems::default() }.into());
    }
    let meant = suggestion::for_name(plugin, &names);
    bail!("there is no grant file for a plugin {plugin:?}{}", shown(meant.as_deref()))
}

fn method(name: &str) -> Result<(&'static Class, &'static Method)> {
    schema::method(name).with_context(|| {
        let names = schema::classes().iter().flat_map(|class| {
            class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name))
        });
        format!("XAPI has no method {name:?}{}", shown(suggestion::for_name(name, names).as_deref()))
    })
}

/// The object that the call acts on, and the world that it is in.
fn target<'w>(
    arguments: &Test,
    name: &str,
    method: &Method,
    worlds: &'w [(String, World)],
) -> Result<(&'w str, &'w World, Option<&'w Record>)> {
    let first = worlds.first().map(|(pool, world)| (pool.as_str(), world)).context("there is no pool")?;
    let (class, text) = match (target_parameter(method), &arguments.on) {
        (None, None) => return Ok((first.0, first.1, None)),
        (None, Some(_)) => bail!("{name} acts on no object: leave out --on"),
        (Some((_, class)), None) => {
            bail!("{name} acts on an object of class {class}: say on which with --on")
        }
        (Some((_, class)), Some(text)) => (class, text.as_str()),
    };
    let mut found = Vec::new();
    for (pool, world) in worlds {
        found.extend(matching(world, class, text).map(|record| (pool.as_str(), world, record)));
    }
    match found.as_slice() {
        [(pool, world, record)] => Ok((pool, world, Some(record))),
        [] => {
            let names =
                worlds.iter().flat_map(|(_, world)| world.of(class)).map(|record| record.text("name_label"));
            let meant = suggestion::for_name(text, names.filter(|name| !name.is_empty()));
            bail!("the journal has no {class} {text:?}{}", shown(meant.as_deref()))
        }
        several => {
            let each = several
                .iter()
                .map(|(pool, _, record)| format!("{} in {pool}", record.uuid().unwrap_or(&record.reference)));
            let each = each.collect::<Vec<_>>().join(", ");
            bail!("several objects of class {class} are {text:?}; give the uuid of one, or --pool: {each}")
        }
    }
}

fn matching<'w>(world: &'w World, class: &str, text: &str) -> impl Iterator<Item = &'w Record> {
    let fits = move |record: &&Record| {
        record.reference == text || record.uuid() == Some(text) || record.text("name_label") == text
    };
    world.of(class).map(|record| &**record).filter(fits)
}

/// The arguments by their places, as far as they are given without a hole.
fn values(
    arguments: &Test,
    name: &str,
    method: &'static Method,
    target: Option<&Record>,
    world: &World,
) -> Result<Vec<Value>> {
    let given: serde_json::Value = serde_json::from_str(&arguments.args).context("reading --args as JSON")?;
    let serde_json::Value::Object(mut given) = given else {
        bail!("--args is no JSON object: write it as '{{\"value\": \"...\"}}'");
    };
    let acted_on = target_parameter(method).map(|(index, _)| index);
    let mut values = Vec::new();
    let mut left_out = None;
    for (index, parameter) in parameters(method).enumerate() {
        let value = match (given.remove(parameter.name), target) {
            (None, Some(record)) if acted_on == Some(index) => record.reference.as_str().into(),
            (Some(_), Some(_)) if acted_on == Some(index) => {
                bail!("{} of {name} is given twice, by --on and in --args", parameter.name)
            }
            (Some(json), _) => found(arguments::one(name, parameter, json)?, world)?,
            (None, _) => {
                left_out = left_out.or(Some(parameter.name));
                continue;
            }
        };
        if let Some(left_out) = left_out {
            bail!("{left_out} of {name} stands before {}: give it in --args too", parameter.name);
        }
        values.push(value);
    }
    match given.keys().next() {
        Some(stranger) => Err(arguments::unknown(name, method, stranger).into()),
        None => Ok(values),
    }
}

/// The value of an argument, every object in it found.
fn found(draft: Draft, world: &World) -> Result<Value> {
    Ok(match draft {
        Draft::Value(value) => value,
        Draft::Find { class, text } => {
            let mut records = matching(world, class, &text);
            match (records.next(), records.next()) {
                (Some(record), None) => record.reference.as_str().into(),
                (None, _) => bail!("the journal has no {class} {text:?}"),
                (Some(_), Some(_)) => bail!("several objects of class {class} are {text:?}: give a uuid"),
            }
        }
        Draft::Set(drafts) => {
            Value::Array(drafts.into_iter().map(|draft| found(draft, world)).collect::<Result<_>>()?)
        }
        Draft::Map(drafts) => {
            let member = |(name, draft)| Ok((name, found(draft, world)?));
            Value::Struct(drafts.into_iter().map(member).collect::<Result<_>>()?)
        }
    })
}

fn verdict(
    grant_file: &GrantFile,
    grant: &Grant,
    method: String,
    object: Option<Object>,
    decision: Decision,
) -> Verdict {
    let (rule, denial) = match decision {
        Decision::Allowed { rule } => (Some(rule), None),
        Decision::Denied(denial) => (None, Some(denial)),
    };
    let line = rule.and_then(|rule| grant_file.allow.get(rule)).map(|rule| rule.place.line);
    Verdict {
        allowed: denial.is_none(),
        method,
        object,
        file: grant.file().into(),
        line,
        rule: rule.map(|rule| rule + 1),
        reason: denial.as_ref().map(|denial| denial.reason.word()),
        advice: denial.map(|denial| denial.advice),
    }
}

impl Verdict {
    fn words(&self, grant_file: &GrantFile) -> String {
        let on = self.object.as_ref().map_or(String::new(), |object| {
            let name = [Some(&object.name), object.uuid.as_ref()];
            let name = name.into_iter().flatten().filter(|name| !name.is_empty()).map(|name| one_line(name));
            format!(" on {} {} in pool {}", object.class, name.collect::<Vec<_>>().join(", "), object.pool)
        });
        let file = self.file.display();
        match (self.rule, self.line, &self.advice) {
            (Some(rule), Some(line), _) => {
                let written = grant_file.allow.get(rule - 1).map_or(String::new(), |rule| {
                    let calls: Vec<String> =
                        rule.call.iter().map(|call| format!("{:?}", call.value)).collect();
                    let on =
                        rule.on.as_ref().map(|on| format!("  on = '{}'\n", on.value)).unwrap_or_default();
                    let args =
                        rule.args.iter().map(|(name, value)| format!("  args.{name} = '{}'\n", value.value));
                    let most = [
                        ("per_event", rule.per_event),
                        ("per_minute", rule.per_minute),
                        ("objects_per_hour", rule.objects_per_hour),
                    ];
                    let most =
                        most.iter().filter_map(|(key, most)| most.map(|most| format!("  {key} = {most}\n")));
                    let args: String = args.chain(most).collect();
                    format!("  call = [{}]\n{on}{args}", calls.join(", "))
                });
                format!("allowed: {}{on}\n{file}:{line}: [[allow]] {rule}\n{written}", self.method)
            }
            (_, _, advice) => {
                let reason = self.reason.unwrap_or_default();
                let advice = advice.as_deref().unwrap_or_default();
                format!("refused: {}{on} ({reason})\n{}\n", self.method, advice.trim_end())
            }
        }
    }
}
