//! Regular expressions of conditions: written out in the condition, compiled once and bounded, since whoever writes
//! the condition may be a plugin that means harm. CEL's own `matches` would compile what it is given at each
//! evaluation.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::extractors::This;
use cel::{Context, DeclarationError, ExecutionError};
use regex::{Regex, RegexBuilder};

/// The function's name in conditions.
const NAME: &str = "matches";
/// Longest pattern, in characters.
const LENGTH_MAX: usize = 200;
/// Most patterns in one condition.
const COUNT_MAX: usize = 10;
/// Most memory of one compiled pattern, bytes: what it may cost to compile it and to follow it at each letter.
const SIZE_MAX: usize = 256 * 1024;
/// Deepest nesting of groups and repetitions.
const NESTING_MAX: u32 = 20;
/// Most text that one evaluation may search, bytes; each search counts for at least [`SEARCH`].
const TEXT_MAX: usize = 64 * 1024;
const SEARCH: usize = 16;

/// The compiled patterns of one condition.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    compiled: Arc<HashMap<String, Regex>>,
}

/// Collects the patterns of one condition.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    compiled: HashMap<String, Regex>,
}

/// Whether a call is one that takes a pattern as its last argument.
pub(super) fn takes_pattern(function: &str) -> bool {
    function.trim_start_matches('.') == NAME
}

impl Collecting {
    /// Compiles a pattern, or says in words why it must not be used.
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), String> {
        if self.compiled.contains_key(pattern) {
            return Ok(());
        }
        if pattern.chars().count() > LENGTH_MAX {
            return Err(format!("the pattern of `{NAME}` is longer than {LENGTH_MAX} characters"));
        }
        if self.compiled.len() >= COUNT_MAX {
            return Err(format!("it has more than {COUNT_MAX} patterns"));
        }
        let compiled = RegexBuilder::new(pattern)
            .size_limit(SIZE_MAX)
            .dfa_size_limit(SIZE_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => format!(
                    "the pattern of `{NAME}` is too large: use smaller repetition counts, or (?-u) and plain classes \
                     such as [a-z]"
                ),
                error => format!("the pattern of `{NAME}` is wrong: {error}"),
            })?;
        self.compiled.insert(pattern.to_owned(), compiled);
        Ok(())
    }

    pub(super) fn finish(self) -> Patterns {
        Patterns { compiled: Arc::new(self.compiled) }
    }
}

/// Why an argument is no pattern that can be compiled beforehand.
pub(super) fn not_written_out() -> String {
    format!("`{NAME}` needs its pattern written out as a text: `self.name_label.{NAME}(\"^web-\")`")
}

impl Patterns {
    /// Gives an evaluation the function.
    pub(super) fn declare(&self, context: &mut Context<'_, '_>) -> Result<(), DeclarationError> {
        let compiled = Arc::clone(&self.compiled);
        let searched = AtomicUsize::new(0);
        let search = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let Some(pattern) = compiled.get(pattern.as_str()) else {
                return Err(ExecutionError::function_error(NAME, not_written_out()));
            };
            let cost = text.len().max(SEARCH);
            if searched.fetch_add(cost, Ordering::Relaxed) + cost > TEXT_MAX {
                let why = format!("more than {} KiB of text to search", TEXT_MAX / 1024);
                return Err(ExecutionError::function_error(NAME, why));
            }
            Ok(pattern.is_match(&text))
        };
        context.add_function(NAME, search)
    }
}
