//! `xapiary plugins`: how plugins stand, and switching them.

use anyhow::Result;
use clap::Subcommand;

use super::Answer;
use super::output::{facts, one_line};
use super::reach::{Reach, Source};
use super::status::plugin_table;
use crate::control::records;
use crate::control::types::{Done, PluginDetail, PluginStatus, Reason};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the plugins with their queues
    List(List),
    /// Show one: its grant, its queue, what it asks for beyond its grant
    Show(Show),
    /// Begin no more deliveries to a plugin; its events wait for it, also over a restart
    Disable(Switch),
    /// Let deliveries to a plugin begin again, where they were
    Enable(Switch),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// The name of its grant file, without .toml
    name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Switch {
    #[command(flatten)]
    reach: Reach,
    /// The name of its grant file, without .toml
    name: String,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) async fn plugins(command: &Command) -> Result<Answer> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Show(arguments) => show(arguments).await,
        Command::Disable(arguments) => switch(arguments, "disable").await,
        Command::Enable(arguments) => switch(arguments, "enable").await,
    }
}

async fn list(arguments: &List) -> Result<Answer> {
    let found: Vec<PluginStatus> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.get("/v1/plugins").await?,
        Source::Journal(listings) => records::plugins(&listings).await?,
    };
    arguments.reach.answer(&found, |found| plugin_table(found))?;
    Ok(Answer::Done)
}

async fn show(arguments: &Show) -> Result<Answer> {
    let mut client = arguments.reach.daemon().await?;
    let detail: PluginDetail = client.get(&format!("/v1/plugins/{}", arguments.name)).await?;
    arguments.reach.answer(&detail, words)?;
    Ok(Answer::Done)
}

fn words(detail: &PluginDetail) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let status = &detail.status;
    let mut shown = facts(&[
        ("plugin", status.name.clone()),
        ("state", status.state.clone()),
        ("why", text(&status.why)),
        ("version", text(&status.version)),
        ("does", text(&detail.description)),
        ("grant", detail.grant.clone()),
        ("component", detail.component.clone()),
        ("digest", text(&detail.digest)),
        ("pools", detail.pools.join(", ")),
        ("hears", detail.subscriptions.join(", ")),
        ("may call", detail.allow.join("\n")),
        ("at once", detail.concurrency.to_string()),
        (
            "since start",
            format!(
                "{} done, {} again, {} dead",
                status.attempts_done, status.attempts_again, status.attempts_dead
            ),
        ),
    ]);
    shown.push('\n');
    shown.push_str(&plugin_table(std::slice::from_ref(status)));
    if let Some(missing) = &detail.missing {
        shown.push_str("\nit asks for more than its grant allows; to allow it, add\n");
        for line in missing.lines() {
            shown.push_str(&format!("{}\n", one_line(line)));
        }
    }
    shown
}

async fn switch(arguments: &Switch, verb: &str) -> Result<Answer> {
    let mut client = arguments.reach.daemon().await?;
    let path = format!("/v1/plugins/{}/{verb}", arguments.name);
    let done: Done = client.post(&path, &Reason { reason: arguments.reason.clone() }).await?;
    arguments.reach.answer(&done, |done| format!("{}\n", one_line(&done.done)))?;
    Ok(Answer::Done)
}
