//! How answers of a pool and of the daemon are shown: as a table for people, as JSON or plain lines for programs.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table};
use serde_json::Value as Json;
use xapi::Value;

/// So much of a text is shown in a listing, in characters.
const BRIEF: usize = 80;

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Aligned columns with a head, for reading.
    Table,
    /// JSON.
    Json,
    /// One thing a line, columns separated by tabs, no head.
    Plain,
}

/// The option that chooses it.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// How to show the answer; a table on a terminal and plain lines elsewhere, unless said otherwise
    #[arg(long, short, value_name = "FORM")]
    output: Option<Form>,
}

impl Output {
    /// What was asked for, or what fits where the output goes.
    pub(super) fn form(&self) -> Form {
        self.output.unwrap_or(if std::io::stdout().is_terminal() { Form::Table } else { Form::Plain })
    }
}

/// Rows under a head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    /// Names of the columns.
    pub(super) head: Vec<String>,
    /// As many values as there are columns; `None` where there is nothing.
    pub(super) rows: Vec<Vec<Option<Value>>>,
}

impl Rows {
    /// The text, ending with a line's end unless it is empty.
    pub(super) fn show(&self, form: Form) -> String {
        match form {
            Form::Table => self.table(),
            Form::Json => self.json(),
            Form::Plain => self.plain(),
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.set_header(&self.head);
        for row in &self.rows {
            table.add_row(row.iter().map(|value| value.as_ref().map(in_cell).unwrap_or_default()));
        }
        lines(&mut table)
    }

    fn json(&self) -> String {
        let object = |row: &Vec<Option<Value>>| {
            let members = self.head.iter().cloned().zip(row);
            Json::Object(
                members.map(|(name, value)| (name, value.as_ref().map_or(Json::Null, json))).collect(),
            )
        };
        pretty(&Json::Array(self.rows.iter().map(object).collect()))
    }

    fn plain(&self) -> String {
        let line = |row: &Vec<Option<Value>>| {
            let cells = row.iter().map(|value| value.as_ref().map(in_cell).unwrap_or_default());
            cells.collect::<Vec<_>>().join("\t") + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// One value as an answer by itself. Nothing is no line, but in JSON.
pub(super) fn show(value: &Value, form: Form) -> String {
    match (form, value) {
        (Form::Table | Form::Plain, Value::String(text)) if text.is_empty() => String::new(),
        (Form::Json, value) => pretty(&json(value)),
        (_, Value::Array(elements)) => elements.iter().map(|element| in_cell(element) + "\n").collect(),
        (Form::Table, Value::Struct(members)) => {
            let mut table = Table::new();
            for (name, value) in members.iter() {
                table.add_row([name.to_string(), in_cell(value)]);
            }
            lines(&mut table)
        }
        (Form::Plain, Value::Struct(members)) => {
            members.iter().map(|(name, value)| format!("{name}\t{}\n", in_cell(value))).collect()
        }
        (_, value) => in_cell(value) + "\n",
    }
}

/// Rows of text under a head, which may be empty.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    if !head.is_empty() {
        table.set_header(head);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    lines(&mut table)
}

/// Names and what they stand for; what is empty is left out, further lines of a text stand below the first.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let told = facts.iter().filter(|(_, value)| !value.is_empty());
    let rows = told.flat_map(|(name, value)| {
        let names = std::iter::once(*name).chain(std::iter::repeat(""));
        names.zip(value.lines()).map(|(name, line)| vec![name.to_owned(), line.to_owned()])
    });
    table(&[], rows)
}

/// The beginning of a text that is longer than a column of a listing should be.
pub(super) fn brief(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= BRIEF && first.len() == text.len() {
        return text.to_owned();
    }
    first.chars().take(BRIEF).collect::<String>() + "..."
}

/// So many things.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A span of time, in seconds, as short as can be read.
pub(super) fn span(seconds: f64) -> String {
    let Ok(span) = Duration::try_from_secs_f64(seconds) else { return "-".to_owned() };
    if span < Duration::from_secs(1) {
        format!("{:.1} ms", seconds * 1000.0)
    } else if span < Duration::from_secs(60) {
        format!("{seconds:.1} s")
    } else {
        humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
    }
}

/// A number of bytes, as short as can be read.
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Columns side by side, without frames and loose ends.
fn lines(table: &mut Table) -> String {
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A value within a line: what would break the line or a terminal is escaped, sets and maps are JSON.
fn in_cell(value: &Value) -> String {
    match value {
        Value::String(text) | Value::DateTime(text) => one_line(text),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(elements) if elements.iter().all(|element| matches!(element, Value::String(_))) => {
            let words: Vec<String> = elements.iter().map(in_cell).collect();
            words.join(", ")
        }
        Value::Array(_) | Value::Struct(_) => json(value).to_string(),
    }
}

/// Names come from whoever may name an object; they must not move the cursor or break a column.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            // Writing to a String cannot fail.
            _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// JSON proper: what it cannot express, a float that is no number, is null.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::String(text) | Value::DateTime(text) => Json::String(text.to_string()),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Bool(truth) => (*truth).into(),
        Value::Array(elements) => elements.iter().map(json).collect(),
        Value::Struct(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.to_string(), json(value))).collect())
        }
    }
}

/// The JSON text in lines, ending with a line's end, with nothing in it that could move the cursor.
pub(super) fn pretty(json: &Json) -> String {
    tame(&format!("{json:#}\n"))
}

/// The JSON text in one line, ending with a line's end, with nothing in it that could move the cursor.
pub(super) fn json_line(json: &Json) -> String {
    tame(&format!("{json}\n"))
}

/// JSON may hold some control characters as they are. Outside of texts there are none but the ends of lines.
fn tame(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() && character != '\n' {
            // Writing to a String cannot fail.
            _ = write!(shown, "\\u{:04x}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let row = |name: &str, memory: i64| vec![Some(Value::from(name)), Some(memory.into()), None];
        Rows {
            head: ["name_label", "memory", "SR"].map(str::to_owned).to_vec(),
            rows: vec![row("web", 1024), row("a\tb\u{1b}[2J", 2)],
        }
    }

    #[test]
    fn a_table_has_a_head_and_no_loose_ends() {
        let table = rows().show(Form::Table);
        let first = table.lines().next().expect("there is a head");
        assert_eq!(first.split_whitespace().collect::<Vec<_>>(), ["name_label", "memory", "SR"]);
        assert!(table.lines().all(|line| line == line.trim_end()), "{table:?}");
    }

    #[test]
    fn a_name_cannot_break_a_column_or_move_the_cursor() {
        assert_eq!(rows().show(Form::Plain), "web\t1024\t\na\\tb\\u{1b}[2J\t2\t\n");
    }

    #[test]
    fn json_says_null_where_there_is_nothing() {
        let json: Json = serde_json::from_str(&rows().show(Form::Json)).expect("it is JSON");
        assert_eq!(json[0], serde_json::json!({"name_label": "web", "memory": 1024, "SR": null}));
        assert_eq!(show(&Value::Float(f64::NAN), Form::Json), "null\n");
        let shown = show(&Value::from("a\u{9b}2J\u{7f}\u{1b}"), Form::Json);
        assert_eq!(shown, "\"a\\u009b2J\\u007f\\u001b\"\n");
    }

    #[test]
    fn a_long_text_is_cut_in_a_listing_and_whole_among_facts() {
        assert_eq!(brief("short"), "short");
        assert_eq!(brief("first\nsecond"), "first...");
        assert_eq!(brief(&"ä".repeat(81)), "ä".repeat(80) + "...");
        let shown = facts(&[("why", "first\nsecond\u{7}".to_owned()), ("empty", String::new())]);
        assert_eq!(shown, "why  first\n     second\\u{7}\n");
    }

    #[test]
    fn a_set_is_one_thing_a_line() {
        let set = Value::Array(vec!["OpaqueRef:1".into(), "OpaqueRef:2".into()]);
        assert_eq!(show(&set, Form::Plain), "OpaqueRef:1\nOpaqueRef:2\n");
    }
}
