//! A reader over one TOML table: gives values of the wanted kind with their places, records what is wrong and goes
//! on. When a table is let go, the keys that nobody asked for are reported with the nearest known one.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Located, Place, Problem, Problems};
use super::scalar;
use super::source::Source;

/// One table being read. Every getter gives `None` when the key is absent or wrong; what is wrong has then been
/// recorded.
pub(super) struct Table<'a> {
    source: &'a Source,
    problems: &'a RefCell<Problems>,
    entries: &'a DeTable<'a>,
    place: Place,
    path: String,
    asked: Vec<&'static str>,
    free: bool,
}

type Entry<'a> = (Place, &'a Spanned<DeValue<'a>>);

impl<'a> Table<'a> {
    /// The table of a whole file.
    pub(super) fn root(
        source: &'a Source,
        entries: &'a DeTable<'a>,
        problems: &'a RefCell<Problems>,
    ) -> Table<'a> {
        let place = source.place(0..0);
        Table { source, problems, entries, place, path: String::new(), asked: Vec::new(), free: false }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The whole text of the file.
    pub(super) fn source_text(&self) -> &str {
        &self.source.text
    }

    /// The full path of a key in this table.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The path of the table itself; empty for a whole file.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Makes a key known without reading it.
    pub(super) fn know(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// Whether a text stands under the key.
    pub(super) fn holds_text(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// Records a problem.
    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().errors.push(problem);
    }

    /// Whether the key was written at all, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Records that a key is missing; `example` is a whole line to write.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        self.report(
            Problem::at(&self.place, self.key(key), "this key is missing")
                .instead(format!("write {example}")),
        );
    }

    /// A text. `example` shows how a right value looks, as TOML.
    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<Located<String>> {
        let (place, value) = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Located { value: text.clone().into_owned(), place }),
            other => self.wrong_kind(key, &place, "a text", other, example),
        }
    }

    /// A truth value.
    pub(super) fn truth(&mut self, key: &'static str) -> Option<Located<bool>> {
        let (place, value) = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(Located { value: *value, place }),
            other => self.wrong_kind(key, &place, "true or false", other, "true"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let (place, value) = self.take(key)?;
        let DeValue::Integer(written) = value.get_ref() else {
            return self.wrong_kind(
                key,
                &place,
                "a whole number",
                value.get_ref(),
                &bounds.start().to_string(),
            );
        };
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let what = format!("{written} is not between {} and {}", bounds.start(), bounds.end());
            self.report(Problem::at(&place, self.key(key), what));
        }
        number
    }

    /// A span of time with its unit, such as `"30s"`, within bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.measure(key, "a time with its unit", "\"30s\"", |text| scalar::duration(text, &bounds))
    }

    /// A number of bytes with its unit, such as `"64MiB"`, within bounds.
    pub(super) fn size(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.measure(key, "a size with its unit", "\"64MiB\"", |text| scalar::size(text, &bounds))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let example = format!("\"{}\"", words.first().map_or("", |(word, _)| word));
        let written = self.text(key, &example)?;
        let found = words.iter().find(|(word, _)| *word == written.value).map(|(_, value)| *value);
        if found.is_none() {
            let known = words.iter().map(|(word, _)| *word);
            let all = known.clone().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            let instead = match scalar::nearest(&written.value, known) {
                Some(word) => format!("write \"{word}\" (possible are {all})"),
                None => format!("possible are {all}"),
            };
            let what = format!("{:?} is none of the possible words", written.value);
            self.report(Problem::at(&written.place, self.key(key), what).instead(instead));
        }
        found
    }

    /// A list of texts. Elements of another kind are reported and left out.
    pub(super) fn texts(&mut self, key: &'static str, example: &str) -> Option<Vec<Located<String>>> {
        let (place, value) = self.take(key)?;
        let DeValue::Array(elements) = value.get_ref() else {
            return self.wrong_kind(key, &place, "a list of texts", value.get_ref(), example);
        };
        let mut texts = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let place = self.source.place(element.span());
            match element.get_ref() {
                DeValue::String(text) => texts.push(Located { value: text.clone().into_owned(), place }),
                other => {
                    let what = format!("expected a text, found {}", scalar::kind(other));
                    let problem = Problem::at(&place, format!("{}[{index}]", self.key(key)), what);
                    self.report(problem.instead(format!("write {key} = {example}")));
                }
            }
        }
        Some(texts)
    }

    /// A table under a key.
    pub(super) fn table(&mut self, key: &'static str, example: &str) -> Option<Table<'a>> {
        let (place, value) = self.take(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(self.inner(entries, place, self.key(key))),
            other => self.wrong_kind(key, &place, "a table", other, example),
        }
    }

    /// A list of tables, written as `[[key]]`. A table with a `name` is called by it in key paths.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table<'a>> {
        let Some((place, value)) = self.take(key) else { return Vec::new() };
        let header = format!("a section [[{}]]", self.key(key));
        let DeValue::Array(elements) = value.get_ref() else {
            let problem = self.kind_problem(key, &place, "a list of tables", value.get_ref());
            self.report(problem.instead(format!("write {header} for each of them")));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let place = self.source.place(element.span());
            match element.get_ref() {
                DeValue::Table(entries) => {
                    let name = entries.get("name").and_then(|name| name.get_ref().as_str());
                    let path = match name {
                        Some(name) => format!("{}.{name}", self.key(key)),
                        None => format!("{}[{index}]", self.key(key)),
                    };
                    tables.push(self.inner(entries, place, path));
                }
                other => {
                    let what = format!("expected a table, found {}", scalar::kind(other));
                    let problem = Problem::at(&place, format!("{}[{index}]", self.key(key)), what);
                    self.report(problem.instead(format!("write {header}")));
                }
            }
        }
        tables
    }

    /// A value of any kind, with the place of the whole value.
    pub(super) fn any(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.take(key)
    }

    /// The tables under keys that are free; the place of what is no table.
    pub(super) fn free_tables(&mut self) -> Vec<(String, Result<Table<'a>, Place>)> {
        self.free = true;
        let mut tables = Vec::with_capacity(self.entries.len());
        for (key, value) in self.entries {
            let key: &str = key.get_ref();
            let place = self.source.place(value.span());
            let table = match value.get_ref() {
                DeValue::Table(entries) => Ok(self.inner(entries, place, self.key(key))),
                _ => Err(place),
            };
            tables.push((key.to_owned(), table));
        }
        tables
    }

    /// All entries of a table whose keys are free.
    pub(super) fn free_entries(&mut self) -> Vec<(String, Located<&'a DeValue<'a>>)> {
        self.free = true;
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| {
            let place = self.source.place(value.span());
            (key.get_ref().clone().into_owned(), Located { value: value.get_ref(), place })
        };
        self.entries.iter().map(entry).collect()
    }

    fn inner(&self, entries: &'a DeTable<'a>, place: Place, path: String) -> Table<'a> {
        let (source, problems) = (self.source, self.problems);
        Table { source, problems, entries, place, path, asked: Vec::new(), free: false }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        let value = self.entries.get(key)?;
        Some((self.source.place(value.span()), value))
    }

    fn measure<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        example: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (place, value) = self.take(key)?;
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_kind(key, &place, wanted, value.get_ref(), example);
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(what) => {
                let problem = Problem::at(&place, self.key(key), what);
                self.report(problem.instead(format!("write {wanted}, such as {key} = {example}")));
                None
            }
        }
    }

    fn wrong_kind<T>(
        &self,
        key: &'static str,
        place: &Place,
        wanted: &str,
        found: &DeValue<'_>,
        example: &str,
    ) -> Option<T> {
        let problem = self.kind_problem(key, place, wanted, found);
        self.report(problem.instead(format!("write {key} = {example}")));
        None
    }

    fn kind_problem(&self, key: &str, place: &Place, wanted: &str, found: &DeValue<'_>) -> Problem {
        Problem::at(place, self.key(key), format!("expected {wanted}, found {}", scalar::kind(found)))
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.free {
            return;
        }
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let place = self.source.place(key.span());
            let unused = self.asked.iter().copied().filter(|known| !self.entries.contains_key(*known));
            let instead = match scalar::nearest(name, unused) {
                Some(known) => format!("write `{known}`"),
                None => format!("possible here are {}", self.asked.join(", ")),
            };
            self.report(Problem::at(&place, self.key(name), "unknown key").instead(instead));
        }
    }
}
