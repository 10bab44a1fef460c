//! The answer to `event.from`, read in one pass: each snapshot is typed while it is read, without a struct between.

use super::batch::{Batch, Parts, Snapshot};
use super::seen::{Print, Seen};
use crate::codec::{DecodeError, Shape, Source};
use crate::model::Record;
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
                    source.elements(depth + 1, |source| {
                        let parts = event(source, depth + 2, self.seen)?;
                        let print = parts.print;
                        let event = parts.finish().map_err(unusual)?;
                        self.seen.note(&event, print);
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

fn event<S: Source>(source: &mut S, depth: usize, seen: &Seen) -> Result<Parts, DecodeError> {
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
            let mut fields = Record::filling(class);
            source.fields(depth + 1, &mut fields)?;
            if let (Some(before), Some(after)) = (left, source.ahead().map(<[u8]>::len)) {
                parts.print = Some(Print::of(source.behind(before - after)));
            }
            return once(&mut parts.snapshot, Snapshot::Typed(fields));
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
