//! What records are read as, and references that know to what they lead.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use smol_str::SmolStr;

use super::record::Record;
use crate::query::Literal;
use crate::value::{NULL_REF, Value};

/// A type that a record can be read as: [`Arc<Record>`] for any class, or the view of one class.
pub trait FromRecord: Sized {
    /// Whether references to such objects open doors, as those of sessions do. They are not shown then.
    const SECRET: bool = false;

    /// The record as this type; nothing when it is of another class.
    fn from_record(record: Arc<Record>) -> Option<Self>;
}

/// The view of one class.
pub trait Object: FromRecord {
    /// The class, with its case on the wire.
    const CLASS: &'static str;

    /// The record behind the view.
    fn record(&self) -> &Arc<Record>;
}

impl FromRecord for Arc<Record> {
    fn from_record(record: Arc<Record>) -> Option<Self> {
        Some(record)
    }
}

/// A reference to an object, or to none: opaque text. `T` is the view of the object's class; without it, any class.
///
/// References live as long as their object, also across restarts of xapi, but not across a restored database: there the
/// uuid is the durable key.
///
/// ```
/// use xapi::model::Ref;
///
/// let reference: Ref = Ref::new("OpaqueRef:0b1c");
/// assert_eq!(reference.as_str(), "OpaqueRef:0b1c");
/// assert!(reference.non_null().is_some());
/// assert!(Ref::<()>::null().is_null());
/// ```
pub struct Ref<T = Arc<Record>> {
    text: SmolStr,
    of: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    /// A reference from its text.
    pub fn new(text: impl Into<SmolStr>) -> Self {
        Ref { text: text.into(), of: PhantomData }
    }

    /// The reference that leads nowhere.
    #[must_use]
    pub fn null() -> Self {
        Ref::new(SmolStr::new_static(NULL_REF))
    }

    /// The text as XAPI knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it leads nowhere. Old databases write that as an empty text.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text.is_empty() || self.text == NULL_REF
    }

    /// The reference, unless it leads nowhere.
    #[must_use]
    pub fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }

    /// The same reference without its class.
    #[must_use]
    pub fn untyped(self) -> Ref {
        Ref::new(self.text)
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Ref::new(self.text.clone())
    }
}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Ref<T> {}

impl<T> PartialOrd for Ref<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ref<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<T> std::hash::Hash for Ref<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<T: FromRecord> fmt::Display for Ref<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if T::SECRET { "(hidden)" } else { &self.text })
    }
}

impl<T: FromRecord> fmt::Debug for Ref<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Ref({self})")
    }
}

impl<T> AsRef<str> for Ref<T> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<T> From<Ref<T>> for Value {
    fn from(reference: Ref<T>) -> Self {
        Value::from(reference.text)
    }
}

impl<T> From<&Ref<T>> for Value {
    fn from(reference: &Ref<T>) -> Self {
        Value::from(reference.text.clone())
    }
}

impl<T> From<&Ref<T>> for Literal {
    fn from(reference: &Ref<T>) -> Self {
        if reference.is_null() { Literal::Null } else { Literal::Text(reference.text.clone()) }
    }
}

impl<T> From<Ref<T>> for Literal {
    fn from(reference: Ref<T>) -> Self {
        (&reference).into()
    }
}

/// A record is of another class than the view is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of class {found} is no {wanted}")]
pub struct WrongClass {
    /// The class of the view.
    pub wanted: &'static str,
    /// The class of the record.
    pub found: SmolStr,
}
