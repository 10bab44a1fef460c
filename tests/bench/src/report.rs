//! All rows: shown as a table, written as JSON.

use std::path::Path;

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use crate::row::Row;

/// The rows so far, in their order.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Takes rows in.
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Shows the table; `rough` tells that the figures of this run prove nothing.
    pub(crate) fn print(&self, rough: bool) {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["name", "figure", "unit", "against", "ratio", "goal", "met"]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in [1, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!();
        for line in table.lines() {
            println!("{}", line.trim_end());
        }
        if rough {
            println!(
                "\nA short run or a build without optimisation: these figures show only that everything works."
            );
        }
    }

    /// Writes the rows as a list of objects.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let rows: Value = self.rows.iter().map(Row::to_json).collect();
        let text = serde_json::to_string_pretty(&rows).context("writing the rows as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        println!("\nwritten: {}", path.display());
        Ok(())
    }
}
