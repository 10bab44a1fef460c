//! `xapiary objects`: the objects of a pool, found as XAPI finds them, and what they lead to.

mod columns;
mod names;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use xapi::model::schema::Class;
use xapi::model::{Path, Record};
use xapi::query::Query;
use xapi::{Client, Value};

use super::output::{Form, Output, Rows};
use super::pool_choice::PoolChoice;
use super::{Answer, interruptible};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A query compares fields with what they must be: = and !=, in (one, another), joined by and, or, not and parentheses. Texts
stand in quotes; true, false, numbers, null (no object) and () (nothing listed) do not.

Examples:
  xapiary objects lab VM --where 'power_state = \"Running\" and is_control_domain = false'
  xapiary objects lab host --fields name_label,address,enabled --output json
  xapiary objects lab VM --where 'name_label = \"web-1\"' --follow VBDs.VDI.SR --fields name_label,physical_size")]
pub(super) struct Arguments {
    #[command(flatten)]
    pool: PoolChoice,
    /// The class: VM, host, SR, ...
    class: String,
    /// Which of them; all, unless said
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
    /// Fields to show, separated by commas; `all` for every one. Of what --follow leads to, where it is given
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,
    /// Go on to the objects that these fields lead to, such as VBDs.VDI.SR
    #[arg(long, value_name = "FIELDS")]
    follow: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What was asked for, as far as it can be understood without the pool.
struct Question {
    class: &'static Class,
    query: Option<Query>,
    path: Option<Path>,
    /// Fields of the class at the end of the path.
    columns: Vec<String>,
}

pub(super) async fn objects(arguments: &Arguments) -> Result<Answer> {
    let Some(client) = arguments.pool.client() else { return Ok(Answer::Misused) };
    let question = match Question::read(&client, arguments) {
        Ok(question) => question,
        Err(error) => {
            anstream::eprintln!("error: {}", super::chain(&error));
            return Ok(Answer::Misused);
        }
    };
    let shown = interruptible(true, show(&client, question, arguments.output.form())).await;
    client.logout().await;
    shown
}

impl Question {
    fn read(client: &Client, arguments: &Arguments) -> Result<Self> {
        let class = client.find_class(&arguments.class)?.class();
        let query = arguments.query.as_deref().map(Query::parse).transpose().context("--where")?;
        if let Some(query) = &query {
            query.text(class).context("--where")?;
        }
        let path = arguments.follow.as_deref().map(|path| Path::parse(class, path)).transpose();
        let path = path.context("--follow")?;
        let end = path.as_ref().and_then(Path::end).unwrap_or(class);
        let columns = columns::columns(end, &arguments.fields).context("--fields")?;
        Ok(Question { class, query, path, columns })
    }
}

async fn show(client: &Client, question: Question, form: Form) -> Result<Answer> {
    let finder = client.find_class(question.class.name)?;
    let mut records = match &question.query {
        Some(query) => finder.records_where(query).await?,
        None => finder.all_records().await?,
    };
    records.sort_by_cached_key(|record| (names::name(record).to_owned(), record.reference.clone()));
    let rows = match &question.path {
        Some(path) => walked(client, &records, path, question.class, question.columns, form).await?,
        None => {
            let of = |record: &Arc<Record>| cells(Some(record), &question.columns);
            let rows = records.iter().map(of).collect();
            let mut rows = Rows { head: question.columns.clone(), rows };
            if form == Form::Table {
                names::instead_of_references(client, question.class, 0, &mut rows).await?;
            }
            rows
        }
    };
    if records.is_empty() {
        // Beside the output, which a program may read.
        anstream::eprintln!("nothing found");
    } else {
        anstream::print!("{}", rows.show(form));
    }
    Ok(if records.is_empty() { Answer::No } else { Answer::Done })
}

/// A row for each way that the path takes: what it goes by, named, and the fields of where it ends. A way that ends early
/// leaves the rest of its row empty.
async fn walked(
    client: &Client,
    starts: &[Arc<Record>],
    path: &Path,
    class: &'static Class,
    columns: Vec<String>,
    form: Form,
) -> Result<Rows> {
    let fetched = client.follow(starts, path).await?;
    let steps = path.steps();
    let by = steps.len();
    let mut head = vec![class.name.to_owned()];
    head.extend(steps.iter().take(by - 1).map(|step| step.field.name.to_owned()));
    let last = steps.last().map_or("", |step| step.field.name);
    head.extend(columns.iter().map(|column| format!("{last}.{column}")));
    let named = |record: &Arc<Record>| {
        // A uuid is what a program can go on with.
        let text = if form == Form::Table { names::name(record) } else { record.text("uuid") };
        Some(Value::from(text))
    };
    let mut rows = Vec::new();
    for start in starts {
        for chain in path.chains(start, |class, reference| fetched.get(class, reference).cloned())? {
            let mut row = vec![named(start)];
            row.extend((0..by - 1).map(|step| chain.objects.get(step).and_then(named)));
            row.extend(cells(chain.objects.get(by - 1), &columns));
            rows.push(row);
        }
    }
    let mut rows = Rows { head, rows };
    if form == Form::Table
        && let Some(end) = path.end()
    {
        names::instead_of_references(client, end, by, &mut rows).await?;
    }
    Ok(rows)
}

fn cells(record: Option<&Arc<Record>>, columns: &[String]) -> Vec<Option<Value>> {
    columns.iter().map(|column| record.and_then(|record| record.get(column).cloned())).collect()
}
