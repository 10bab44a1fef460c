//! Asks a query of a record that is here already, as the database would.

use super::text::{self, Stored};
use super::{Query, QueryError};
use crate::model::Record;
use crate::model::schema::Class;
use crate::value::{NULL_REF, Value};

impl Query {
    /// Whether a record of `class` fits. A field that the record lacks fits nothing.
    ///
    /// # Errors
    /// As [`Query::text`]; an error does not depend on the record.
    pub fn fits(&self, class: &'static Class, record: &Record) -> Result<bool, QueryError> {
        // No short cuts: whether a query is one must not depend on the record.
        Ok(match self {
            Query::Is(name, literal) => {
                let field = text::known(class, name)?;
                let wanted = text::stored(class, field, literal)?;
                record.get(field.name).is_some_and(|value| match wanted {
                    Stored::One(text) => is_stored_as(value, &text),
                    Stored::Null => value.as_str().is_some_and(|text| text.is_empty() || text == NULL_REF),
                })
            }
            Query::Not(inner) => !inner.fits(class, record)?,
            Query::Every(parts) => {
                parts.iter().try_fold(true, |all, part| Ok(part.fits(class, record)? && all))?
            }
            Query::Any(parts) => {
                parts.iter().try_fold(false, |any, part| Ok(part.fits(class, record)? || any))?
            }
        })
    }
}

fn is_stored_as(value: &Value, text: &str) -> bool {
    if let Some(truth) = value.as_bool() {
        return text == if truth { "true" } else { "false" };
    }
    if let Some(held) = value.as_str() {
        return held == text;
    }
    if let Some(number) = value.as_int() {
        return text.parse() == Ok(number);
    }
    let empty = value.as_array().is_some_and(<[Value]>::is_empty)
        || value.as_struct().is_some_and(crate::value::Struct::is_empty);
    empty && text == "()"
}
