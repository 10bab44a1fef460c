//! A query in XAPI's own language.

use smol_str::SmolStr;

use super::{Literal, Query};
use crate::model::schema::{self, Class, Field, Type};
use crate::suggestion;
use crate::value::NULL_REF;

/// Why a query cannot be asked of a class. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The schema has no such field; write its wire name.
    #[error("{class} has no field {field:?}{}", suggestion::shown(.suggestion.as_deref()))]
    UnknownField {
        /// The class.
        class: &'static str,
        /// What was asked for.
        field: SmolStr,
        /// A field of a similar name.
        suggestion: Option<SmolStr>,
    },
    /// The literal is of another type than the field.
    #[error("{class}.{field} is {wanted}, it cannot be compared with {literal}")]
    Unfit {
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
        /// What can be compared with it.
        wanted: &'static str,
        /// What was given.
        literal: Literal,
    },
    /// The field is an enumeration without that word. [`Literal::Word`] asks for it all the same.
    #[error("{class}.{field} is never {word:?}{}", suggestion::shown(.suggestion.as_deref()))]
    UnknownWord {
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
        /// What was given.
        word: SmolStr,
        /// A word that is similar.
        suggestion: Option<SmolStr>,
    },
    /// XAPI's language has no way to write that character; read all records and compare them here.
    #[error(
        "{class}.{field} cannot be compared with a text that holds {character:?}: XAPI's query language cannot write it"
    )]
    Unwritable {
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
        /// The first such character.
        character: char,
    },
}

impl Query {
    /// The query in XAPI's language, for objects of `class`.
    ///
    /// # Errors
    /// When a field is unknown or a literal does not fit it.
    pub fn text(&self, class: &'static Class) -> Result<String, QueryError> {
        let mut out = String::new();
        write(self, class, &mut out)?;
        Ok(out)
    }
}

fn write(query: &Query, class: &'static Class, out: &mut String) -> Result<(), QueryError> {
    match query {
        Query::Is(name, literal) => {
            let field = known(class, name)?;
            match stored(class, field, literal)? {
                Stored::One(text) => compare(field, &text, out),
                Stored::Null => {
                    out.push('(');
                    compare(field, NULL_REF, out);
                    out.push_str(" or ");
                    compare(field, "", out);
                    out.push(')');
                }
            }
        }
        Query::Not(inner) => {
            out.push_str("(not ");
            write(inner, class, out)?;
            out.push(')');
        }
        Query::Every(parts) => chain(parts, "true", " and ", class, out)?,
        Query::Any(parts) => chain(parts, "false", " or ", class, out)?,
    }
    Ok(())
}

fn chain(
    parts: &[Query],
    of_none: &str,
    joined_by: &str,
    class: &'static Class,
    out: &mut String,
) -> Result<(), QueryError> {
    out.push('(');
    if parts.is_empty() {
        out.push_str(of_none);
    }
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.push_str(joined_by);
        }
        write(part, class, out)?;
    }
    out.push(')');
    Ok(())
}

fn compare(field: &Field, text: &str, out: &mut String) {
    out.push_str("(field \"");
    out.push_str(field.column());
    out.push_str("\" = \"");
    out.push_str(text);
    out.push_str("\")");
}

/// The field of that wire name.
pub(super) fn known(class: &'static Class, name: &str) -> Result<&'static Field, QueryError> {
    class.field(name).ok_or_else(|| QueryError::UnknownField {
        class: class.name,
        field: name.into(),
        suggestion: suggestion::for_name(name, class.fields.iter().map(|field| field.name)),
    })
}

/// A literal in the text form that the database compares.
pub(super) enum Stored {
    One(SmolStr),
    Null,
}

pub(super) fn stored(
    class: &'static Class,
    field: &'static Field,
    literal: &Literal,
) -> Result<Stored, QueryError> {
    let unfit =
        |wanted| QueryError::Unfit { class: class.name, field: field.name, wanted, literal: literal.clone() };
    let text = match (&field.kind, literal) {
        (Type::String, Literal::Text(text)) | (Type::Enum(_), Literal::Word(text)) => text.clone(),
        (Type::String, _) => return Err(unfit("a text")),
        (Type::Enum(name), Literal::Text(word)) => {
            let words = schema::enumeration(name).map_or(&[][..], |known| known.words);
            if !words.contains(&word.as_str()) {
                return Err(QueryError::UnknownWord {
                    class: class.name,
                    field: field.name,
                    word: word.clone(),
                    suggestion: suggestion::for_name(word, words.iter().copied()),
                });
            }
            word.clone()
        }
        (Type::Enum(_), _) => return Err(unfit("a word of an enumeration")),
        (Type::Ref(_), Literal::Null) => return Ok(Stored::Null),
        (Type::Ref(_), Literal::Text(text)) if is_reference(text) => text.clone(),
        (Type::Ref(_), _) => return Err(unfit("a reference, OpaqueRef:..., or null")),
        (Type::Bool, Literal::Bool(truth)) => SmolStr::new_static(if *truth { "true" } else { "false" }),
        (Type::Bool, _) => return Err(unfit("true or false")),
        (Type::Int, Literal::Int(number)) => smol_str::format_smolstr!("{number}"),
        (Type::Int, _) => return Err(unfit("an integer")),
        (Type::DateTime, Literal::Text(text)) if is_date(text) => text.clone(),
        (Type::DateTime, _) => return Err(unfit("a date such as 20260821T02:00:23Z")),
        (Type::Set(_) | Type::Map(..), Literal::Empty) => SmolStr::new_static("()"),
        (Type::Set(_), _) => return Err(unfit("a set, of which only the empty one, (), can be asked for")),
        (Type::Map(..), _) => return Err(unfit("a map, of which only the empty one, (), can be asked for")),
        (Type::Float, _) => return Err(unfit("a float, which no text equals reliably")),
        (Type::Void | Type::Record(_) | Type::Option(_), _) => {
            return Err(unfit("nothing that XAPI compares"));
        }
    };
    match text.chars().find(|character| unwritable(*character)) {
        Some(character) => Err(QueryError::Unwritable { class: class.name, field: field.name, character }),
        None => Ok(Stored::One(text)),
    }
}

/// The quote ends a literal and nothing escapes it; what XML 1.0 cannot carry is lost on the way.
fn unwritable(character: char) -> bool {
    character == '"' || character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// The two forms of a reference; a name or a uuid in its place would fit nothing, and say so to nobody.
fn is_reference(text: &str) -> bool {
    text.starts_with("OpaqueRef:") || text.starts_with("DummyRef:")
}

/// XAPI's compact form, with or without `Z`.
fn is_date(text: &str) -> bool {
    jiff::fmt::strtime::parse("%Y%m%dT%H:%M:%S", text.strip_suffix('Z').unwrap_or(text)).is_ok()
}
