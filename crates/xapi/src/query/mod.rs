//! Questions to a pool's database: which objects of a class have these values?
//!
//! A [`Query`] is a tree over wire field names. [`Query::text`] writes it in XAPI's own language for one class: database
//! columns for field names, every part in parentheses (XAPI joins `and` and `or` with equal strength, and both bind
//! tighter than `not`), every literal checked against the field's type. What that language cannot say is an error, so no
//! literal can change the structure of a query.
//!
//! [`Query::parse`] reads the form for people, `power_state = "Running" and not is_a_template = true`. Nothing here knows
//! a client or does I/O.
//!
//! ```
//! use xapi::model::schema;
//! use xapi::query::{Query, field};
//!
//! let class = schema::class("VM").unwrap();
//! let query = field("name_label").is("web") & !field("is_a_template").is(true);
//! assert_eq!(
//!     query.text(class).unwrap(),
//!     r#"((field "name__label" = "web") and (not (field "is_a_template" = "true")))"#
//! );
//! assert_eq!(Query::parse(r#"name_label = "web" and not is_a_template = true"#).unwrap(), query);
//! ```

mod fits;
mod literal;
mod parse;
mod text;

use smol_str::SmolStr;

pub use literal::Literal;
pub use parse::ParseError;
pub use text::QueryError;

/// Which objects are asked for. Field names are those of the wire: `name_label`, `memory_target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The field has that value.
    Is(SmolStr, Literal),
    /// The inner query does not fit.
    Not(Box<Query>),
    /// All of them fit; of none, that is every object.
    Every(Vec<Query>),
    /// At least one of them fits; of none, that is no object.
    Any(Vec<Query>),
}

/// Begins a comparison: `field("power_state").is("Running")`.
pub fn field(name: impl Into<SmolStr>) -> Comparison {
    Comparison { field: name.into() }
}

/// A field that waits for what it is compared with. XAPI's language compares for equality only.
#[derive(Debug, Clone)]
#[must_use]
pub struct Comparison {
    field: SmolStr,
}

impl Comparison {
    /// The field has that value.
    pub fn is(self, literal: impl Into<Literal>) -> Query {
        Query::Is(self.field, literal.into())
    }

    /// The field has another value.
    pub fn is_not(self, literal: impl Into<Literal>) -> Query {
        !self.is(literal)
    }

    /// The field has one of these values. Of none: no object fits.
    pub fn is_one_of<L: Into<Literal>>(self, literals: impl IntoIterator<Item = L>) -> Query {
        Query::Any(
            literals.into_iter().map(|literal| Query::Is(self.field.clone(), literal.into())).collect(),
        )
    }
}

impl Query {
    /// Every object of the class.
    #[must_use]
    pub fn everything() -> Self {
        Query::Every(Vec::new())
    }
}

impl std::ops::Not for Query {
    type Output = Query;

    fn not(self) -> Query {
        Query::Not(Box::new(self))
    }
}

impl std::ops::BitAnd for Query {
    type Output = Query;

    /// Both; `a & b & c` is one flat list, so that long chains do not nest.
    fn bitand(self, other: Query) -> Query {
        match self {
            Query::Every(mut parts) if !parts.is_empty() => {
                parts.push(other);
                Query::Every(parts)
            }
            first => Query::Every(vec![first, other]),
        }
    }
}

impl std::ops::BitOr for Query {
    type Output = Query;

    /// Either; `a | b | c` is one flat list, so that long chains do not nest.
    fn bitor(self, other: Query) -> Query {
        match self {
            Query::Any(mut parts) if !parts.is_empty() => {
                parts.push(other);
                Query::Any(parts)
            }
            first => Query::Any(vec![first, other]),
        }
    }
}

#[cfg(test)]
mod tests;
