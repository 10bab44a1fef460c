//! What the attribute needs of a manifest. Everything else of it is checked by the daemon, whose word counts.

use std::path::PathBuf;

use proc_macro2::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a subscription can be about.
const KINDS: [&str; 5] = ["class", "task", "alert", "cron", "connection"];
/// What can happen to an object.
const OPERATIONS: [&str; 3] = ["added", "modified", "deleted"];

/// Where a manifest comes from.
pub(crate) enum Source {
    /// `plugin.toml` beside the crate's `Cargo.toml`.
    File(PathBuf),
    /// A string in the attribute.
    Inline(syn::LitStr),
}

impl Source {
    /// How messages name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Source::File(_) => "plugin.toml",
            Source::Inline(_) => "the manifest",
        }
    }

    pub(crate) fn span(&self) -> Span {
        match self {
            Source::File(_) => Span::call_site(),
            Source::Inline(text) => text.span(),
        }
    }

    fn text(&self) -> Result<String, String> {
        match self {
            Source::Inline(text) => Ok(text.value()),
            Source::File(path) => std::fs::read_to_string(path).map_err(|error| {
                format!("{} cannot be read: {error}; a plugin needs its manifest there", path.display())
            }),
        }
    }
}

/// One subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    /// Its line in the manifest, from 1.
    pub(crate) line: usize,
    /// `class`, `task`, `alert`, `cron` or `connection`.
    pub(crate) kind: &'static str,
    /// The class; empty for other kinds.
    pub(crate) class: String,
    /// Some of `added`, `modified`, `deleted`; all where the manifest names none.
    pub(crate) on: Vec<&'static str>,
}

/// The subscriptions of a manifest.
pub(crate) fn subscriptions(source: &Source) -> Result<Vec<Subscription>, String> {
    let text = source.text()?;
    let line = |at: usize| text.get(..at).unwrap_or(&text).matches('\n').count() + 1;
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{}, line {}: {}", source.name(), line(at), error.message())
    })?;
    let Some(list) = table.get_ref().get("subscribe") else {
        return Err(format!("{} subscribes to nothing: add [[subscribe]]", source.name()));
    };
    let Some(tables) = list.get_ref().as_array() else {
        let line = line(list.span().start);
        return Err(format!("{}, line {line}: write [[subscribe]], with two brackets", source.name()));
    };
    tables
        .iter()
        .map(|table| {
            let at = line(table.span().start);
            let wrong = |what: &str| format!("{}, line {at}: {what}", source.name());
            let table = table.get_ref().as_table().ok_or_else(|| wrong("a subscription is a table"))?;
            subscription(table, at).map_err(|what| wrong(&what))
        })
        .collect()
}

fn subscription(table: &DeTable<'_>, line: usize) -> Result<Subscription, String> {
    let text = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str()).map(str::to_owned);
    let name = text("name").ok_or("this subscription has no `name`")?;
    let named: Vec<&'static str> = KINDS.into_iter().filter(|kind| table.contains_key(*kind)).collect();
    let [kind] = named[..] else {
        return Err(format!("the subscription `{name}` needs exactly one of {}", KINDS.join(", ")));
    };
    let words: Vec<&str> = table
        .get("on")
        .and_then(|on| on.get_ref().as_array())
        .into_iter()
        .flat_map(|on| on.iter().filter_map(|word: &Spanned<DeValue<'_>>| word.get_ref().as_str()))
        .collect();
    let on = OPERATIONS.into_iter().filter(|word| words.is_empty() || words.contains(word)).collect();
    Ok(Subscription { name, line, kind, class: text("class").unwrap_or_default(), on })
}
