//! `xapiary journal`: what people did to it, and looking after it.

use anyhow::Result;
use clap::Subcommand;

use super::Answer;
use super::output::table;
use super::reach::{Reach, Source};
use crate::control::records;
use crate::control::types::{ActionLine, OfPlugin};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what people did: letters retried and dropped, plugins switched, and why; newest first
    Actions(Actions),
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
    }
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
                line.subject.clone(),
                line.reason.clone(),
            ]
        };
        table(&["AT", "WHO", "DID", "TO", "WHY"], found.iter().map(row))
    })?;
    Ok(Answer::Done)
}
