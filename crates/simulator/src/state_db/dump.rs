//! Writes a pool's state as `state.db` holds it, so that [`load`](super::load) reads the same pool back.

use quick_xml::escape::escape as xml;
use smol_str::SmolStr;

use super::text::{escape, stored};
use crate::database::{Database, Row, Table};

/// The whole state. Tables whose rows do not survive a restart are there and empty, as in xapi's own files.
///
/// It holds whatever secrets the pool holds.
pub(crate) fn dump(database: &Database) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<database><manifest>");
    let (major, minor) = xapi::model::schema::DATABASE_SCHEMA.split_once('.').unwrap_or_default();
    let generation = database.generation().to_string();
    let known = [("schema_major_vsn", major), ("schema_minor_vsn", minor), ("generation_count", &generation)];
    for (key, value) in known {
        pair(&mut out, key, value);
    }
    for (key, value) in &database.kept.manifest {
        pair(&mut out, key, value);
    }
    out.push_str("</manifest>\n");
    for table in database.tables() {
        self::table(&mut out, table, database);
    }
    for (name, rows) in &database.kept.tables {
        open(&mut out, name);
        for columns in rows {
            out.push_str("<row");
            columns.iter().for_each(|(column, value)| attribute(&mut out, column, &escape(value)));
            out.push_str("/>\n");
        }
        out.push_str("</table>\n");
    }
    out.push_str("</database>\n");
    out
}

fn table(out: &mut String, table: &Table, database: &Database) {
    open(out, table.entry.class.name);
    if table.entry.class.persistent {
        for (reference, row) in &table.rows {
            self::row(out, table, reference, row, database);
        }
    }
    out.push_str("</table>\n");
}

fn row(out: &mut String, table: &Table, reference: &SmolStr, row: &Row, database: &Database) {
    out.push_str("<row");
    let escaped = escape(reference);
    attribute(out, "ref", &escaped);
    attribute(out, "__ctime", &row.created.to_string());
    attribute(out, "__mtime", &row.modified.to_string());
    attribute(out, "_ref", &escaped);
    for (field, value) in table.entry.class.fields.iter().zip(&row.values) {
        attribute(out, field.column(), &escape(&stored(value)));
    }
    for (column, value) in database.kept.columns(table.entry.position, reference) {
        attribute(out, column, &escape(value));
    }
    out.push_str("/>\n");
}

fn open(out: &mut String, name: &str) {
    out.push_str("<table");
    attribute(out, "name", name);
    out.push_str(">\n");
}

fn pair(out: &mut String, key: &str, value: &str) {
    out.push_str("<pair");
    attribute(out, "key", key);
    attribute(out, "value", value);
    out.push_str("/>");
}

fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    out.push_str(&xml(value));
    out.push('"');
}
