//! The answer to `event.from`, read in one pass: each snapshot is typed while it is read, without a struct between.

use std::collections::hash_map::Entry;

use foldhash::HashMap;
use smol_str::SmolStr;

use super::batch::{Batch, Parts, RawEvent, Snapshot};
use super::seen::{Print, Seen};
use crate::codec::{DecodeError, Shape, Source};
use crate::model::{Filling, Pattern, schema};
use crate::value::Value;

/// Reads a [`Batch`]. Whatever is not as xapi writes it is an error here and left to [`Batch::read`].
pub(super) struct BatchShape<'s> {
    /// Objects that were read before.
    pub(super) seen: &'s mut Seen,
}

impl Shape for BatchShape<'_> {
    type Content = Batch;

    fn read<S: Source>(self, source: &mut S, depth: usize) -> Result<Batch, DecodeError> {
        let (mut events, mut counts, mut token) = (None, None, None);
        source.members(depth, |source, name, value| {
            let value = match (name, value) {
                ("events", None) => {
                    let mut read = Vec::new();
                    let mut patterns = Patterns::default();
                    source.elements(depth + 1, |source| {
                        let parts = event(source, depth + 2, self.seen, &mut patterns)?;
                        let print = parts.print;
                        let event = parts.finish().map_err(unusual)?;
                        self.seen.note(&event, print);
                        patterns.note(&event);
                        read.push(event);
                        Ok(())
                    })?;
                    return once(&mut events, read);
                }
                (_, Some(value)) => value,
                (_, None) => source.value(depth + 1)?,
            };
            match name {
                "valid_ref_counts" => once(&mut counts, value),
                "token" => once(&mut token, value),
                // Without events, for one.
                _ => Err(unusual("member")),
            }
        })?;
        let (Some(events), Some(counts), Some(token)) = (events, counts, token) else {
            return Err(unusual("answer"));
        };
        Batch::of(events, counts, token).map_err(|error| unusual(&error.to_string()))
    }
}

/// The record before of each class.
#[derive(Default)]
struct Patterns {
    /// By class in lower case. Only of classes that the schema knows: a peer may send any number of others.
    known: HashMap<SmolStr, Pattern>,
    /// In place of the others, without a record.
    unknown: Pattern,
}

impl Patterns {
    fn of(&mut self, class: &SmolStr) -> &mut Pattern {
        match self.known.entry(class.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match schema::class(class) {
                Some(known) if known.name.to_ascii_lowercase() == *class => place.insert(Pattern::new(class)),
                _ => {
                    self.unknown = Pattern::new(class);
                    &mut self.unknown
                }
            },
        }
    }

    fn note(&mut self, event: &RawEvent) {
        if let (Some(record), Some(pattern)) = (&event.snapshot, self.known.get_mut(&event.class)) {
            pattern.remember(record);
        }
    }
}

fn event<S: Source>(
    source: &mut S,
    depth: usize,
    seen: &Seen,
    patterns: &mut Patterns,
) -> Result<Parts, DecodeError> {
    let mut parts = Parts::default();
    source.members(depth, |source, name, value| {
        // The class comes before the record. Where it does not, the record is typed later.
        if name == "snapshot"
            && value.is_none()
            && let Some(Value::String(class)) = &parts.class
        {
            if let Some(Value::String(reference)) = &parts.reference
                && let Some((record, print)) =
                    source.ahead().and_then(|ahead| seen.find(class, reference, ahead))
            {
                source.pass(print.length());
                parts.print = Some(print);
                return once(&mut parts.snapshot, Snapshot::Seen(record));
            }
            let left = source.ahead().map(<[u8]>::len);
            let mut fields = Filling::new(patterns.of(class));
            source.fields(depth + 1, &mut fields)?;
            if let (Some(before), Some(after)) = (left, source.ahead().map(<[u8]>::len)) {
                parts.print = Some(Print::of(source.behind(before - after)));
            }
            return once(&mut parts.snapshot, Snapshot::Typed(fields.finish()));
        }
        let value = value.map_or_else(|| source.value(depth + 1), Ok)?;
        match name {
            "id" => once(&mut parts.id, value),
            "class" => once(&mut parts.class, value),
            "operation" => once(&mut parts.operation, value),
            "ref" => once(&mut parts.reference, value),
            "snapshot" => once(&mut parts.snapshot, Snapshot::Untyped(value)),
            _ => Ok(()),
        }
    })?;
    Ok(parts)
}

fn once<T>(place: &mut Option<T>, content: T) -> Result<(), DecodeError> {
    match place.replace(content) {
        None => Ok(()),
        Some(_) => Err(unusual("member twice")),
    }
}

fn unusual(what: &str) -> DecodeError {
    DecodeError::new(format!("an unusual {what}"), 0)
}
