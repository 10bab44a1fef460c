//! Reads a saved state of any age: with or without generations, raw or escaped spaces, columns and tables that are not
//! known (counted and kept), columns that are new since (defaults). Sets that follow from other rows are computed.
//! A file that is no state database is refused with the place where that shows.

use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::{AttrError, Attribute};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use smol_str::SmolStr;
use xapi::model::schema::Type;
use xapi::{Struct, Value};

use crate::catalog::{self, Entry};
use crate::database::Database;
use crate::defaults;

use super::kept::Columns;
use super::sexpr::{self, Expression};
use super::text::unescape;

/// Why bytes are no state database.
#[derive(Debug, thiserror::Error)]
#[error("not a state database: {what} (line {line}, byte {byte})")]
pub struct StateError {
    what: String,
    line: usize,
    byte: usize,
}

/// What a state database held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadNotes {
    /// The schema version that the file names, such as `5.66`; empty where it names none.
    pub schema: String,
    /// Rows that were taken.
    pub rows: usize,
    /// Rows by table that the object model does not know. They are kept and dumped again, but not served.
    pub unknown_tables: BTreeMap<String, usize>,
    /// How many rows had a column that the object model does not know, by `table.column`. They are kept and dumped
    /// again, but not served.
    pub unknown_columns: BTreeMap<String, usize>,
    /// Rows by table that do not survive a restart (sessions, tasks).
    pub dropped: BTreeMap<String, usize>,
}

/// Reads a whole file.
pub(crate) fn load(bytes: &[u8]) -> Result<(Database, LoadNotes), StateError> {
    let at = |what: &str, byte| StateError::new(what, bytes, byte);
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(at("it is compressed, unpack it with gunzip first", 0));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| at("not UTF-8", error.valid_up_to()))?;
    let mut loader = Loader {
        text,
        reader: Reader::from_str(text),
        database: Database::new(),
        notes: LoadNotes::default(),
        schema: (None, None),
        generation: 1,
    };
    loader.document()?;
    let Loader { mut database, mut notes, schema, generation, .. } = loader;
    for class in ["pool", "host"] {
        if database.table(class).is_none_or(|table| table.rows.is_empty()) {
            return Err(at(&format!("it holds no {class}"), bytes.len()));
        }
    }
    if let (Some(major), Some(minor)) = schema {
        notes.schema = format!("{major}.{minor}");
    }
    database.relink();
    database.restamp(generation.max(1));
    Ok((database, notes))
}

struct Loader<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    database: Database,
    notes: LoadNotes,
    schema: (Option<String>, Option<String>),
    generation: i64,
}

impl<'t> Loader<'t> {
    fn document(&mut self) -> Result<(), StateError> {
        let mut table: Option<(String, Option<&'static Entry>)> = None;
        let mut depth = 0usize;
        loop {
            let event = self.reader.read_event();
            match event.map_err(|error| self.error(error.to_string()))? {
                Event::Start(tag) => {
                    self.tag(&tag, depth, &mut table)?;
                    depth += 1;
                }
                Event::Empty(tag) => self.tag(&tag, depth, &mut table)?,
                Event::End(_) => {
                    depth = depth.saturating_sub(1);
                    if depth == 1 {
                        table = None;
                    }
                }
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(self.error("text where only tables and rows stand"));
                }
                Event::Eof if depth > 0 => return Err(self.error("it ends early")),
                Event::Eof => return Ok(()),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    fn tag(
        &mut self,
        tag: &BytesStart<'t>,
        depth: usize,
        table: &mut Option<(String, Option<&'static Entry>)>,
    ) -> Result<(), StateError> {
        let name = tag.name();
        match (depth, name.as_ref()) {
            (0, "database") | (1, "manifest") => Ok(()),
            (0, other) => Err(self.error(format!("the root is <{}>, not <database>", other.escape_debug()))),
            (2, "pair") => self.pair(tag),
            (1, "table") => {
                let named =
                    self.attribute(tag, "name")?.ok_or_else(|| self.error("a table without a name"))?;
                let entry = catalog::entry(&named);
                *table = Some((named, entry));
                Ok(())
            }
            (2, "row") => match table {
                Some((_, Some(entry))) => self.row(tag, entry),
                Some((named, None)) => {
                    *self.notes.unknown_tables.entry(named.clone()).or_default() += 1;
                    let columns = self.columns(tag)?;
                    self.database.kept.tables.entry(named.clone()).or_default().push(columns);
                    Ok(())
                }
                None => Err(self.error("a row outside a table")),
            },
            (_, other) => Err(self.error(format!("unexpected <{}>", other.escape_debug()))),
        }
    }

    /// The manifest: the schema and the generation matter here. The pool's token in old files is not taken.
    fn pair(&mut self, tag: &BytesStart<'t>) -> Result<(), StateError> {
        let key = self.attribute(tag, "key")?.unwrap_or_default();
        let value = self.attribute(tag, "value")?.unwrap_or_default();
        match key.as_str() {
            "schema_major_vsn" => self.schema.0 = Some(value),
            "schema_minor_vsn" => self.schema.1 = Some(value),
            "generation_count" => {
                self.generation =
                    value.parse().map_err(|_| self.error("the manifest's generation_count is no integer"))?;
            }
            // A secret of the hosts that old files hold.
            "pool_token" => {}
            _ => self.database.kept.manifest.push((key.into(), value)),
        }
        Ok(())
    }

    fn row(&mut self, tag: &BytesStart<'t>, entry: &'static Entry) -> Result<(), StateError> {
        let class = entry.class.name;
        if !entry.class.persistent {
            *self.notes.dropped.entry(class.to_owned()).or_default() += 1;
            return Ok(());
        }
        let mut reference = None;
        let mut values: Vec<Option<Value>> = vec![None; entry.class.fields.len()];
        let mut kept = Columns::new();
        for (column, text) in self.columns(tag)? {
            match column.as_str() {
                "ref" => reference = Some(SmolStr::new(text)),
                "_ref" if reference.is_none() => reference = Some(SmolStr::new(text)),
                "_ref" | "__ctime" | "__mtime" => {}
                _ => match position_of(entry, &column) {
                    Some((position, kind)) => {
                        let value = value(kind, &text)
                            .map_err(|what| self.error(format!("{class}.{column} of a row: {what}")))?;
                        if let Some(slot) = values.get_mut(position) {
                            *slot = Some(value);
                        }
                    }
                    None => {
                        *self.notes.unknown_columns.entry(format!("{class}.{column}")).or_default() += 1;
                        kept.push((column, text));
                    }
                },
            }
        }
        let reference =
            reference.ok_or_else(|| self.error(format!("a row of {class} without a reference")))?;
        let values = values
            .into_iter()
            .zip(entry.class.fields)
            .map(|(value, field)| value.unwrap_or_else(|| defaults::of(class, field)))
            .collect();
        self.database.kept.keep(entry.position, &reference, kept);
        self.database.load(entry, reference, values);
        self.notes.rows += 1;
        Ok(())
    }

    /// All attributes, escapes undone.
    fn columns(&self, tag: &BytesStart<'t>) -> Result<Columns, StateError> {
        let column = |attribute: Result<Attribute<'_>, AttrError>| {
            let attribute = attribute.map_err(|error| self.error(error.to_string()))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| self.error(error.to_string()))?;
            Ok((SmolStr::new(attribute.key.as_ref()), unescape(&value)))
        };
        tag.attributes().map(column).collect()
    }

    fn attribute(&self, tag: &BytesStart<'t>, name: &str) -> Result<Option<String>, StateError> {
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| self.error(error.to_string()))?;
            if attribute.key.as_ref() == name {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0);
                return value
                    .map(|value| Some(value.into_owned()))
                    .map_err(|error| self.error(error.to_string()));
            }
        }
        Ok(None)
    }

    fn error(&self, what: impl Into<String>) -> StateError {
        StateError::new(
            what,
            self.text.as_bytes(),
            self.text.len().saturating_sub(self.reader.get_ref().len()),
        )
    }
}

impl StateError {
    fn new(what: impl Into<String>, bytes: &[u8], byte: usize) -> Self {
        let line = 1 + bytes.iter().take(byte).filter(|byte| **byte == b'\n').count();
        StateError { what: what.into(), line, byte }
    }
}

/// The field that a column belongs to: by the schema's column, or by its plain name.
fn position_of(entry: &'static Entry, column: &str) -> Option<(usize, &'static Type)> {
    let fields = entry.class.fields.iter().enumerate();
    let found = fields.clone().find(|(_, field)| field.column() == column);
    let plain = || fields.clone().find(|(_, field)| field.name == column.replace("__", "_"));
    found.or_else(plain).map(|(position, field)| (position, &field.kind))
}

/// One column's text as the value of its type.
fn value(kind: &Type, text: &str) -> Result<Value, String> {
    match kind {
        Type::Int => text.trim().parse().map(Value::Int).map_err(|_| "no integer".into()),
        Type::Float => text.trim().parse().map(Value::Float).map_err(|_| "no float".into()),
        Type::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("neither true nor false".into()),
        },
        Type::DateTime => Ok(Value::DateTime(text.into())),
        Type::Set(element) => match expression(text)? {
            Expression::List(elements) => {
                elements.iter().map(|part| leaf(element, part)).collect::<Result<_, _>>().map(Value::Array)
            }
            Expression::Text(_) => Err("no set".into()),
        },
        Type::Map(_, element) => match expression(text)? {
            Expression::List(pairs) => pairs
                .iter()
                .map(|pair| member(element, pair))
                .collect::<Result<Struct, _>>()
                .map(Value::Struct),
            Expression::Text(_) => Err("no map".into()),
        },
        Type::Option(inner) => value(inner, text),
        Type::String | Type::Ref(_) | Type::Enum(_) | Type::Void | Type::Record(_) => Ok(text.into()),
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    if text.trim().is_empty() { Ok(Expression::List(Vec::new())) } else { sexpr::parse(text) }
}

fn leaf(kind: &Type, part: &Expression) -> Result<Value, String> {
    match part {
        Expression::Text(text) => value(kind, text),
        Expression::List(_) => Err("a list inside a set".into()),
    }
}

fn member(kind: &Type, pair: &Expression) -> Result<(SmolStr, Value), String> {
    match pair {
        Expression::List(parts) => match parts.as_slice() {
            [Expression::Text(key), part] => Ok((key.into(), leaf(kind, part)?)),
            _ => Err("a map's entry is no pair".into()),
        },
        Expression::Text(_) => Err("a map's entry is no pair".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rows: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<database><manifest><pair key=\"schema_major_vsn\" value=\"5\"/>\
             <pair key=\"schema_minor_vsn\" value=\"909\"/><pair key=\"generation_count\" value=\"4711\"/></manifest>\
             <table name=\"pool\"><row ref=\"OpaqueRef:p\" master=\"OpaqueRef:h\"/></table>\
             <table name=\"host\"><row ref=\"OpaqueRef:h\"/></table>{rows}</database>"
        )
    }

    #[test]
    fn rows_are_typed_escaped_and_linked() {
        let rows = "<table name=\"VM\"><row ref=\"OpaqueRef:v\" __ctime=\"10\" __mtime=\"12\" name__label=\"web%.1%n%%\" \
                    memory__target=\"4294967296\" is_a_template=\"false\" other_config=\"(('a'%.'1')%.('b'%.'x%.y'))\" \
                    tags=\"('t 1' &quot;t2&quot;)\" HVM__shadow_multiplier=\"1.5\" VBDs=\"()\" \
                    resident_on=\"OpaqueRef:h\" made_up=\"1\"/></table>\
                    <table name=\"VBD\"><row ref=\"OpaqueRef:b\" VM=\"OpaqueRef:v\"/></table>\
                    <table name=\"task\"><row ref=\"OpaqueRef:t\"/></table><table name=\"Made_up\"><row/></table>";
        let (database, notes) = load(state(rows).as_bytes()).unwrap();
        assert_eq!(database.text("VM", "OpaqueRef:v", "name_label"), "web 1\n%");
        assert_eq!(database.int("VM", "OpaqueRef:v", "memory_target"), 4_294_967_296);
        assert_eq!(database.value("VM", "OpaqueRef:v", "HVM_shadow_multiplier"), Some(&Value::Float(1.5)));
        assert_eq!(database.words("VM", "OpaqueRef:v", "tags"), ["t 1", "t2"]);
        assert_eq!(database.words("VM", "OpaqueRef:v", "VBDs"), ["OpaqueRef:b"]);
        assert_eq!(database.words("host", "OpaqueRef:h", "resident_VMs"), ["OpaqueRef:v"]);
        let config = database.value("VM", "OpaqueRef:v", "other_config").unwrap().as_struct().unwrap();
        assert_eq!(config.get("b"), Some(&"x y".into()));
        assert_eq!(database.text("VM", "OpaqueRef:v", "actions_after_crash"), "restart", "a default");
        assert_eq!(database.row("VM", "OpaqueRef:v").unwrap().created, 4711, "stamped anew");
        assert_eq!(notes.schema, "5.909");
        assert_eq!(notes.rows, 4);
        assert_eq!(notes.unknown_columns, [("VM.made_up".to_owned(), 1)].into());
        assert_eq!(notes.unknown_tables, [("Made_up".to_owned(), 1)].into());
        assert_eq!(notes.dropped, [("task".to_owned(), 1)].into());
    }

    #[test]
    fn what_is_no_state_database_says_where() {
        for (text, said) in [
            (String::new(), "it holds no pool (line 1, byte 0)"),
            ("hello".into(), "text where only tables"),
            ("<html>\n</html>".into(), "the root is <html>, not <database> (line 1"),
            ("<database>\n<table name=\"VM\">".into(), "it ends early (line 2"),
            ("<database>\n\n<row ref=\"x\"/></database>".into(), "unexpected <row> (line 3"),
            ("<database>\n<table name=\"VM\"></tabel></database>".into(), "(line 2"),
            (
                state("\n<table name=\"VM\"><row ref=\"x\" domid=\"many\"/></table>"),
                "VM.domid of a row: no integer (line 3",
            ),
            (
                state("<table name=\"VM\"><row ref=\"x\" tags=\"('a\"/></table>"),
                "VM.tags of a row: a string does not end",
            ),
            (state("<table name=\"VM\"><row uuid=\"x\"/></table>"), "without a reference"),
            ("<database/>".into(), "it holds no pool"),
        ] {
            let error = load(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("not a state database: ") && error.contains(said), "{text}\n{error}");
        }
        assert!(load(&[0x1f, 0x8b, 8]).unwrap_err().to_string().contains("gunzip"));
        assert!(load(&[b'<', 0xff]).unwrap_err().to_string().contains("not UTF-8"));
    }
}
