//! `xapiary grant suggest`: the smallest grant for what a plugin was seen to do, or wanted to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use journal::{AuditFilter, Audited, Listings};
use plugin_host::Grant;
use plugin_host::grant::allow_lines;
use serde::Serialize;
use serde_json::Value as Json;
use xapi::model::{Record, World};

use crate::cli::output::{self, counted, one_line};
use crate::cli::{Answer, ConfigFile, reach};
use crate::config;
use crate::control::records::time;
use crate::feed;

/// So many rows of each kind are looked at, newest first.
const ROWS_MAX: usize = 100_000;
/// More objects than this are not named one by one: an expression has room for about so many.
const OBJECTS_MAX: usize = 80;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Suggest {
    #[command(flatten)]
    file: ConfigFile,
    /// The plugin: the name of its grant file, without .toml
    plugin: String,
    /// Only what happened from so long ago until now, such as 2h or 7d
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::duration)]
    since: Option<std::time::Duration>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What is proposed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Proposal {
    /// Calls that were seen, allowed and refused.
    calls: u64,
    /// Those that were refused.
    refused: u64,
    /// When the first of them was.
    since: Option<String>,
    /// The rules.
    allow: Vec<Allow>,
    /// Fields by class.
    read: BTreeMap<String, BTreeSet<String>>,
    /// Lines ready to paste.
    lines: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Allow {
    call: String,
    /// By their uuids.
    objects: BTreeSet<String>,
    /// The most calls in one run.
    per_event: u32,
    calls: u64,
    refused: u64,
    /// Whether some calls named no object that can be written down.
    unnamed: bool,
}

pub(super) async fn suggest(arguments: &Suggest) -> Result<Answer> {
    let grant_file = super::grant_file(&arguments.file.config, &arguments.plugin)?;
    let state = config::whereabouts(&arguments.file.config)?.state;
    let listings = Listings::open(&state).map_err(reach::NoJournal::from)?;
    let since_micros = arguments.since.map(|since| {
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Timestamp::now().as_microsecond().saturating_sub(micros)
    });
    let mut rows = Vec::new();
    for kind in ["call", "refusal", "read"] {
        let filter = AuditFilter {
            plugin: Some(grant_file.name.clone()),
            kind: Some(kind.to_owned()),
            since_micros,
            ..AuditFilter::default()
        };
        rows.extend(listings.audit(filter, ROWS_MAX).await?);
    }
    let mut worlds = Vec::new();
    for pool in listings.pools().await? {
        worlds.push(feed::world(&pool, listings.objects(&pool).await?)?);
    }
    let mut proposal = proposal(&rows);
    proposal.lines = if rows.is_empty() {
        let component = std::fs::read(&grant_file.component)
            .with_context(|| format!("reading {}", grant_file.component.display()))?;
        let manifest = plugin_host::inspect(&component)
            .with_context(|| format!("reading the manifest of {}", grant_file.component.display()))?
            .manifest;
        let asked = manifest.missing(&Grant::nothing("")).unwrap_or_default();
        format!(
            "# Nothing is on record of what {} does. This is what its manifest asks for, on any object; let it run with\n\
             # mode = \"dry-run\" for a while to learn what it needs.\n{asked}",
            grant_file.name
        )
    } else {
        proposal.words(&grant_file.name, &worlds)
    };
    if arguments.json {
        let json = serde_json::to_value(&proposal).context("writing the answer as JSON")?;
        anstream::print!("{}", output::pretty(&json));
    } else {
        anstream::print!("{}", proposal.lines);
    }
    Ok(Answer::Done)
}

/// What the rows ask for.
fn proposal(rows: &[Audited]) -> Proposal {
    let mut proposal = Proposal::default();
    let mut allow: BTreeMap<String, Allow> = BTreeMap::new();
    let mut runs: BTreeMap<(String, u64, u64), u32> = BTreeMap::new();
    let mut first: Option<i64> = None;
    for Audited { entry, .. } in rows {
        let details: Json = serde_json::from_str(&entry.details).unwrap_or_default();
        let number = |key: &str| details.get(key).and_then(Json::as_u64).unwrap_or_default();
        first = Some(first.map_or(entry.at_micros, |first| first.min(entry.at_micros)));
        if entry.kind == "read" {
            let fields = details.get("fields").and_then(Json::as_array).into_iter().flatten();
            let fields = fields.filter_map(Json::as_str).map(str::to_owned);
            proposal.read.entry(entry.what.clone()).or_default().extend(fields);
            continue;
        }
        let refused = u64::from(entry.kind == "refusal");
        let rule = allow.entry(entry.what.clone()).or_default();
        rule.calls += 1;
        rule.refused += refused;
        if is_uuid(&entry.object) {
            rule.objects.insert(entry.object.clone());
        } else {
            rule.unnamed = true;
        }
        let calls = runs.entry((entry.what.clone(), number("event"), number("attempt"))).or_default();
        *calls += 1;
        rule.per_event = rule.per_event.max(*calls);
    }
    for (call, mut rule) in allow {
        proposal.calls += rule.calls;
        proposal.refused += rule.refused;
        rule.call = call;
        proposal.allow.push(rule);
    }
    proposal.since = first.map(time);
    proposal
}

/// Whether it can stand between quotes in an expression.
fn is_uuid(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

impl Proposal {
    fn words(&self, plugin: &str, worlds: &[World]) -> String {
        // Writing to a String cannot fail.
        let mut text = String::new();
        _ = writeln!(
            text,
            "# For {plugin}, from {} since {}, of which {} refused.",
            counted(self.calls, "call"),
            self.since.as_deref().unwrap_or_default(),
            self.refused
        );
        for rule in &self.allow {
            text.push('\n');
            text.push_str(&rule.words(worlds));
        }
        for (class, fields) in &self.read {
            let fields: Vec<String> = fields.iter().map(|field| format!("{field:?}")).collect();
            _ = write!(text, "\n[[read]]\nclass = [{class:?}]\nfields = [{}]\n", fields.join(", "));
        }
        if self.read.is_empty() {
            text.push_str(
                "\n# What it reads is noted only while it runs with mode = \"dry-run\": keep the [[read]] rules that it has.\n",
            );
        }
        text
    }
}

impl Allow {
    fn words(&self, worlds: &[World]) -> String {
        let mut text = String::new();
        let records: Vec<&Record> =
            self.objects.iter().filter_map(|uuid| found(worlds, &self.call, uuid)).collect();
        let refused = match self.refused {
            0 => String::new(),
            refused => format!(", {refused} of them refused"),
        };
        _ = writeln!(text, "# {}{refused}", counted(self.calls, "call"));
        let names: Vec<String> = records.iter().map(|record| one_line(record.text("name_label"))).collect();
        if !names.is_empty() && names.len() <= OBJECTS_MAX {
            _ = writeln!(text, "# on {}", names.join(", "));
        }
        if let Some(tag) =
            common_tag(&records).filter(|_| records.len() == self.objects.len() && !self.unnamed)
        {
            _ = writeln!(
                text,
                "# all of them carry the tag {tag:?}, so this would do, for others that carry it too:"
            );
            _ = writeln!(text, "# on = '{tag:?} in self.tags'");
        }
        let uuids: Vec<String> = self.objects.iter().map(|uuid| format!("\"{uuid}\"")).collect();
        let on = match uuids.len() {
            0 => None,
            _ if self.unnamed => {
                text.push_str("# some calls named no object that was known: narrow this down by hand\n");
                None
            }
            1 => Some(format!("self.uuid == {}", uuids[0])),
            some if some <= OBJECTS_MAX => Some(format!("self.uuid in [{}]", uuids.join(", "))),
            some => {
                _ = writeln!(text, "# {some} objects are too many to name: narrow this down by a tag");
                None
            }
        };
        text.push_str(&allow_lines(&self.call, on.as_deref()));
        _ = writeln!(text, "per_event = {}", self.per_event);
        text
    }
}

fn found<'w>(worlds: &'w [World], call: &str, uuid: &str) -> Option<&'w Record> {
    let (_, method) = xapi::model::schema::method(call)?;
    let (_, class) = plugin_host::grant::target_parameter(method)?;
    worlds.iter().find_map(|world| world.by_uuid(class, uuid)).map(|record| &**record)
}

/// A tag that all of several objects carry and that can be written down as it is.
fn common_tag(records: &[&Record]) -> Option<String> {
    let tags = |record: &Record| -> BTreeSet<String> {
        let tags = record.get("tags").and_then(xapi::Value::as_array).into_iter().flatten();
        tags.filter_map(xapi::Value::as_str).map(str::to_owned).collect()
    };
    let (first, rest) = records.split_first()?;
    let common =
        rest.iter().fold(tags(first), |common, record| common.intersection(&tags(record)).cloned().collect());
    let plain =
        |tag: &String| tag.chars().all(|letter| letter.is_alphanumeric() || "-_./: ".contains(letter));
    common.into_iter().find(plain).filter(|_| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use journal::NewAudit;
    use plugin_host::grant::RawGrant;
    use xapi::Struct;

    use super::*;

    fn row(kind: &str, what: &str, object: &str, details: &str) -> Audited {
        let entry = NewAudit {
            at_micros: 1_000_000,
            kind: kind.into(),
            plugin: "p".into(),
            what: what.into(),
            object: object.into(),
            details: details.into(),
            ..NewAudit::default()
        };
        Audited { id: 1, entry, hash: [0; 32], result: None }
    }

    fn world() -> World {
        let mut world = World::new();
        for name in ["a", "b"] {
            let mut fields = Struct::new();
            fields.insert("uuid", format!("u-{name}"));
            fields.insert("name_label", format!("web {name}\nline"));
            fields.insert("tags", vec![xapi::Value::from("keepalive"), name.into()]);
            world.insert(Arc::new(Record::new("VM", format!("OpaqueRef:{name}"), fields)));
        }
        world
    }

    #[test]
    fn the_smallest_grant_names_methods_objects_and_fields() {
        let rows = [
            row("call", "VM.start", "u-a", "{\"event\":1,\"attempt\":1}"),
            row("call", "VM.start", "u-b", "{\"event\":1,\"attempt\":1}"),
            row("refusal", "VM.start", "u-b", "{\"event\":2,\"attempt\":1}"),
            row("call", "VM.create", "", "{\"event\":2,\"attempt\":1}"),
            row("call", "host.disable", "OpaqueRef:x'", "{\"event\":2,\"attempt\":1}"),
            row("read", "VM", "", "{\"fields\":[\"tags\",\"name_label\"]}"),
        ];
        let lines = proposal(&rows).words("p", &[world()]);
        assert_eq!(
            lines,
            "# For p, from 5 calls since 1970-01-01T00:00:01Z, of which 1 refused.\n\
             \n# 1 call\n[[allow]]\ncall = [\"VM.create\"]\nper_event = 1\n\
             \n# 3 calls, 1 of them refused\n# on web a\\nline, web b\\nline\n\
             # all of them carry the tag \"keepalive\", so this would do, for others that carry it too:\n\
             # on = '\"keepalive\" in self.tags'\n\
             [[allow]]\ncall = [\"VM.start\"]\non = 'self.uuid in [\"u-a\", \"u-b\"]'\nper_event = 2\n\
             \n# 1 call\n[[allow]]\ncall = [\"host.disable\"]\nper_event = 1\n\
             \n[[read]]\nclass = [\"VM\"]\nfields = [\"name_label\", \"tags\"]\n"
        );
        let raw: RawGrant = toml::from_str(&lines).unwrap();
        let grant = Grant::compile(&raw).unwrap();
        assert_eq!(grant.rules().len(), 3);
    }

    #[test]
    fn more_objects_than_an_expression_holds_are_not_named() {
        let rows: Vec<Audited> = (0..=OBJECTS_MAX)
            .map(|number| {
                row("call", "VM.start", &format!("4aba1f15-787f-aa11-c978-8c94a82{number:05}"), "{}")
            })
            .collect();
        let lines = proposal(&rows).words("p", &[]);
        assert!(lines.contains("# 81 objects are too many to name"), "{lines}");
        let lines = proposal(&rows[1..]).words("p", &[]);
        Grant::compile(&toml::from_str(&lines).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(lines.contains("self.uuid in ["), "{lines}");
    }
}
