//! `xapiary plugins`: how plugins stand, and switching them.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use journal::Listings;
use plugin_host::inspect;

use super::Answer;
use super::grant::grant_file;
use super::output::{facts, one_line};
use super::reach::{Reach, Source};
use super::status::plugin_table;
use crate::config::Problems;
use crate::control::types::{Done, PluginDetail, PluginStatus, Reason, Reloaded};
use crate::control::{detail, records};
use crate::router::compiled;

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
    /// Have the daemon read its configuration, grants and components anew
    ///
    /// Everything is checked first; when anything is wrong all stays as it is. Deliveries that run come to their end as they
    /// began, the next ones go to the new version. Exit code 1: refused, or something waits for a grant or for a restart.
    Reload(Reload),
}

#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    #[command(flatten)]
    reach: Reach,
    /// One plugin alone, by the name of its grant file without .toml; otherwise all of the configuration
    name: Option<String>,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
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
        Command::Reload(arguments) => reload(arguments).await,
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
    let detail: PluginDetail = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.get(&format!("/v1/plugins/{}", arguments.name)).await?,
        Source::Journal(listings) => configured(&listings, arguments).await?,
    };
    arguments.reach.answer(&detail, words)?;
    Ok(Answer::Done)
}

/// What the configuration, the component and the journal say of a plugin while no daemon runs.
async fn configured(listings: &Listings, arguments: &Show) -> Result<PluginDetail> {
    let grant = grant_file(arguments.reach.config(), &arguments.name)?;
    let component = std::fs::read(&grant.component)
        .with_context(|| format!("reading the component {}", grant.component.display()))?;
    let inspection =
        inspect(&component).with_context(|| format!("looking at {}", grant.component.display()))?;
    let manifest = &inspection.manifest;
    let rules = compiled(&grant).map_err(|errors| Problems { errors, ..Problems::default() })?;
    let known = records::plugin(listings, &arguments.name).await?;
    let off = (!grant.enabled).then(|| "off".to_owned());
    let status = PluginStatus {
        state: off.unwrap_or(known.state),
        mode: Some(detail::mode(&grant)),
        version: Some(manifest.version.clone()),
        ..known
    };
    let secrets = grant.secrets.iter().map(|(name, _)| name.as_str());
    Ok(PluginDetail {
        missing: manifest.lacking(&rules, secrets),
        ..detail::of(&grant, status, Some(manifest))
    })
}

fn words(detail: &PluginDetail) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let status = &detail.status;
    let mut shown = facts(&[
        ("plugin", status.name.clone()),
        ("state", status.state.clone()),
        ("why", text(&status.why)),
        ("mode", mode(status)),
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
        shown.push_str(&lines(missing));
    }
    if let Some(missing) = &detail.update {
        shown.push_str(
            "\na newer component waits, since it asks for more than the grant allows; to allow it, add\n",
        );
        shown.push_str(&lines(missing));
    }
    shown
}

/// Lines to paste, none of which can steer a terminal.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", one_line(line))).collect()
}

async fn reload(arguments: &Reload) -> Result<Answer> {
    let mut client = arguments.reach.daemon().await?;
    let path = match &arguments.name {
        Some(name) => format!("/v1/plugins/{name}/reload"),
        None => "/v1/reload".to_owned(),
    };
    let reloaded: Reloaded = client.post(&path, &Reason { reason: arguments.reason.clone() }).await?;
    arguments.reach.answer(&reloaded, taken_up)?;
    let complete = reloaded.waiting.is_empty() && reloaded.needs_restart.is_empty();
    Ok(if complete { Answer::Done } else { Answer::No })
}

fn taken_up(reloaded: &Reloaded) -> String {
    let Reloaded { began, changed, ended, unchanged, waiting, pools, settings, needs_restart, warnings } =
        reloaded;
    let mut shown = facts(&[
        ("began", began.join(", ")),
        ("changed", changed.join(", ")),
        ("ended", ended.join(", ")),
        ("unchanged", unchanged.join(", ")),
        ("pools began", pools.began.join(", ")),
        ("pools changed", pools.changed.join(", ")),
        ("pools ended", pools.ended.join(", ")),
        ("settings", settings.join(", ")),
        ("needs a restart", needs_restart.join(", ")),
        ("unwise", warnings.join("\n")),
    ]);
    for waiting in waiting {
        shown.push_str(&format!(
            "\nthe new component of {} asks for more than its grant allows, the one before goes on; to allow it, add\n{}",
            one_line(&waiting.plugin),
            lines(&waiting.missing)
        ));
    }
    shown
}

fn mode(status: &PluginStatus) -> String {
    match status.mode.as_deref() {
        Some("dry-run") => {
            "dry-run: calls that change something are recorded and not sent; `xapiary audit show` and `xapiary grant suggest` tell of them"
                .to_owned()
        }
        mode => mode.unwrap_or_default().to_owned(),
    }
}

async fn switch(arguments: &Switch, verb: &str) -> Result<Answer> {
    let mut client = arguments.reach.daemon().await?;
    let path = format!("/v1/plugins/{}/{verb}", arguments.name);
    let done: Done = client.post(&path, &Reason { reason: arguments.reason.clone() }).await?;
    arguments.reach.answer(&done, |done| format!("{}\n", one_line(&done.done)))?;
    Ok(Answer::Done)
}
