//! The keys of one table of a scenario, taken one by one; what is wrong with them is noted with its place, and so are
//! those that nobody took.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use xapi::suggestion;

/// Everything that is wrong with a scenario, in the order of its lines; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// What is wrong.
    pub problems: Vec<ScenarioProblem>,
}

/// One thing that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioProblem {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// The key as a path such as `step[2].methods`; empty when no key is to blame.
    pub key: String,
    /// What is wrong, and where it is known what to write instead.
    pub what: String,
}

/// `line 7, column 1: step[2].latncy: there is no such key`, with a line each.
impl fmt::Display for ScenarioError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let before = if index == 0 { "" } else { "\n" };
            let ScenarioProblem { line, column, key, what } = problem;
            let colon = if key.is_empty() { "" } else { ": " };
            write!(out, "{before}line {line}, column {column}: {key}{colon}{what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

/// What was found wrong so far in a text.
pub(super) struct Problems<'t> {
    text: &'t str,
    found: RefCell<Vec<(usize, ScenarioProblem)>>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Problems { text, found: RefCell::new(Vec::new()) }
    }

    /// Notes something wrong at a place.
    pub(super) fn note(&self, span: &Range<usize>, key: String, what: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.found.borrow_mut().push((span.start, ScenarioProblem { line, column, key, what: what.into() }));
    }

    /// The error, if anything was wrong.
    pub(super) fn into_error(self) -> Option<ScenarioError> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(start, _)| *start);
        let problems: Vec<_> = found.into_iter().map(|(_, problem)| problem).collect();
        (!problems.is_empty()).then_some(ScenarioError { problems })
    }
}

/// The keys of one table.
pub(super) struct Keys<'p, 't> {
    problems: &'p Problems<'t>,
    /// Where the table begins.
    span: Range<usize>,
    path: String,
    entries: DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'p, 't> Keys<'p, 't> {
    pub(super) fn new(problems: &'p Problems<'t>, path: String, table: Spanned<DeTable<'t>>) -> Self {
        Keys { problems, span: table.span(), path, entries: table.into_inner(), asked: Vec::new() }
    }

    /// One value with its place; `None` where the key is not there or wrong.
    pub(super) fn spanned<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<(Range<usize>, T)> {
        let (span, value) = self.raw(key)?;
        match T::deserialize(ValueDeserializer::from(Spanned::new(span.clone(), value))) {
            Ok(value) => Some((span, value)),
            Err(error) => {
                self.wrong(&error.span().unwrap_or(span), key, error.message());
                None
            }
        }
    }

    /// One value; `None` where the key is not there or wrong.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.spanned(key).map(|(_, value)| value)
    }

    /// One value that must be there; an example shows how.
    pub(super) fn required<T: DeserializeOwned>(&mut self, key: &'static str, example: &str) -> Option<T> {
        self.required_spanned(key, example).map(|(_, value)| value)
    }

    /// The same, with its place.
    pub(super) fn required_spanned<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<(Range<usize>, T)> {
        self.demand(key, example)?;
        self.spanned(key)
    }

    /// Notes that a key which must be there is not; an example shows how to write it.
    pub(super) fn demand(&mut self, key: &'static str, example: &str) -> Option<()> {
        if self.entries.contains_key(key) {
            return Some(());
        }
        self.asked.push(key);
        let what = format!("this key is missing, write for example {key} = {example}");
        self.wrong(&self.span.clone(), key, what);
        None
    }

    /// The tables of an array, with their places; `None` where the key is wrong.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Spanned<DeTable<'t>>>> {
        let Some((span, value)) = self.raw(key) else { return Some(Vec::new()) };
        let DeValue::Array(array) = value else {
            self.wrong(&span, key, format!("write each of them under a [[{key}]] of its own"));
            return None;
        };
        let table = |element: Spanned<DeValue<'t>>| {
            let span = element.span();
            match element.into_inner() {
                DeValue::Table(table) => Some(Spanned::new(span, table)),
                _ => {
                    self.wrong(&span, key, format!("write each of them under a [[{key}]] of its own"));
                    None
                }
            }
        };
        array.into_iter().map(table).collect()
    }

    /// Notes something wrong with a key of this table.
    pub(super) fn wrong(&self, span: &Range<usize>, key: &str, what: impl Into<String>) {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        self.problems.note(span, path, what);
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.entries.keys() {
            let name = key.get_ref();
            let near = suggestion::for_name(name, &self.asked);
            let known =
                if near.is_some() { String::new() } else { format!("; there are {}", self.asked.join(", ")) };
            let near = suggestion::shown(near.as_deref());
            self.wrong(&key.span(), name, format!("there is no such key here{near}{known}"));
        }
    }

    fn raw(&mut self, key: &'static str) -> Option<(Range<usize>, DeValue<'t>)> {
        self.asked.push(key);
        let value = self.entries.remove(key)?;
        Some((value.span(), value.into_inner()))
    }
}
