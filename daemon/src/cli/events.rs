//! `xapiary events`: what happened in the pools.

use anyhow::Result;
use clap::Subcommand;

use super::Answer;
use super::output::{facts, json_line, pretty, table};
use super::reach::{Reach, Source, not_there};
use crate::control::records;
use crate::control::types::{EventDetail, EventLine, EventQuery, Events};

/// How long one request for new events waits in the daemon.
const WAIT_S: u64 = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List events, the newest last
    List(List),
    /// Show events as they come, until interrupted
    Tail(Tail),
    /// Show all that is kept of one event
    Show(Show),
}

/// Which events.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only those of this pool
    #[arg(long)]
    pool: Option<String>,
    /// Only those of this kind
    #[arg(long, value_parser = ["change", "task", "alert", "resync", "tick", "connection"])]
    kind: Option<String>,
    /// Only those about objects of this class
    #[arg(long)]
    class: Option<String>,
    /// Only those about the object with this reference
    #[arg(long)]
    reference: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filter: Filter,
    /// Only those after this number, from the oldest on
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,
    /// At most so many, up to 1000
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    filter: Filter,
    /// How many of those that came before to show first
    #[arg(long, short = 'n', default_value_t = 10)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// The event's number
    sequence: u64,
}

impl Filter {
    fn query(&self, after: Option<u64>, limit: usize) -> EventQuery {
        let Filter { pool, kind, class, reference } = self;
        EventQuery {
            after,
            pool: pool.clone(),
            kind: kind.clone(),
            class: class.clone(),
            reference: reference.clone(),
            limit: Some(limit),
            wait_s: None,
        }
    }
}

pub(super) async fn events(command: &Command) -> Result<Answer> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Tail(arguments) => tail(arguments).await,
        Command::Show(arguments) => show(arguments).await,
    }
}

async fn list(arguments: &List) -> Result<Answer> {
    let query = arguments.filter.query(arguments.after, arguments.limit);
    let found: Events = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/events", &query).await?,
        Source::Journal(listings) => records::events(&listings, query).await?,
    };
    arguments.reach.answer(&found.events, |events| lines(events))?;
    Ok(Answer::Done)
}

async fn tail(arguments: &Tail) -> Result<Answer> {
    let first = arguments.filter.query(None, arguments.limit);
    let mut client = match arguments.reach.source().await? {
        Source::Daemon(client) => client,
        Source::Journal(listings) => {
            let found = records::events(&listings, first).await?;
            print(&arguments.reach, &found.events)?;
            anstream::eprintln!("xapiary: no more can come while the daemon does not run");
            return Ok(Answer::Unreachable);
        }
    };
    let mut found: Events = client.query("/v1/events", &first).await?;
    loop {
        print(&arguments.reach, &found.events)?;
        let next = EventQuery {
            wait_s: Some(WAIT_S),
            limit: None,
            ..arguments.filter.query(Some(found.looked_to), 0)
        };
        found = tokio::select! {
            answer = client.query("/v1/events", &next) => answer?,
            _ = tokio::signal::ctrl_c() => return Ok(Answer::Done),
        };
    }
}

/// One JSON object or one line for each, since nobody knows what comes.
fn print(reach: &Reach, events: &[EventLine]) -> Result<()> {
    if reach.json {
        for event in events {
            anstream::print!("{}", json_line(&serde_json::to_value(event)?));
        }
    } else if !events.is_empty() {
        anstream::print!("{}", rows(&[], events));
    }
    Ok(())
}

async fn show(arguments: &Show) -> Result<Answer> {
    let sequence = arguments.sequence;
    let detail: EventDetail = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.get(&format!("/v1/events/{sequence}")).await?,
        Source::Journal(listings) => {
            let found = records::event(&listings, sequence).await?;
            found.ok_or_else(|| not_there(format!("event {sequence}")))?
        }
    };
    arguments
        .reach
        .answer(&detail, |detail| format!("{}\n{}", event_facts(&detail.event), pretty(&detail.payload)))?;
    Ok(Answer::Done)
}

/// One event, a fact a line.
pub(super) fn event_facts(event: &EventLine) -> String {
    facts(&[
        ("event", event.sequence.to_string()),
        ("at", event.at.clone()),
        ("pool", event.pool.clone()),
        ("kind", event.kind.clone()),
        ("class", event.class.clone()),
        ("reference", event.reference.clone()),
        ("name", event.name.clone()),
        ("what", event.what.clone()),
    ])
}

fn lines(events: &[EventLine]) -> String {
    rows(&["EVENT", "AT", "POOL", "KIND", "CLASS", "NAME", "WHAT"], events)
}

fn rows(head: &[&str], events: &[EventLine]) -> String {
    let row = |event: &EventLine| {
        vec![
            event.sequence.to_string(),
            event.at.clone(),
            event.pool.clone(),
            event.kind.clone(),
            event.class.clone(),
            event.name.clone(),
            event.what.clone(),
        ]
    };
    table(head, events.iter().map(row))
}
