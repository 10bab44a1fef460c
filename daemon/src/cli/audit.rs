//! `xapiary audit`: who did what, and whether that record is as it was written.

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::Answer;
use super::output::{brief, counted, one_line, table};
use super::reach::{Reach, Source};
use crate::control::records;
use crate::control::types::{AuditLine, AuditNoted, AuditQuery, AuditVerified};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what plugins called and were refused, the grants that they ran on, and what people did, newest first
    Show(Show),
    /// Check that no row was changed, removed or put in between
    ///
    /// Exit code 0: each row follows from the one before it; 1: something is wrong, and the row is named. The last line is the
    /// head: note it where the journal is not, and give it with --noted the next time. Without that, a file that somebody wrote
    /// anew from some row on cannot be told from the true one.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    reach: Reach,
    /// Only rows about this plugin
    #[arg(long)]
    plugin: Option<String>,
    /// Only rows about this object, by its uuid
    #[arg(long)]
    object: Option<String>,
    /// Only rows of this kind: call, refusal, grant, read, action
    #[arg(long)]
    kind: Option<String>,
    /// Only rows from so long ago until now, such as 2h or 30d
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    since: Option<Duration>,
    /// At most so many, up to 1000
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    reach: Reach,
    /// A head that was noted earlier: the rows up to it must be the same still
    #[arg(long, value_name = "ID:HASH")]
    noted: Option<journal::Head>,
}

pub(super) async fn audit(command: &Command) -> Result<Answer> {
    match command {
        Command::Show(arguments) => show(arguments).await,
        Command::Verify(arguments) => verify(arguments).await,
    }
}

async fn show(arguments: &Show) -> Result<Answer> {
    let since = arguments.since.map(|since| {
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::now().as_microsecond().saturating_sub(micros);
        Timestamp::from_microsecond(since).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
    });
    let query = AuditQuery {
        plugin: arguments.plugin.clone(),
        object: arguments.object.clone(),
        kind: arguments.kind.clone(),
        since,
        limit: Some(arguments.limit),
    };
    let found: Vec<AuditLine> = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/audit", &query).await?,
        Source::Journal(listings) => records::audit(&listings, query).await?,
    };
    arguments.reach.answer(&found, |found| {
        let head = ["ROW", "AT", "KIND", "BY", "DID", "TO", "RULE OR REASON", "RESULT"];
        table(&head, found.iter().map(row))
    })?;
    Ok(Answer::Done)
}

fn row(line: &AuditLine) -> Vec<String> {
    let by = if line.who.is_empty() { &line.plugin } else { &line.who };
    let result = match &line.result {
        Some(result) => told(result),
        None if line.kind == "call" => "no outcome recorded".to_owned(),
        None => "-".to_owned(),
    };
    vec![
        line.id.to_string(),
        line.at.clone(),
        line.kind.clone(),
        by.clone(),
        line.what.clone(),
        brief(&line.object),
        brief(&why(line)),
        brief(&result),
    ]
}

/// The rule that allowed a call, the reason of a refusal, what a grant is, what was read, why a person did something.
fn why(line: &AuditLine) -> String {
    let text = |key: &str| line.details.get(key).and_then(Json::as_str).unwrap_or_default();
    match line.kind.as_str() {
        "call" => [text("rule"), text("found")].concat(),
        "refusal" => text("reason").to_owned(),
        "grant" => format!("{} {} {}", text("mode"), text("file"), text("grant")),
        "read" => {
            let fields = line.details.get("fields").and_then(Json::as_array);
            fields.into_iter().flatten().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
        }
        _ => line.details.as_str().unwrap_or_default().to_owned(),
    }
}

/// An outcome with what belongs to it.
fn told(result: &Json) -> String {
    let parts = ["outcome", "task", "code", "why"].map(|key| result.get(key).and_then(Json::as_str));
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

async fn verify(arguments: &Verify) -> Result<Answer> {
    let noted = arguments.noted.map(|noted| noted.to_string());
    let verified: AuditVerified = match arguments.reach.source().await? {
        Source::Daemon(mut client) => client.query("/v1/audit/verify", &AuditNoted { noted }).await?,
        Source::Journal(listings) => records::verify_audit(&listings, noted.as_deref()).await?,
    };
    arguments.reach.answer(&verified, |AuditVerified { rows, removed_through, head, faults }| {
        let mut text = String::new();
        if faults.is_empty() {
            text.push_str(&format!("the audit follows, {}\n", counted(*rows, "row")));
        } else {
            text.push_str("the audit is not as it was written\n");
            text.extend(faults.iter().map(|fault| format!("  {}\n", one_line(fault))));
        }
        if *removed_through > 0 {
            text.push_str(&format!("rows up to {removed_through} were removed for their age\n"));
        }
        text + &format!("head {head}\n")
    })?;
    Ok(if verified.faults.is_empty() { Answer::Done } else { Answer::No })
}
