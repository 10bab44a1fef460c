//! `xapiary plugin inspect`: what a component says of itself, before it is installed. Nothing is compiled, nothing runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use plugin_host::{Inspection, Interest, Subscription, inspect};
use serde::Serialize;

use super::super::output::{self, facts, one_line, table};
use super::super::{Answer, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Inspect {
    /// The component, a .wasm file
    file: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn inspect_file(arguments: &Inspect) -> Result<Answer> {
    let file = &arguments.file;
    let inspection = match super::read(file).and_then(|bytes| inspect(&bytes).map_err(Into::into)) {
        Ok(inspection) => inspection,
        Err(error) => {
            // What is given cannot be used: as with a wrong configuration.
            anstream::eprintln!("xapiary: {}: {}", file.display(), chain(&error));
            return Ok(Answer::Misused);
        }
    };
    let about = About::of(&inspection);
    if arguments.json {
        let json = serde_json::to_value(&about).context("writing the answer as JSON")?;
        anstream::print!("{}", output::pretty(&json));
    } else {
        anstream::print!("{}", about.words());
    }
    Ok(Answer::Done)
}

/// What a component says of itself.
#[derive(Debug, Serialize)]
struct About {
    name: String,
    version: String,
    description: String,
    contract: String,
    /// As a grant pins it.
    digest: String,
    subscriptions: Vec<Heard>,
    requests: Vec<Wanted>,
    settings: Vec<Setting>,
    secrets: Vec<Secret>,
    imports: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Heard {
    name: String,
    hears: String,
}

#[derive(Debug, Serialize)]
struct Wanted {
    call: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// None where the administrator must set it.
    default: Option<serde_json::Value>,
    description: String,
}

#[derive(Debug, Serialize)]
struct Secret {
    name: String,
    description: String,
}

impl About {
    fn of(inspection: &Inspection) -> Self {
        let manifest = &inspection.manifest;
        let heard = |subscription: &Subscription| Heard {
            name: subscription.name.clone(),
            hears: hears(&subscription.interest),
        };
        let wanted = |request: &plugin_host::manifest::Request| Wanted {
            call: request.call.clone(),
            reason: request.reason.clone(),
        };
        let setting = |setting: &plugin_host::manifest::Setting| Setting {
            name: setting.name.clone(),
            kind: setting.kind.word(),
            default: setting.default.clone(),
            description: setting.description.clone(),
        };
        let secret = |secret: &plugin_host::manifest::Secret| Secret {
            name: secret.name.clone(),
            description: secret.description.clone(),
        };
        About {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            description: manifest.description.clone(),
            contract: manifest.contract.clone(),
            digest: format!("sha256:{}", inspection.digest),
            subscriptions: manifest.subscriptions.iter().map(heard).collect(),
            requests: manifest.requests.iter().map(wanted).collect(),
            settings: manifest.settings.iter().map(setting).collect(),
            secrets: manifest.secrets.iter().map(secret).collect(),
            imports: inspection.imports.clone(),
        }
    }

    fn words(&self) -> String {
        let mut text = facts(&[
            ("plugin", one_line(&self.name)),
            ("version", self.version.clone()),
            ("does", one_line(&self.description)),
            ("contract", self.contract.clone()),
            ("digest", self.digest.clone()),
            ("imports", imports_for_people(&self.imports)),
        ]);
        let mut part = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
            if !rows.is_empty() {
                text.push_str(&format!("\n{title}\n{}", table(head, rows)));
            }
        };
        let row = |cells: &[&String]| cells.iter().map(|cell| (*cell).clone()).collect::<Vec<String>>();
        let heard = self.subscriptions.iter().map(|heard| row(&[&heard.name, &heard.hears]));
        part("It hears:", &["SUBSCRIPTION", "OF"], heard.collect());
        let wanted = self.requests.iter().map(|wanted| row(&[&wanted.call, &wanted.reason]));
        part("It wants to call:", &["METHOD", "REASON"], wanted.collect());
        let settings = self.settings.iter().map(|setting| {
            let default = setting.default.as_ref().map_or("must be set".to_owned(), ToString::to_string);
            row(&[&setting.name, &setting.kind.to_owned(), &default, &setting.description])
        });
        part("It can be set:", &["SETTING", "TYPE", "DEFAULT", "DESCRIPTION"], settings.collect());
        let secrets = self.secrets.iter().map(|secret| row(&[&secret.name, &secret.description]));
        part("It wants to be given:", &["SECRET", "DESCRIPTION"], secrets.collect());
        text
    }
}

/// The interfaces of the contract, each on its line; what a toolchain brings of WASI in one, since none of it opens anything.
fn imports_for_people(imports: &[String]) -> String {
    let (closed, mut lines): (Vec<String>, Vec<String>) =
        imports.iter().cloned().partition(|import| import.starts_with("wasi:"));
    if !closed.is_empty() {
        lines.push(format!("{} of WASI, all closed: no files, no network, no environment", closed.len()));
    }
    lines.join("\n")
}

/// What a subscription hears, in words.
fn hears(interest: &Interest) -> String {
    match interest {
        Interest::Objects(objects) => {
            let words: Vec<&str> = objects.on.iter().map(|operation| operation.word()).collect();
            let mut text = format!("{} {}", objects.class, words.join(", "));
            for (what, fields) in [(" in ", &objects.fields), (", with ", &objects.with)] {
                if !fields.is_empty() {
                    let fields: Vec<&str> = fields.iter().map(smol_str::SmolStr::as_str).collect();
                    text.push_str(&format!("{what}{}", fields.join(", ")));
                }
            }
            if objects.latest {
                text.push_str(", the latest of those that wait");
            }
            text
        }
        Interest::Tasks => "ends of tasks".to_owned(),
        Interest::Alerts(alerts) => {
            let names: Vec<&str> = alerts.names.iter().map(smol_str::SmolStr::as_str).collect();
            let named = if names.is_empty() { String::new() } else { format!(" {}", names.join(", ")) };
            let most = alerts.priority_at_most.map(|most| format!(" of priority {most} or more pressing"));
            format!("alerts{named}{}", most.unwrap_or_default())
        }
        Interest::Schedule(schedule) => format!("the clock: {} {}", schedule.cron(), schedule.time_zone()),
        Interest::Connection => "the connection to the pool".to_owned(),
    }
}
