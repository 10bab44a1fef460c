//! `xapiary status`: how the daemon does, in one look; the exit code says it to programs.

use std::fmt::Write as _;

use anyhow::Result;
use journal::Listings;
use serde::Serialize;

use super::Answer;
use super::output::{self, bytes, counted, span, table};
use super::reach::Reach;
use crate::control::client::{Client, ClientError};
use crate::control::records;
use crate::control::types::{JournalStatus, PluginStatus, PoolStatus, Status};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    reach: Reach,
}

/// What can be told while no daemon runs.
#[derive(Debug, Serialize)]
struct Stopped {
    problems: Vec<String>,
    plugins: Vec<PluginStatus>,
    journal: Option<JournalStatus>,
}

pub(super) async fn status(arguments: &Arguments) -> Result<Answer> {
    let whereabouts = arguments.reach.whereabouts()?;
    match Client::connect(&whereabouts.socket).await {
        Ok(mut client) => {
            let status: Status = client.get("/v1/status").await?;
            arguments.reach.answer(&status, running)?;
            Ok(if status.problems.is_empty() { Answer::Done } else { Answer::No })
        }
        Err(error @ ClientError::NotRunning { .. }) => {
            let mut stopped =
                Stopped { problems: vec![error.to_string()], plugins: Vec::new(), journal: None };
            match Listings::open(&whereabouts.state) {
                Ok(listings) => {
                    stopped.plugins = records::plugins(&listings).await?;
                    stopped.journal = Some(records::journal(&listings).await?);
                }
                Err(error) => stopped.problems.push(crate::router::chain(&error)),
            }
            arguments.reach.answer(&stopped, words)?;
            Ok(Answer::Unreachable)
        }
        Err(error) => Err(error.into()),
    }
}

fn running(status: &Status) -> String {
    let Status { version, process, running_for_s, problems, pools, plugins, journal, start_latency } = status;
    let health = match problems.len() {
        0 => "all is well".to_owned(),
        some => counted(some as u64, "problem"),
    };
    let mut text =
        format!("xapiary {version}, process {process}, running for {}: {health}\n", span(*running_for_s));
    push_problems(&mut text, problems);
    text.push('\n');
    text.push_str(&pool_table(pools));
    text.push('\n');
    text.push_str(&plugin_table(plugins));
    text.push('\n');
    text.push_str(&journal_line(journal));
    if start_latency.count > 0 {
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "answer of a pool to start of a plugin: half within {}, 99 of 100 within {}, all within {}",
            span(start_latency.p50_s),
            span(start_latency.p99_s),
            span(start_latency.max_s)
        );
    }
    text
}

fn words(stopped: &Stopped) -> String {
    let mut text = String::new();
    push_problems(&mut text, &stopped.problems);
    if let Some(journal) = &stopped.journal {
        text.push('\n');
        text.push_str(&plugin_table(&stopped.plugins));
        text.push('\n');
        text.push_str(&journal_line(journal));
    }
    text
}

fn push_problems(text: &mut String, problems: &[String]) {
    for problem in problems {
        // Writing to a String cannot fail.
        _ = writeln!(text, "  {}", output::one_line(problem));
    }
}

fn pool_table(pools: &[PoolStatus]) -> String {
    let row = |pool: &PoolStatus| {
        let age = pool.canary_age_s.map(|age| format!("{} ago", span(age)));
        vec![
            pool.name.clone(),
            pool.state.clone(),
            pool.endpoint.clone(),
            pool.objects.to_string(),
            pool.events.to_string(),
            age.unwrap_or_else(|| "-".to_owned()),
            pool.lag_s.map_or_else(|| "-".to_owned(), span),
        ]
    };
    table(&["POOL", "STATE", "TALKS TO", "OBJECTS", "EVENTS", "HEARD", "LAG"], pools.iter().map(row))
}

/// The plugins, as `plugins list` shows them too.
pub(super) fn plugin_table(plugins: &[PluginStatus]) -> String {
    let row = |plugin: &PluginStatus| {
        vec![
            plugin.name.clone(),
            match plugin.mode.as_deref() {
                Some("dry-run") => format!("{}, dry-run", plugin.state),
                _ => plugin.state.clone(),
            },
            plugin.cursor.map_or_else(|| "-".to_owned(), |cursor| cursor.to_string()),
            plugin.behind.to_string(),
            plugin.waiting.to_string(),
            plugin.running.to_string(),
            plugin.resting.to_string(),
            plugin.dead.to_string(),
        ]
    };
    let head = ["PLUGIN", "STATE", "CURSOR", "BEHIND", "WAITING", "RUNNING", "RESTING", "DEAD"];
    table(&head, plugins.iter().map(row))
}

/// What the journal holds, in a line.
pub(super) fn journal_line(journal: &JournalStatus) -> String {
    let JournalStatus { events, last, objects, open_deliveries, dead, effects, effects_in_doubt, .. } =
        journal;
    format!(
        "journal: {} up to {last}, {}, {open_deliveries} deliveries open, {}, {} of which {effects_in_doubt} in doubt, {}, {} of it free\n",
        counted(*events, "event"),
        counted(*objects, "object"),
        counted(*dead, "dead letter"),
        counted(*effects, "call"),
        bytes(journal.bytes),
        bytes(journal.free_bytes)
    )
}
