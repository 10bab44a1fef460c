//! What a saved state held that the object model does not know. It is served to nobody and written out again, so that a
//! state of a newer or older pool comes back whole.

use std::collections::{BTreeMap, HashMap};

use smol_str::SmolStr;

/// Attributes of one row as written, escapes undone.
pub(crate) type Columns = Vec<(SmolStr, String)>;

/// What was kept of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Pairs of the manifest beside schema and generation; never the pool's token.
    pub(crate) manifest: Columns,
    /// Whole tables by name, the rows in their order.
    pub(crate) tables: BTreeMap<String, Vec<Columns>>,
    /// Further columns of known rows, by the table's position and the row's reference.
    columns: HashMap<(usize, SmolStr), Columns>,
}

impl Kept {
    /// Further columns of a known row.
    pub(crate) fn columns(&self, table: usize, reference: &SmolStr) -> &[(SmolStr, String)] {
        self.columns.get(&(table, reference.clone())).map_or(&[], Vec::as_slice)
    }

    /// Keeps further columns of a known row.
    pub(crate) fn keep(&mut self, table: usize, reference: &SmolStr, columns: Columns) {
        if !columns.is_empty() {
            self.columns.insert((table, reference.clone()), columns);
        }
    }

    /// Forgets them, for the row is gone.
    pub(crate) fn forget(&mut self, table: usize, reference: &SmolStr) {
        if !self.columns.is_empty() {
            self.columns.remove(&(table, reference.clone()));
        }
    }
}
