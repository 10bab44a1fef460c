//! `xapiary dead`: deliveries that were given up, and what becomes of them.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;

use super::Answer;
use super::deliveries::call_table;
use super::events::event_facts;
use super::output::{brief, facts, one_line, table};
use super::reach::{Reach, Source, not_there};
use crate::control::records;
use crate::control::types::{DeadDetail, DeadLine, Done, OfPlugin, Reason};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List dead letters, newest first
    List(List),
    /// Show one: why, what the plugin logged last, its event, its calls
    Show(Show),
    /// Deliver again, as the next attempt
    Retry(Retry),
    /// Remove for good; who did it and why is recorded
    Drop(Drop),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    reach: Reach,
    /// Only those of this plugin
    #[arg(long)]
    plugin: Option<String>,
    /// At most so many, up to 1000
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// The letter's number
    id: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    #[command(flatten)]
    reach: Reach,
    /// The letters' numbers
    #[arg(required = true)]
    id: Vec<u64>,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Drop {
    #[command(flatten)]
    reach: Reach,
    /// The letters' numbers
    #[arg(required = true)]
    id: Vec<u64>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
}

pub(super) async fn dead(command: &Command) -> Result<Answer> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Show(arguments) => show(arguments).await,
        Command::Retry(Retry { reach, id, reason }) => each(reach, id, "retry", reason).await,
        Command::Drop(Drop { reach, id, reason }) => each(reach, id, "drop", reason).await,
    }
}

async fn list(arguments: &List) -> Result<Answer> {
    let of = OfPlugin { plugin: arguments.plugin.clone(), limit: Some(arguments.limit) };
    let found: Vec<DeadLine> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/dead", &of).await?,
        Source::Journal(listings) => records::dead(&listings, of).await?,
    };
    arguments.reach.answer(&found, |found| {
        let row = |line: &DeadLine| {
            vec![
                line.id.to_string(),
                line.at.clone(),
                line.plugin.clone(),
                line.sequence.to_string(),
                line.attempts.to_string(),
                brief(&line.why),
            ]
        };
        table(&["DEAD", "AT", "PLUGIN", "EVENT", "ATTEMPTS", "WHY"], found.iter().map(row))
    })?;
    Ok(Answer::Done)
}

async fn show(arguments: &Show) -> Result<Answer> {
    let id = arguments.id;
    let detail: DeadDetail = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.get(&format!("/v1/dead/{id}")).await?,
        Source::Journal(listings) => {
            let found = records::dead_letter(&listings, id).await?;
            found.ok_or_else(|| not_there(format!("dead letter {id}")))?
        }
    };
    arguments.reach.answer(&detail, words)?;
    Ok(Answer::Done)
}

fn words(detail: &DeadDetail) -> String {
    let letter = &detail.dead;
    let mut text = facts(&[
        ("dead letter", letter.id.to_string()),
        ("given up at", letter.at.clone()),
        ("plugin", letter.plugin.clone()),
        ("attempts", letter.attempts.to_string()),
        ("why", letter.why.clone()),
    ]);
    text.push('\n');
    text.push_str(&detail.event.as_ref().map(event_facts).unwrap_or_default());
    text.push_str(&call_table(&detail.calls));
    if !letter.log.is_empty() {
        text.push_str("\nthe plugin's last lines:\n");
    }
    for line in &letter.log {
        // Writing to a String cannot fail.
        _ = writeln!(text, "  {}", one_line(line));
    }
    text
}

async fn each(reach: &Reach, ids: &[u64], verb: &str, reason: &str) -> Result<Answer> {
    let mut client = reach.daemon().await?;
    let reason = Reason { reason: reason.to_owned() };
    for id in ids {
        let done: Done = client.post(&format!("/v1/dead/{id}/{verb}"), &reason).await?;
        reach.answer(&done, |done| format!("{}\n", one_line(&done.done)))?;
    }
    Ok(Answer::Done)
}
