//! `xapiary call`: any method of a pool, by hand.

pub(super) mod arguments;
mod finding;
mod task;

use std::time::Duration;

use anyhow::{Context as _, Result};
use xapi::model::{schema, typed};
use xapi::suggestion::{self, shown};
use xapi::{Client, Value};

use self::arguments::{ArgumentError, Draft};
use super::output::{self, Output};
use super::pool_choice::PoolChoice;
use super::{Answer, interruptible};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
ARGUMENTS are those of the method without the session, by place or as NAME=VALUE. Where the method takes an object, its
uuid, its name or its opaque reference will do. Sets, maps and records are JSON.

Examples:
  xapiary call lab VM.start web-1 start_paused=false force=false
  xapiary call lab VM.snapshot vm=web-1 new_name=before-update --async
  xapiary call lab VM.get_record web-1 --output json
  xapiary call lab VM.set_tags web-1 '[\"keepalive\"]'")]
pub(super) struct Arguments {
    #[command(flatten)]
    pool: PoolChoice,
    /// CLASS.METHOD, such as VM.start
    method: String,
    /// The arguments of the method
    #[arg(value_name = "ARGUMENTS")]
    arguments: Vec<String>,
    /// Start it as a task, show how far it is, and wait for its end
    #[arg(long = "async")]
    asynchronous: bool,
    /// With --async: how long to wait for a pool that is silent; a restart of its toolstack takes less than a minute
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::duration, requires = "asynchronous")]
    patience: Duration,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn call(arguments: &Arguments) -> Result<Answer> {
    let Some(client) = arguments.pool.client() else { return Ok(Answer::Misused) };
    let method = schema::method(&arguments.method).map(|(_, method)| method);
    let drafts = drafts(&arguments.method, &arguments.arguments);
    let drafts = match drafts {
        Ok(drafts) => drafts,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            return Ok(Answer::Misused);
        }
    };
    // An asynchronous call listens to interrupts itself once it has begun.
    let answer = interruptible(!arguments.asynchronous, carry_out(arguments, &client, drafts)).await;
    client.logout().await;
    let unknown = |error: &anyhow::Error| {
        error.downcast_ref::<xapi::Error>().is_some_and(|error| error.is("MESSAGE_METHOD_UNKNOWN"))
    };
    match answer {
        // One of a newer pool, which the schema does not have, is worth trying; what was meant is said where it fails.
        Err(error) if unknown(&error) && method.is_none() => {
            let names = schema::classes().iter().flat_map(|class| {
                class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name))
            });
            let meant = suggestion::for_name(&arguments.method, names);
            anyhow::bail!("the pool has no method {}{}", arguments.method, shown(meant.as_deref()))
        }
        answer => answer,
    }
}

async fn carry_out(arguments: &Arguments, client: &Client, drafts: Vec<Draft>) -> Result<Answer> {
    let values = found(client, drafts).await?;
    let method = arguments.method.as_str();
    let value = if arguments.asynchronous {
        task::run(client, method, &values, arguments.patience).await?
    } else {
        at_once(client, method, &values).await?
    };
    let value = match schema::method(&arguments.method) {
        Some((_, method)) => typed(&method.result, value),
        None => value,
    };
    let form = arguments.output.form();
    anstream::print!("{}", output::show(&value, form));
    Ok(Answer::Done)
}

/// The arguments of a method as they are written.
pub(super) fn drafts(method: &str, written: &[String]) -> Result<Vec<Draft>, ArgumentError> {
    match schema::method(method) {
        Some((_, known)) => arguments::read(method, known, written),
        None => Ok(arguments::read_untyped(written)),
    }
}

/// The values of arguments, the objects in them looked up in the pool.
pub(super) async fn found(client: &Client, drafts: Vec<Draft>) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(drafts.len());
    for draft in drafts {
        values.push(finding::found(client, draft).await?);
    }
    Ok(values)
}

/// Calls and waits for the answer. Where none comes, what that means for the pool is said with why.
async fn at_once(client: &Client, method: &str, values: &[Value]) -> Result<Value> {
    let changes = schema::method(method).is_none_or(|(_, method)| method.changes());
    let goes_on = "the pool may go on with it or have done it: look before calling again";
    let answer = tokio::select! {
        answer = client.call(method, values) => answer,
        _ = tokio::signal::ctrl_c(), if changes => anyhow::bail!("interrupted, {goes_on}"),
    };
    match answer {
        Err(error) if changes && error.failure().is_none() && !error.nothing_done() => {
            Err(error).context(goes_on)
        }
        answer => Ok(answer?),
    }
}
