//! What a field is compared with.

use smol_str::SmolStr;

use crate::value::NULL_REF;

/// A value in a query. Whether it fits the field is checked when the class is known, by [`Query::text`](super::Query::text).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Text, a word of an enumeration that the schema knows, a reference, a uuid or a date in XAPI's form.
    Text(SmolStr),
    /// A word of an enumeration, taken as it is: for words of pools that are newer than the schema.
    Word(SmolStr),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// The reference that points nowhere, in both of the forms that databases hold.
    Null,
    /// The set or map without elements. XAPI compares sets as one text, in an order that nobody promises, so that the
    /// empty one is the only one that can be asked for.
    Empty,
}

impl std::fmt::Display for Literal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Text(text) | Literal::Word(text) => write!(out, "{text:?}"),
            Literal::Int(number) => number.fmt(out),
            Literal::Bool(truth) => truth.fmt(out),
            Literal::Null => out.write_str("null"),
            Literal::Empty => out.write_str("()"),
        }
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        if text == NULL_REF { Literal::Null } else { Literal::Text(text.into()) }
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<SmolStr> for Literal {
    fn from(text: SmolStr) -> Self {
        if text == NULL_REF { Literal::Null } else { Literal::Text(text) }
    }
}

impl From<i64> for Literal {
    fn from(number: i64) -> Self {
        Literal::Int(number)
    }
}

impl From<bool> for Literal {
    fn from(truth: bool) -> Self {
        Literal::Bool(truth)
    }
}
