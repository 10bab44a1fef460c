//! `xapiary call`: any method of a pool, by hand.

mod arguments;
mod finding;
mod task;

use anyhow::Result;
use xapi::Client;
use xapi::model::{schema, typed};

use self::arguments::Draft;
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
    #[command(flatten)]
    output: Output,
}

pub(super) async fn call(arguments: &Arguments) -> Result<Answer> {
    let client = arguments.pool.client()?;
    let drafts = match schema::method(&arguments.method) {
        Some((_, method)) => arguments::read(&arguments.method, method, &arguments.arguments),
        None => Ok(arguments::read_untyped(&arguments.arguments)),
    };
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
    if let Err(error) = &answer
        && let Some(known) = misspelt(&arguments.method)
        && error.downcast_ref::<xapi::Error>().is_some_and(|error| error.is("MESSAGE_METHOD_UNKNOWN"))
    {
        anstream::eprintln!("did you mean {known}?");
    }
    answer
}

async fn carry_out(arguments: &Arguments, client: &Client, drafts: Vec<Draft>) -> Result<Answer> {
    let mut values = Vec::with_capacity(drafts.len());
    for draft in drafts {
        values.push(finding::found(client, draft).await?);
    }
    let method = arguments.method.as_str();
    let value = if arguments.asynchronous {
        task::run(client, method, &values).await?
    } else {
        client.call(method, &values).await?
    };
    let value = match schema::method(&arguments.method) {
        Some((_, method)) => typed(&method.result, value),
        None => value,
    };
    let form = arguments.output.form();
    anstream::print!("{}", output::show(&value, form));
    Ok(Answer::Done)
}

/// The method of the schema that looks most like one that it does not have.
fn misspelt(method: &str) -> Option<String> {
    if schema::method(method).is_some() {
        return None;
    }
    let names = schema::classes()
        .iter()
        .flat_map(|class| class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name)));
    names
        .map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &method.to_lowercase()), name))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(nearness, _)| *nearness > 0.8)
        .map(|(_, name)| name)
}
