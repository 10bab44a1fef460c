//! Reads tables of a TOML text key by key, remembers where each stood, and collects problems instead of stopping.

use toml::de::{DeString, DeTable, DeValue};

use super::ManifestProblem;
use grant::nearest::hint;

pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) problems: Vec<ManifestProblem>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Reader { text, problems: Vec::new() }
    }

    /// Notes a problem at a byte of the text.
    pub(super) fn problem(&mut self, at: usize, what: impl Into<String>) {
        let line = 1 + self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        self.problems.push(ManifestProblem { line, what: what.into() });
    }

    /// Reports keys that nobody knows.
    pub(super) fn only(&mut self, table: &DeTable<'_>, place: &str, known: &[&str]) {
        let strangers: Vec<(usize, String)> = table
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .map(|key: &toml::Spanned<DeString<'_>>| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (at, key) in strangers {
            let hint = hint(&key, known.iter().copied());
            self.problem(at, format!("unknown key `{key}` in {place}{hint}"));
        }
    }

    pub(super) fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => {
                self.problem(value.span().start, format!("`{key}` is {}, not a string", kind_of(other)));
                None
            }
        }
    }

    /// A string that must be there; `at` is where the table stands.
    pub(super) fn required_text(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        place: &str,
        at: usize,
    ) -> Option<String> {
        if table.get(key).is_none() {
            self.problem(at, format!("{place} has no `{key}`"));
        }
        self.text(table, key).filter(|text| {
            let empty = text.trim().is_empty();
            if empty {
                self.problem(at, format!("`{key}` of {place} is empty"));
            }
            !empty
        })
    }

    pub(super) fn flag(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.problem(
                value.span().start,
                format!("`{key}` is {}, not true or false", kind_of(value.get_ref())),
            );
        }
        flag
    }

    /// An integer within bounds.
    pub(super) fn whole(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        within: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = table.get(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let fitting = number.filter(|number| within.contains(number));
        if fitting.is_none() {
            let what = match number {
                Some(number) => number.to_string(),
                None => kind_of(value.get_ref()).to_owned(),
            };
            let (least, most) = (within.start(), within.end());
            self.problem(
                value.span().start,
                format!("`{key}` is {what}, not a whole number from {least} to {most}"),
            );
        }
        fitting
    }

    /// A list of strings with their places.
    pub(super) fn texts(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<(usize, String)>> {
        let value = table.get(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.problem(
                value.span().start,
                format!("`{key}` is {}, not a list of strings", kind_of(value.get_ref())),
            );
            return None;
        };
        let mut texts = Vec::new();
        for element in list {
            match element.get_ref() {
                DeValue::String(text) => texts.push((element.span().start, text.to_string())),
                other => self.problem(
                    element.span().start,
                    format!("`{key}` holds {}, not only strings", kind_of(other)),
                ),
            }
        }
        Some(texts)
    }

    /// The tables of `[[key]]`, with the place of each.
    pub(super) fn tables<'v, 'd>(
        &mut self,
        table: &'v DeTable<'d>,
        key: &str,
    ) -> Vec<(usize, &'v DeTable<'d>)> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.problem(value.span().start, format!("`{key}` is no list of tables: write `[[{key}]]`"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in list {
            match element.get_ref().as_table() {
                Some(inner) => tables.push((element.span().start, inner)),
                None => {
                    self.problem(element.span().start, format!("`{key}` holds something that is no table"));
                }
            }
        }
        tables
    }
}

/// The kind of a value with its article, for messages.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
