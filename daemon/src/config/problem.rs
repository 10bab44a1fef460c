//! What is wrong in a configuration file, said so that a person can mend it at once.
//!
//! A problem knows its place in the text, never the meaning of the key. All problems of one reading are collected and
//! shown together.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::grant::GrantFile;

/// A place in a file: where a key or value stands, and the line of text that holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file as it was named or found.
    pub(crate) file: Arc<Path>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
    /// How many characters to underline; at least 1.
    pub(crate) width: usize,
    /// The whole line, without its end.
    pub(crate) text: Arc<str>,
}

/// A value together with where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Located<T> {
    /// What was written.
    pub(crate) value: T,
    /// Where it was written.
    pub(crate) place: Place,
}

/// One thing that is wrong, or, among the warnings, unwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// The file it is about.
    pub(crate) file: PathBuf,
    /// Where in the file; `None` when the file as a whole is meant.
    pub(crate) place: Option<Place>,
    /// The key as a path such as `pool.lab.trust.pin[0]`; empty when no key is to blame.
    pub(crate) key: String,
    /// What is wrong: lower case, no full stop.
    pub(crate) what: String,
    /// What to write or do instead, when that is known.
    pub(crate) instead: Option<String>,
}

/// All that is wrong, in the order of the text, and what is merely unwise.
#[derive(Clone, Default)]
pub(crate) struct Problems {
    /// What keeps the configuration from being used.
    pub(crate) errors: Vec<Problem>,
    /// What does not.
    pub(crate) warnings: Vec<Problem>,
    /// The grants that could be read all the same, so that the rest of what is wrong with them can be told too.
    pub(crate) grants: Vec<GrantFile>,
}

impl Place {
    /// The start of a file of which nothing could be read.
    pub(crate) fn nowhere(file: &Path) -> Place {
        Place { file: file.into(), line: 1, column: 1, width: 1, text: "".into() }
    }
}

impl<T> Located<T> {
    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> Located<U> {
        Located { value, place: self.place.clone() }
    }
}

impl Problem {
    /// A problem at a place in a file.
    pub(crate) fn at(place: &Place, key: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem {
            file: place.file.to_path_buf(),
            place: Some(place.clone()),
            key: key.into(),
            what: what.into(),
            instead: None,
        }
    }

    /// A problem with a file as a whole.
    pub(crate) fn file(file: &Path, what: impl Into<String>) -> Problem {
        Problem {
            file: file.to_path_buf(),
            place: None,
            key: String::new(),
            what: what.into(),
            instead: None,
        }
    }

    /// Adds what to write or do instead.
    #[must_use]
    pub(crate) fn instead(mut self, instead: impl Into<String>) -> Problem {
        self.instead = Some(instead.into());
        self
    }
}

impl Problems {
    /// Puts everything into the order of the files and their lines.
    pub(crate) fn sort(&mut self) {
        let order = |problem: &Problem| {
            let place = problem.place.as_ref().map(|place| (place.line, place.column));
            (problem.file.clone(), place)
        };
        self.errors.sort_by_key(order);
        self.warnings.sort_by_key(order);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl fmt::Debug for Place {
    /// Without the text of the line: it may hold what somebody took for the right place of a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Problem {
    /// Place, key, what is wrong and what to write instead, in one line for a log.
    pub(crate) fn one_line(&self) -> String {
        let instead = self.instead.iter().flat_map(|instead| instead.lines()).map(str::trim);
        std::iter::once(self.head().as_str()).chain(instead).collect::<Vec<_>>().join("; ")
    }

    fn head(&self) -> String {
        let place = match &self.place {
            Some(place) => place.to_string(),
            None => self.file.display().to_string(),
        };
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{place}: {key}{}", self.what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.head())?;
        if let Some(place) = &self.place {
            write_line(out, place)?;
        }
        if let Some(instead) = &self.instead {
            for line in instead.lines() {
                write!(out, "\n        {line}")?;
            }
        }
        Ok(())
    }
}

/// The line of text with the faulty part underlined. Tabs become blanks so that the marks stand under their text.
fn write_line(out: &mut fmt::Formatter<'_>, place: &Place) -> fmt::Result {
    let text: String =
        place.text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.trim().is_empty() {
        return Ok(());
    }
    let room = text.chars().count().saturating_sub(place.column - 1).max(1);
    let (blank, marks) = (" ".repeat(place.column - 1), "^".repeat(place.width.min(room)));
    write!(out, "\n  {:>4} | {text}\n       | {blank}{marks}", place.line)
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{error}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Error for Problems {}
