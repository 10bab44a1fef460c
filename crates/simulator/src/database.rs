//! Tables of rows with both ends of relations kept, and a generation for every change.
//!
//! Follows xapi's own database: one counter for all writes, rows touched by one write share its number, a write
//! that changes nothing counts as no write, deletions are remembered for a while only. Knows no methods, no
//! sessions and no time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smol_str::SmolStr;
use xapi::{NULL_REF, Struct, Value};

use crate::catalog::{self, End, Entry, Place};
use crate::defaults;
use crate::random::Random;
use crate::state_db::Kept;

/// Deletions that a table remembers at most; beyond, it forgets all but [`GRAVES_KEPT`].
const GRAVES_MAX: usize = 511;
const GRAVES_KEPT: usize = 256;

/// All tables of one pool.
#[derive(Debug)]
pub(crate) struct Database {
    tables: Vec<Table>,
    generation: i64,
    /// What a saved state held beside.
    pub(crate) kept: Kept,
    changes: Vec<Change>,
    /// Whether somebody wants to know of everything that happens.
    watched: bool,
    occurrences: Vec<Occurrence>,
}

/// One change of one row with its picture, for whoever wants a log and not a difference.
#[derive(Debug)]
pub(crate) struct Occurrence {
    pub(crate) class: &'static str,
    pub(crate) reference: SmolStr,
    /// `add`, `mod` or `del`.
    pub(crate) operation: &'static str,
    /// The record after the change; of what was deleted, the last one.
    pub(crate) snapshot: Struct,
}

/// What was written, for whoever follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) class: &'static str,
    pub(crate) reference: SmolStr,
    /// The field; none for a new object.
    pub(crate) field: Option<&'static str>,
}

/// All rows of one class.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the schema says of it.
    pub(crate) entry: &'static Entry,
    /// Rows by reference.
    pub(crate) rows: BTreeMap<SmolStr, Row>,
    /// The same rows by their last change, so that those who follow a large pool need not look at all of it.
    by_change: BTreeSet<(i64, SmolStr)>,
    /// Deletions, oldest first.
    pub(crate) graves: VecDeque<Grave>,
}

/// One object.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Values in the order of the class's fields.
    pub(crate) values: Vec<Value>,
    /// Generation at which it came.
    pub(crate) created: i64,
    /// Generation of its last change.
    pub(crate) modified: i64,
}

/// One object that is no more.
#[derive(Debug, Clone)]
pub(crate) struct Grave {
    pub(crate) reference: SmolStr,
    pub(crate) created: i64,
    pub(crate) deleted: i64,
}

impl Database {
    /// Empty tables for every class.
    pub(crate) fn new() -> Self {
        let tables = catalog::entries()
            .iter()
            .map(|entry| Table {
                entry,
                rows: BTreeMap::new(),
                by_change: BTreeSet::new(),
                graves: VecDeque::new(),
            })
            .collect();
        Database {
            tables,
            generation: 1,
            kept: Kept::default(),
            changes: Vec::new(),
            watched: false,
            occurrences: Vec::new(),
        }
    }

    /// The number of the last write.
    pub(crate) fn generation(&self) -> i64 {
        self.generation
    }

    /// All tables in the order of the datamodel.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The table of a class, by its name with case.
    pub(crate) fn table(&self, class: &str) -> Option<&Table> {
        self.tables.get(catalog::entry(class)?.position)
    }

    /// One row.
    pub(crate) fn row(&self, class: &str, reference: &str) -> Option<&Row> {
        self.table(class)?.rows.get(reference)
    }

    /// One field of one row.
    pub(crate) fn value(&self, class: &str, reference: &str, field: &str) -> Option<&Value> {
        let entry = catalog::entry(class)?;
        self.row(class, reference)?.values.get(entry.position_of(field)?)
    }

    /// One text field; empty where there is none.
    pub(crate) fn text(&self, class: &str, reference: &str, field: &str) -> &str {
        self.value(class, reference, field).and_then(Value::as_str).unwrap_or_default()
    }

    /// One integer field; 0 where there is none.
    pub(crate) fn int(&self, class: &str, reference: &str, field: &str) -> i64 {
        self.value(class, reference, field).and_then(Value::as_int).unwrap_or_default()
    }

    /// One truth field; false where there is none.
    pub(crate) fn truth(&self, class: &str, reference: &str, field: &str) -> bool {
        self.value(class, reference, field).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The texts of a set field, such as the references it lists.
    pub(crate) fn words(&self, class: &str, reference: &str, field: &str) -> Vec<SmolStr> {
        let elements = self.value(class, reference, field).and_then(Value::as_array).unwrap_or_default();
        let word = |element: &Value| match element {
            Value::String(word) => Some(word.clone()),
            _ => None,
        };
        elements.iter().filter_map(word).collect()
    }

    /// One row as a record, fields in the order of the datamodel.
    pub(crate) fn record(&self, class: &str, reference: &str) -> Option<Struct> {
        let table = self.table(class)?;
        table.rows.get(reference).map(|row| table.record(row))
    }

    /// The reference of the row that has this uuid.
    pub(crate) fn by_uuid(&self, class: &str, uuid: &str) -> Option<SmolStr> {
        self.table(class)?.with("uuid", uuid).next().cloned()
    }

    /// Writes the generation anew and stamps every row with it, as loading a saved state does; deletions are
    /// forgotten.
    pub(crate) fn restamp(&mut self, generation: i64) {
        self.generation = generation;
        for table in &mut self.tables {
            table.graves.clear();
            for row in table.rows.values_mut() {
                (row.created, row.modified) = (generation, generation);
            }
            table.by_change = table.rows.keys().map(|reference| (generation, reference.clone())).collect();
        }
    }

    /// Forgets which objects of a class were deleted, or of all classes: whoever follows is not told.
    pub(crate) fn forget_deletions(&mut self, class: Option<&str>) {
        let meant = |table: &&mut Table| class.is_none_or(|class| table.entry.class.name == class);
        for table in self.tables.iter_mut().filter(meant) {
            table.graves.clear();
        }
    }

    /// What was written since the last time, oldest first. Deletions are not in it, but the sets that they change.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Says whether pictures of all changes are wanted from now on.
    pub(crate) fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// What happened since the last time while it was watched, oldest first.
    pub(crate) fn take_occurrences(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.occurrences)
    }

    /// Keeps the picture of something that happened beside the tables, such as to a message.
    pub(crate) fn note(&mut self, occurrence: Occurrence) {
        if self.watched {
            self.occurrences.push(occurrence);
        }
    }

    /// Keeps the picture of a row that was added or changed.
    fn note_row(&mut self, table: usize, reference: &str, operation: &'static str) {
        if !self.watched {
            return;
        }
        let Some(table) = self.tables.get(table).filter(|table| table.entry.class.events) else { return };
        if let Some((reference, row)) = table.rows.get_key_value(reference) {
            let (reference, snapshot) = (reference.clone(), table.record(row));
            self.occurrences.push(Occurrence {
                class: table.entry.class.name,
                reference,
                operation,
                snapshot,
            });
        }
    }

    /// Counts a change that is no row's, such as a message, and returns its number.
    pub(crate) fn bump(&mut self) -> i64 {
        self.generation += 1;
        self.generation
    }

    /// Adds a row. Fields that are not named get their defaults; sets that follow from other rows are not taken.
    /// Does nothing for a class without a table.
    pub(crate) fn create(&mut self, class: &str, reference: &SmolStr, fields: Vec<(&str, Value)>) {
        let Some(entry) = catalog::entry(class) else { return };
        let generation = self.bump();
        let mut values: Vec<Value> =
            entry.class.fields.iter().map(|field| defaults::of(class, field)).collect();
        for (name, value) in fields {
            if let Some(position) = entry.position_of(name)
                && entry.ends.get(position) != Some(&End::Follows)
                && let Some(slot) = values.get_mut(position)
            {
                *slot = value;
            }
        }
        let links: Vec<(usize, Value)> =
            values.iter().enumerate().map(|(position, value)| (position, value.clone())).collect();
        let row = Row { values, created: generation, modified: generation };
        if let Some(table) = self.tables.get_mut(entry.position) {
            table.put(reference.clone(), row);
        }
        self.changes.push(Change { class: entry.class.name, reference: reference.clone(), field: None });
        self.note_row(entry.position, reference, "add");
        for (position, value) in links {
            if let Some(End::Points(place) | End::Shares(place)) = entry.ends.get(position) {
                for target in references(&value) {
                    self.link(*place, &target, reference, generation);
                }
            }
        }
    }

    /// Writes one field and keeps the other end. Tells whether anything changed: the same value again is no write,
    /// and neither is one to a row or field that is not there or that follows from other rows.
    pub(crate) fn write(
        &mut self,
        class: &str,
        reference: &str,
        field: &str,
        value: impl Into<Value>,
    ) -> bool {
        let Some(entry) = catalog::entry(class) else { return false };
        let Some(position) = entry.position_of(field) else { return false };
        let Some(end) = entry.ends.get(position).copied() else { return false };
        if end == End::Follows {
            return false;
        }
        let value = value.into();
        let generation = self.generation + 1;
        let Some(table) = self.tables.get_mut(entry.position) else { return false };
        let Some(slot) = table.rows.get_mut(reference).and_then(|row| row.values.get_mut(position)) else {
            return false;
        };
        if *slot == value {
            return false;
        }
        let after = references(&value);
        let before = references(slot);
        *slot = value;
        table.stamp(reference, generation);
        self.generation = generation;
        let field = entry.class.fields.get(position).map(|field| field.name);
        self.changes.push(Change { class: entry.class.name, reference: reference.into(), field });
        self.note_row(entry.position, reference, "mod");
        if let End::Points(place) | End::Shares(place) = end {
            for gone in before.iter().filter(|gone| !after.contains(gone)) {
                self.unlink(place, gone, reference, generation);
            }
            for new in after.iter().filter(|new| !before.contains(new)) {
                self.link(place, new, reference, generation);
            }
        }
        true
    }

    /// Takes a row out and out of every set that listed it. References to it elsewhere dangle, as in xapi.
    pub(crate) fn delete(&mut self, class: &str, reference: &str) -> bool {
        let Some(entry) = catalog::entry(class) else { return false };
        let Some(table) = self.tables.get_mut(entry.position) else { return false };
        let Some((name, row)) = table.take(reference) else { return false };
        self.generation += 1;
        let generation = self.generation;
        self.kept.forget(entry.position, &name);
        if self.watched && entry.class.events {
            let (class, reference) = (entry.class.name, name.clone());
            let snapshot = table.record(&row);
            self.occurrences.push(Occurrence { class, reference, operation: "del", snapshot });
        }
        table.graves.push_back(Grave { reference: name, created: row.created, deleted: generation });
        if table.graves.len() > GRAVES_MAX {
            table.graves.drain(..table.graves.len() - GRAVES_KEPT);
        }
        for (value, end) in row.values.iter().zip(&entry.ends) {
            if let End::Points(place) | End::Shares(place) = end {
                for target in references(value) {
                    self.unlink(*place, &target, reference, generation);
                }
            }
        }
        true
    }

    /// Marks a row as changed though it is not, and returns the number before, which every later picture of the
    /// row exceeds.
    pub(crate) fn touch(&mut self, class: &str, reference: &str) -> Option<i64> {
        let before = self.generation;
        let position = catalog::entry(class)?.position;
        self.tables.get_mut(position)?.stamp(reference, before + 1)?;
        self.generation = before + 2;
        self.note_row(position, reference, "mod");
        Some(before)
    }

    /// Puts a row as it is, without looking at relations; [`Database::relink`] must follow.
    pub(crate) fn load(&mut self, entry: &'static Entry, reference: SmolStr, values: Vec<Value>) {
        if let Some(table) = self.tables.get_mut(entry.position) {
            table.put(reference, Row { values, created: self.generation, modified: self.generation });
        }
    }

    /// Computes all sets that follow from other rows. A set that already lists the same objects keeps its order.
    pub(crate) fn relink(&mut self) {
        let mut listed: BTreeMap<(usize, usize, SmolStr), Vec<SmolStr>> = BTreeMap::new();
        for table in &self.tables {
            for (reference, row) in &table.rows {
                for (value, end) in row.values.iter().zip(&table.entry.ends) {
                    if let End::Points(place) = end {
                        for target in references(value) {
                            listed
                                .entry((place.table, place.field, target))
                                .or_default()
                                .push(reference.clone());
                        }
                    }
                }
            }
        }
        let mut shares = Vec::new();
        for table in &mut self.tables {
            for (position, end) in table.entry.ends.iter().enumerate() {
                match end {
                    End::Free | End::Points(_) => {}
                    End::Follows => {
                        for (reference, row) in &mut table.rows {
                            let key = (table.entry.position, position, reference.clone());
                            let now = listed.remove(&key).unwrap_or_default();
                            if let Some(slot) = row.values.get_mut(position) {
                                let mut before = references(slot);
                                let mut sorted = now.clone();
                                before.sort();
                                sorted.sort();
                                if before != sorted {
                                    *slot = Value::Array(now.into_iter().map(Value::String).collect());
                                }
                            }
                        }
                    }
                    End::Shares(place) => {
                        for (reference, row) in &table.rows {
                            for target in row.values.get(position).map(references).unwrap_or_default() {
                                shares.push((*place, target, reference.clone()));
                            }
                        }
                    }
                }
            }
        }
        let generation = self.generation;
        for (place, target, reference) in shares {
            self.link(place, &target, &reference, generation);
        }
        self.changes.clear();
    }

    /// Lists `reference` in the set of the row over there. A reference into the void is left to dangle.
    fn link(&mut self, place: Place, target: &str, reference: &str, generation: i64) {
        if let Some(set) = self.set_of(place, target)
            && !set.iter().any(|element| element.as_str() == Some(reference))
        {
            set.insert(0, reference.into());
            self.relinked(place, target, generation);
        }
    }

    fn unlink(&mut self, place: Place, target: &str, reference: &str, generation: i64) {
        if let Some(set) = self.set_of(place, target)
            && let Some(index) = set.iter().position(|element| element.as_str() == Some(reference))
        {
            set.remove(index);
            self.relinked(place, target, generation);
        }
    }

    /// A set was changed.
    fn relinked(&mut self, place: Place, target: &str, generation: i64) {
        if let Some(table) = self.tables.get_mut(place.table) {
            table.stamp(target, generation);
        }
        let Some(entry) = catalog::entries().get(place.table) else { return };
        let field = entry.class.fields.get(place.field).map(|field| field.name);
        self.changes.push(Change { class: entry.class.name, reference: target.into(), field });
        self.note_row(place.table, target, "mod");
    }

    /// The set at a place of a row.
    fn set_of(&mut self, place: Place, reference: &str) -> Option<&mut Vec<Value>> {
        let row = self.tables.get_mut(place.table)?.rows.get_mut(reference)?;
        match row.values.get_mut(place.field)? {
            Value::Array(set) => Some(set),
            _ => None,
        }
    }
}

impl Table {
    /// A row as a record, fields in the order of the datamodel.
    pub(crate) fn record(&self, row: &Row) -> Struct {
        let names = self.entry.class.fields.iter().map(|field| SmolStr::new_static(field.name));
        names.zip(row.values.iter().cloned()).collect()
    }

    /// Rows whose last change is later than this, by reference.
    pub(crate) fn changed_since(&self, generation: i64) -> Vec<(&SmolStr, &Row)> {
        let later = self.by_change.range((generation.saturating_add(1), SmolStr::default())..);
        let mut changed: Vec<_> =
            later.filter_map(|(_, reference)| self.rows.get_key_value(reference)).collect();
        changed.sort_unstable_by_key(|(reference, _)| *reference);
        changed
    }

    /// Some row, for a number: the first one from a made-up reference on. The same for the same number and rows.
    pub(crate) fn some(&self, random: &mut Random) -> impl Iterator<Item = &SmolStr> {
        let from = random.reference();
        let after = self.rows.range(from.clone()..);
        after.chain(self.rows.range(..from)).map(|(reference, _)| reference)
    }

    /// Whether every row is known by its last change, and nothing else is.
    #[cfg(test)]
    pub(crate) fn is_ordered(&self) -> bool {
        let changes: BTreeSet<(i64, SmolStr)> =
            self.rows.iter().map(|(reference, row)| (row.modified, reference.clone())).collect();
        changes == self.by_change
    }

    fn put(&mut self, reference: SmolStr, row: Row) {
        let modified = row.modified;
        if let Some(old) = self.rows.insert(reference.clone(), row) {
            self.by_change.remove(&(old.modified, reference.clone()));
        }
        self.by_change.insert((modified, reference));
    }

    fn take(&mut self, reference: &str) -> Option<(SmolStr, Row)> {
        let (reference, row) = self.rows.remove_entry(reference)?;
        let mut key = (row.modified, reference);
        self.by_change.remove(&key);
        Some((std::mem::take(&mut key.1), row))
    }

    /// Writes when a row was changed.
    fn stamp(&mut self, reference: &str, generation: i64) -> Option<()> {
        let name = self.rows.get_key_value(reference)?.0.clone();
        let row = self.rows.get_mut(reference)?;
        let mut key = (std::mem::replace(&mut row.modified, generation), name);
        self.by_change.remove(&key);
        key.0 = generation;
        self.by_change.insert(key);
        Some(())
    }

    /// The texts of a field, with the rows' references.
    pub(crate) fn texts(&self, field: &str) -> impl Iterator<Item = (&SmolStr, &str)> {
        let position = self.entry.position_of(field);
        self.rows
            .iter()
            .filter_map(move |(reference, row)| Some((reference, row.values.get(position?)?.as_str()?)))
    }

    /// References of rows whose text field holds exactly this.
    pub(crate) fn with<'t>(&'t self, field: &str, text: &'t str) -> impl Iterator<Item = &'t SmolStr> {
        let position = self.entry.position_of(field);
        self.rows
            .iter()
            .filter(move |(_, row)| {
                position.and_then(|position| row.values.get(position)).and_then(Value::as_str) == Some(text)
            })
            .map(|(reference, _)| reference)
    }
}

/// The references that a value holds, the null reference left out.
fn references(value: &Value) -> Vec<SmolStr> {
    let real = |text: &str| !text.is_empty() && text != NULL_REF;
    match value {
        Value::String(text) if real(text) => vec![text.clone()],
        Value::Array(elements) => elements
            .iter()
            .filter_map(|element| match element {
                Value::String(text) if real(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
