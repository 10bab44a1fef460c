//! The pool as the daemon last saw it. Nothing here reaches the pool, so reading is cheap and never loads it; what was
//! read may be older than a call that this delivery has just made.

use std::collections::VecDeque;
use std::fmt;

use crate::bindings::xapiary::plugin::objects as wire;
use crate::{Error, Reference, Value};

/// How many objects [`find`] asks the daemon for at a time.
const PAGE_OBJECTS: u32 = 64;

/// One object's record at one moment. It does not change while the plugin holds it.
///
/// Fields are read by XAPI's own names. A field of another type than the one asked for is an [`Error`] of fault
/// [`Invalid`](crate::Fault::Invalid) with code `FIELD_TYPE`; an unknown field is invalid too, and one that the grant hides is
/// [`Denied`](crate::Fault::Denied).
pub struct Object(wire::Object);

macro_rules! typed {
    ($($(#[$doc:meta])* $name:ident: $kind:ident($of:ty);)*) => {
        $($(#[$doc])*
        pub fn $name(&self, field: &str) -> Result<$of, Error> {
            match self.get(field)? {
                Value::$kind(inner) => Ok(inner),
                other => Err(self.of_another_type(field, stringify!($name), &other)),
            }
        })*
    };
}

impl Object {
    /// The class, as XAPI spells it: `VM`, `host`, `VDI`.
    pub fn class(&self) -> String {
        self.0.class()
    }

    /// The handle, for [`calls`](crate::calls) and for [`by_reference`].
    pub fn reference(&self) -> Reference {
        Reference(self.0.reference())
    }

    /// The UUID; `None` for the few classes that have none.
    pub fn uuid(&self) -> Option<String> {
        self.0.uuid()
    }

    /// The names of the fields that this record has and the grant shows.
    pub fn fields(&self) -> Vec<String> {
        self.0.fields()
    }

    /// One field, of whatever type it is.
    pub fn get(&self, field: &str) -> Result<Value, Error> {
        Ok(self.0.get(field)?.into())
    }

    typed! {
        /// A string field, or the name of an enum case.
        text: Text(String);
        /// An integer field.
        whole: Whole(i64);
        /// A floating point field.
        real: Real(f64);
        /// A boolean field.
        truth: Truth(bool);
        /// A date field, as RFC 3339 text in UTC.
        moment: Moment(String);
        /// A set of strings or of enum cases.
        texts: Texts(Vec<String>);
        /// A set of references.
        references: References(Vec<Reference>);
        /// A map of strings to strings, in XAPI's order.
        pairs: Pairs(Vec<(String, String)>);
    }

    /// A reference field; `None` when it points to nothing.
    pub fn target(&self, field: &str) -> Result<Option<Reference>, Error> {
        match self.get(field)? {
            Value::Nothing => Ok(None),
            Value::Reference(reference) => Ok(Some(reference)),
            other => Err(self.of_another_type(field, "reference", &other)),
        }
    }

    /// The objects that a reference field points to, in the field's order. Those that no longer exist or that the grant
    /// hides are left out.
    pub fn follow(&self, field: &str) -> Result<Vec<Object>, Error> {
        Ok(self.0.follow(field)?.into_iter().map(Object).collect())
    }

    /// The record as one JSON object. It costs as much as reading all of its fields.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }

    fn of_another_type(&self, field: &str, wanted: &str, found: &Value) -> Error {
        let full_name = format!("{}.{field}", self.class());
        Error::invalid("FIELD_TYPE", &[&full_name, wanted, found.kind()])
    }
}

impl fmt::Debug for Object {
    /// Shows the handle only: printing an object must not cost a host call, nor need a host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.0).finish()
    }
}

impl From<wire::Object> for Object {
    fn from(object: wire::Object) -> Object {
        Object(object)
    }
}

/// The objects of a class for which a CEL expression over `self` holds; an empty filter holds for all.
///
/// They come in a stable order, a page at a time, so a search that stops early costs little.
///
/// ```no_run
/// # fn halted() -> Result<(), xapiary_sdk::Error> {
/// for vm in xapiary_sdk::objects::find("VM", "self.power_state == 'Halted'") {
///     xapiary_sdk::info!("{} is halted", vm?.text("name_label")?);
/// }
/// # Ok(()) }
/// ```
pub fn find(class: &str, filter: &str) -> Found {
    Found { class: class.to_owned(), filter: filter.to_owned(), page: VecDeque::new(), next: NextPage::First }
}

/// The search that [`find`] began. After an error it is at its end.
#[derive(Debug)]
pub struct Found {
    class: String,
    filter: String,
    page: VecDeque<Object>,
    next: NextPage,
}

#[derive(Debug)]
enum NextPage {
    First,
    After(String),
    None,
}

impl Iterator for Found {
    type Item = Result<Object, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(object) = self.page.pop_front() {
                return Some(Ok(object));
            }
            let after = match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::First => None,
                NextPage::After(after) => Some(after),
                NextPage::None => return None,
            };
            match wire::find(&self.class, &self.filter, PAGE_OBJECTS, after.as_deref()) {
                Ok(page) => {
                    self.page = page.objects.into_iter().map(Object).collect();
                    self.next = page.next.map_or(NextPage::None, NextPage::After);
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// The object behind a handle; `None` when it no longer exists.
pub fn by_reference(reference: &Reference) -> Result<Option<Object>, Error> {
    Ok(wire::by_reference(reference.as_str())?.map(Object))
}

/// The object of a class with this UUID; `None` when there is none.
pub fn by_uuid(class: &str, uuid: &str) -> Result<Option<Object>, Error> {
    Ok(wire::by_uuid(class, uuid)?.map(Object))
}

/// The objects of a class with this `name_label`. Names are not unique.
pub fn by_name_label(class: &str, name: &str) -> Result<Vec<Object>, Error> {
    Ok(wire::by_name_label(class, name)?.into_iter().map(Object).collect())
}
