//! The pool as the daemon last saw it. Nothing here reaches the pool, so reading is cheap and never loads it; what was
//! read may be older than a call that this delivery has just made.
//!
//! The types of [`xapi`](crate::xapi) read common classes with a function for each field; [`Object`] reads any class by the
//! names of its fields.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use crate::value::{FromValue, read};
use crate::xapi::Class;
use crate::{Error, Moment, Reference, Value, host};

/// How many objects [`find`] asks the daemon for at a time.
const PAGE_OBJECTS: u32 = 64;

/// One object's record at one moment. It does not change while the plugin holds it.
///
/// Fields are read by XAPI's own names. A field of another type than the one asked for is an [`Error`] of fault
/// [`Invalid`](crate::Fault::Invalid) with code `FIELD_TYPE`; an unknown field is invalid too, and one that the grant hides is
/// [`Denied`](crate::Fault::Denied). For one that this pool does not have there is [`IfThere`](crate::IfThere).
///
/// ```no_run
/// # fn read(vgpu: &xapiary_sdk::Object) -> Result<(), xapiary_sdk::Error> {
/// let attached = vgpu.truth("currently_attached")?;
/// for vm in vgpu.follow("VM")? {
///     xapiary_sdk::info!("{}: {attached}", vm.text("name_label")?);
/// }
/// # Ok(()) }
/// ```
pub struct Object(host::Record);

macro_rules! typed {
    ($($(#[$doc:meta])* $name:ident: $of:ty;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        ///
        /// When it is of another type, unknown, hidden by the grant, or not there.
        pub fn $name(&self, field: &str) -> Result<$of, Error> {
            self.value(field)
        })*
    };
}

impl Object {
    pub(crate) fn new(record: host::Record) -> Object {
        Object(record)
    }

    /// The class, as XAPI spells it: `VM`, `host`, `VDI`.
    pub fn class(&self) -> String {
        self.0.class()
    }

    /// The handle, for [`calls`](crate::calls) and for [`by_reference`].
    pub fn reference(&self) -> Reference {
        self.0.reference()
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
    ///
    /// # Errors
    ///
    /// When it is unknown or hidden by the grant.
    pub fn get(&self, field: &str) -> Result<Value, Error> {
        self.0.get(field)
    }

    typed! {
        /// A string field, or the name of an enum case.
        text: String;
        /// An integer field.
        whole: i64;
        /// A floating point field.
        real: f64;
        /// A boolean field.
        truth: bool;
        /// A date field.
        moment: Moment;
        /// A set of strings or of enum cases.
        texts: Vec<String>;
        /// A set of references.
        references: Vec<Reference>;
        /// A map of strings to strings, in XAPI's order.
        pairs: Vec<(String, String)>;
        /// A reference field; `None` when it points to nothing.
        target: Option<Reference>;
    }

    /// The objects that a reference field points to, in the field's order. Those that no longer exist or that the grant
    /// hides are left out.
    ///
    /// # Errors
    ///
    /// When the field is unknown, hidden by the grant, or holds no references.
    pub fn follow(&self, field: &str) -> Result<Vec<Object>, Error> {
        Ok(self.0.follow(field)?.into_iter().map(Object).collect())
    }

    /// The record as one JSON object. It costs as much as reading all of its fields.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// A field as a type.
    pub(crate) fn value<T: FromValue>(&self, field: &str) -> Result<T, Error> {
        read(self.get(field)?, || format!("{}.{field}", self.class()))
    }

    /// A field of a shape that the contract has no kind for.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, field: &str) -> Result<T, Error> {
        let value = self.get(field)?;
        let parsed = match &value {
            Value::Json(text) => serde_json::from_slice(text.as_bytes()).ok(),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Error::of_another_type(&format!("{}.{field}", self.class()), "json of another shape", &value)
        })
    }

    /// The object that a reference field points to.
    pub(crate) fn one<T: Class>(&self, field: &str) -> Result<Option<T>, Error> {
        Ok(self.follow(field)?.pop().map(T::from_object))
    }

    /// The objects that a set of references points to.
    pub(crate) fn many<T: Class>(&self, field: &str) -> Result<Vec<T>, Error> {
        Ok(self.follow(field)?.into_iter().map(T::from_object).collect())
    }

    /// The UUID of an object whose class has one.
    pub(crate) fn own_uuid(&self) -> Result<String, Error> {
        self.uuid()
            .ok_or_else(|| Error::of_another_type(&format!("{}.uuid", self.class()), "text", &Value::Nothing))
    }
}

impl fmt::Debug for Object {
    /// Shows the handle only: printing an object must not cost a host call, nor need a host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.0).finish()
    }
}

/// The objects of a class for which a CEL expression over `self` holds; an empty filter holds for all.
///
/// They come in a stable order, a page at a time, so a search that stops early costs little.
/// [`Class::find`] gives objects of a type.
///
/// ```no_run
/// # fn attached() -> Result<(), xapiary_sdk::Error> {
/// for vgpu in xapiary_sdk::objects::find("VGPU", "self.currently_attached") {
///     xapiary_sdk::info!("{} is attached", vgpu?.text("uuid")?);
/// }
/// # Ok(()) }
/// ```
pub fn find(class: &str, filter: &str) -> Found {
    found(class, filter)
}

pub(crate) fn found<T: Class>(class: &str, filter: &str) -> Found<T> {
    Found {
        class: class.to_owned(),
        filter: filter.to_owned(),
        page: VecDeque::new(),
        next: NextPage::First,
        of: PhantomData,
    }
}

/// The search that [`find`] began. After an error it is at its end.
#[derive(Debug)]
pub struct Found<T = Object> {
    class: String,
    filter: String,
    page: VecDeque<host::Record>,
    next: NextPage,
    of: PhantomData<T>,
}

#[derive(Debug)]
enum NextPage {
    First,
    After(String),
    None,
}

impl<T: Class> Iterator for Found<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.page.pop_front() {
                return Some(Ok(T::from_object(Object(record))));
            }
            let after = match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::First => None,
                NextPage::After(after) => Some(after),
                NextPage::None => return None,
            };
            match host::find(&self.class, &self.filter, PAGE_OBJECTS, after.as_deref()) {
                Ok((page, next)) => {
                    self.page = page.into();
                    self.next = next.map_or(NextPage::None, NextPage::After);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The object behind a handle; `None` when it no longer exists.
///
/// # Errors
///
/// When the handle is of another delivery, or the grant hides the object's class.
pub fn by_reference(reference: &Reference) -> Result<Option<Object>, Error> {
    Ok(host::by_reference(reference)?.map(Object))
}

/// The object of a class with this UUID; `None` when there is none.
///
/// # Errors
///
/// When there is no such class, or the grant hides it.
pub fn by_uuid(class: &str, uuid: &str) -> Result<Option<Object>, Error> {
    Ok(host::by_uuid(class, uuid)?.map(Object))
}

/// The objects of a class with this `name_label`. Names are not unique.
///
/// # Errors
///
/// When there is no such class, its objects have no name, or the grant hides it.
pub fn by_name_label(class: &str, name: &str) -> Result<Vec<Object>, Error> {
    Ok(host::by_name_label(class, name)?.into_iter().map(Object).collect())
}
