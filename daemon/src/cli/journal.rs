//! `xapiary journal`: what people did to it, and looking after it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::Answer;
use super::output::{brief, bytes, counted, one_line, table};
use super::reach::{NoJournal, Reach, Source};
use crate::control::records;
use crate::control::types::{ActionLine, GapLine, OfPlugin, Prune, Pruned};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what people did: letters retried and dropped, plugins switched, and why; newest first
    Actions(Actions),
    /// List what plugins lost because the journal may not hold more (`max_size`, `max_events`); newest first
    Gaps(Gaps),
    /// Look whether the file is whole and holds together; the daemon may run meanwhile
    ///
    /// Reads the whole file. Exit code 1 when something is wrong.
    Check(Check),
    /// Copy the journal as it is now to a file; the daemon may run meanwhile
    Backup(Backup),
    /// Read what can be read of a damaged journal into a new one; the daemon must not run
    ///
    /// The damaged one is left as it is. What was lost is told.
    Salvage(Salvage),
    /// Have the daemon remove old events that every plugin has dealt with, and the recorded calls about them
    ///
    /// Events of dead letters and open deliveries stay, and so does what came after them.
    Prune(PruneOld),
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    #[command(flatten)]
    reach: Reach,
    /// The file to make; it must not be there
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Salvage {
    #[command(flatten)]
    reach: Reach,
    /// The folder for the new journal, which must be there and hold none
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct PruneOld {
    #[command(flatten)]
    reach: Reach,
    /// What happened longer ago than this may go, such as 30d
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    older_than: Duration,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
}

/// What checking came to.
#[derive(Debug, Serialize)]
struct Looked {
    folder: PathBuf,
    last: u64,
    faults: Vec<String>,
}

/// What was saved of a damaged journal.
#[derive(Debug, Serialize)]
struct Saved {
    folder: PathBuf,
    last: u64,
    tables: Vec<Table>,
    losses: Vec<String>,
}

/// What was saved of a table.
#[derive(Debug, Serialize)]
struct Table {
    name: &'static str,
    rows: u64,
    whole: bool,
}

/// A copy that was made.
#[derive(Debug, Serialize)]
struct Copied {
    file: PathBuf,
    last: u64,
    bytes: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct Gaps {
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
pub(super) struct Actions {
    #[command(flatten)]
    reach: Reach,
    /// At most so many, up to 1000
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

pub(super) async fn journal(command: &Command) -> Result<Answer> {
    match command {
        Command::Actions(arguments) => actions(arguments).await,
        Command::Gaps(arguments) => gaps(arguments).await,
        Command::Check(arguments) => check(arguments).await,
        Command::Backup(arguments) => backup(arguments).await,
        Command::Salvage(arguments) => salvage(arguments).await,
        Command::Prune(arguments) => prune(arguments).await,
    }
}

async fn check(arguments: &Check) -> Result<Answer> {
    let folder = arguments.reach.whereabouts()?.state;
    let looked = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || ::journal::check(&folder)).await?
    };
    let looked = match looked {
        Ok(looked) => Looked { folder, last: looked.last, faults: looked.faults },
        // That it cannot even be opened is what was asked about.
        Err(error @ ::journal::OpenError::Damaged { .. }) => {
            Looked { folder, last: 0, faults: vec![crate::router::chain(&error)] }
        }
        Err(error) => return Err(NoJournal::from(error).into()),
    };
    arguments.reach.answer(&looked, |Looked { folder, last, faults }| {
        if faults.is_empty() {
            return format!("the journal in {} is whole, up to event {last}\n", folder.display());
        }
        let faults: String = faults.iter().map(|fault| format!("  {}\n", one_line(fault))).collect();
        format!(
            "the journal in {} is damaged: restore a backup or salvage what is left\n{faults}",
            folder.display()
        )
    })?;
    Ok(if looked.faults.is_empty() { Answer::Done } else { Answer::No })
}

async fn backup(arguments: &Backup) -> Result<Answer> {
    let folder = arguments.reach.whereabouts()?.state;
    let file = arguments.file.clone();
    let made = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || ::journal::backup(&folder, &file)).await??
    };
    let copied = Copied { file, last: made.last, bytes: made.bytes };
    arguments.reach.answer(&copied, |Copied { file, last, bytes: size }| {
        format!("the journal up to event {last} is in {}, {}\n", file.display(), bytes(*size))
    })?;
    Ok(Answer::Done)
}

async fn salvage(arguments: &Salvage) -> Result<Answer> {
    let damaged = arguments.reach.whereabouts()?.state;
    let folder = arguments.folder.clone();
    let saved = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || ::journal::salvage(&damaged, &folder)).await??
    };
    let saved = Saved {
        folder,
        last: saved.last,
        tables: saved.tables.into_iter().map(|(name, rows, whole)| Table { name, rows, whole }).collect(),
        losses: saved.losses,
    };
    arguments.reach.answer(&saved, |Saved { folder, last, tables, losses }| {
        let row = |Table { name, rows, whole }: &Table| {
            let all = if *whole { "all that there were" } else { "some were lost" };
            vec![(*name).to_owned(), rows.to_string(), all.to_owned()]
        };
        let mut text = table(&["TABLE", "ROWS SAVED", ""], tables.iter().map(row));
        text.extend(losses.iter().map(|loss| format!("lost: {}\n", one_line(loss))));
        text + &format!("a new journal up to event {last} is in {}\n", folder.display())
    })?;
    let whole = saved.losses.is_empty() && saved.tables.iter().all(|table| table.whole);
    Ok(if whole { Answer::Done } else { Answer::No })
}

async fn prune(arguments: &PruneOld) -> Result<Answer> {
    let mut client = arguments.reach.daemon().await?;
    let asked = Prune { older_than_s: arguments.older_than.as_secs(), reason: arguments.reason.clone() };
    let pruned: Pruned = client.post("/v1/journal/prune", &asked).await?;
    arguments.reach.answer(&pruned, |Pruned { events, calls, held_by }| {
        let held = held_by.as_ref().map(|by| format!("older ones stay, since {}\n", one_line(by)));
        let (events, calls) = (counted(*events, "event"), counted(*calls, "recorded call"));
        format!("removed {events} and {calls}\n{}", held.unwrap_or_default())
    })?;
    Ok(Answer::Done)
}

async fn gaps(arguments: &Gaps) -> Result<Answer> {
    let of = OfPlugin { plugin: arguments.plugin.clone(), limit: Some(arguments.limit) };
    let found: Vec<GapLine> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/journal/gaps", &of).await?,
        Source::Journal(listings) => records::gaps(&listings, of).await?,
    };
    arguments.reach.answer(&found, |found| {
        let row = |gap: &GapLine| {
            vec![
                gap.at.clone(),
                gap.plugin.clone(),
                gap.first.to_string(),
                gap.last.to_string(),
                gap.events.to_string(),
                gap.dead.to_string(),
                brief(&gap.why),
            ]
        };
        table(&["AT", "PLUGIN", "FROM", "TO", "LOST", "DEAD", "WHY"], found.iter().map(row))
    })?;
    Ok(Answer::Done)
}

async fn actions(arguments: &Actions) -> Result<Answer> {
    let limit = Some(arguments.limit);
    let found: Vec<ActionLine> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => {
            client.query("/v1/journal/actions", &OfPlugin { plugin: None, limit }).await?
        }
        Source::Journal(listings) => records::actions(&listings, limit).await?,
    };
    arguments.reach.answer(&found, |found| {
        let row = |line: &ActionLine| {
            vec![
                line.at.clone(),
                line.who.clone(),
                line.verb.clone(),
                brief(&line.subject),
                line.reason.clone(),
            ]
        };
        table(&["AT", "WHO", "DID", "TO", "WHY"], found.iter().map(row))
    })?;
    Ok(Answer::Done)
}
