//! `xapiary deliveries`: what plugins are to deal with.

use anyhow::Result;
use clap::Subcommand;

use super::Answer;
use super::events::event_facts;
use super::output::{brief, facts, span, table};
use super::reach::{Reach, Source, not_there};
use crate::control::records;
use crate::control::types::{CallLine, DeliveryDetail, DeliveryLine, OfPlugin};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the deliveries that were started and are not settled, and those that wait for their turn
    ///
    /// Without a daemon only those that were started are known.
    List(List),
    /// Show one delivery: its event, its calls, how it stands
    Show(Show),
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
    /// The plugin
    plugin: String,
    /// The event's number
    sequence: u64,
}

pub(super) async fn deliveries(command: &Command) -> Result<Answer> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Show(arguments) => show(arguments).await,
    }
}

async fn list(arguments: &List) -> Result<Answer> {
    let of = OfPlugin { plugin: arguments.plugin.clone(), limit: Some(arguments.limit) };
    let found: Vec<DeliveryLine> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/deliveries", &of).await?,
        Source::Journal(listings) => records::deliveries(&listings, of).await?,
    };
    arguments.reach.answer(&found, |found| {
        let row = |line: &DeliveryLine| {
            vec![
                line.plugin.clone(),
                line.sequence.to_string(),
                line.attempt.to_string(),
                line.state.clone(),
                line.not_before.clone().unwrap_or_else(|| "-".to_owned()),
                line.why.as_deref().map_or_else(|| "-".to_owned(), brief),
            ]
        };
        table(&["PLUGIN", "EVENT", "ATTEMPT", "STATE", "AGAIN AT", "WHY"], found.iter().map(row))
    })?;
    Ok(Answer::Done)
}

async fn show(arguments: &Show) -> Result<Answer> {
    let Show { plugin, sequence, .. } = arguments;
    let detail: DeliveryDetail = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.get(&format!("/v1/deliveries/{plugin}/{sequence}")).await?,
        Source::Journal(listings) => {
            let found = records::delivery(&listings, plugin, *sequence).await?;
            found.ok_or_else(|| not_there(format!("event {sequence} for plugin {plugin}")))?
        }
    };
    arguments.reach.answer(&detail, |detail| {
        let DeliveryLine { plugin, attempt, state, not_before, why, .. } = &detail.delivery;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let delivery = facts(&[
            ("plugin", plugin.clone()),
            ("state", state.clone()),
            ("attempt", attempt.to_string()),
            ("again at", text(not_before)),
            ("why", text(why)),
            ("tells of too", numbers(&detail.folded)),
        ]);
        let event = detail.event.as_ref().map(event_facts).unwrap_or_default();
        format!("{delivery}\n{event}{}", call_table(&detail.calls))
    })?;
    Ok(Answer::Done)
}

/// How many there are, with the first and the last.
fn numbers(folded: &[u64]) -> String {
    match folded {
        [] => String::new(),
        [one] => format!("event {one}"),
        [first, .., last] => format!("{} events, {first} to {last}", folded.len()),
    }
}

/// The calls of a delivery; nothing where there are none.
pub(super) fn call_table(calls: &[CallLine]) -> String {
    if calls.is_empty() {
        return String::new();
    }
    let row = |call: &CallLine| {
        vec![
            call.attempt.to_string(),
            call.index.to_string(),
            call.method.clone(),
            call.object.clone(),
            call.expected.as_deref().map_or_else(|| "-".to_owned(), brief),
            brief(&call.arguments),
            call.outcome.clone().unwrap_or_else(|| "no outcome recorded".to_owned()),
            call.took_s.map_or_else(|| "-".to_owned(), span),
        ]
    };
    let head = ["ATTEMPT", "CALL", "METHOD", "OBJECT", "MAKES IT", "ARGUMENTS", "OUTCOME", "TOOK"];
    format!("\n{}", table(&head, calls.iter().map(row)))
}
