//! Classes as types.

use crate::objects::{Found, found};
use crate::{Error, Object, Reference, Value, objects};

/// A class of XAPI, as the type of its records.
pub trait Class: Sized {
    /// The name as XAPI spells it; empty for [`Object`], which is of any.
    const CLASS: &'static str;

    /// The record as this type. The caller knows that it is one.
    #[doc(hidden)]
    fn from_object(object: Object) -> Self;

    /// The objects of the class for which a CEL expression over `self` holds; an empty one holds for all.
    ///
    /// ```no_run
    /// # fn full() -> Result<(), xapiary_sdk::Error> {
    /// use xapiary_sdk::xapi::{Class, Sr};
    /// for sr in Sr::find("self.physical_utilisation * 10 > self.physical_size * 9") {
    ///     xapiary_sdk::warn!("{} is nearly full", sr?.name_label()?);
    /// }
    /// # Ok(()) }
    /// ```
    fn find(filter: &str) -> Found<Self> {
        found(Self::CLASS, filter)
    }

    /// The object with this UUID; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the grant hides the class.
    fn by_uuid(uuid: &str) -> Result<Option<Self>, Error> {
        Ok(objects::by_uuid(Self::CLASS, uuid)?.map(Self::from_object))
    }

    /// The objects of this name. Names are not unique.
    ///
    /// # Errors
    ///
    /// When objects of the class have no name, or the grant hides it.
    fn by_name_label(name: &str) -> Result<Vec<Self>, Error> {
        Ok(objects::by_name_label(Self::CLASS, name)?.into_iter().map(Self::from_object).collect())
    }

    /// The object behind a handle, as it is now; `None` when it no longer exists.
    ///
    /// # Errors
    ///
    /// When the handle is of another delivery or of another class, or the grant hides the class.
    fn by_reference(reference: &Reference) -> Result<Option<Self>, Error> {
        let Some(object) = objects::by_reference(reference)? else { return Ok(None) };
        let class = object.class();
        if !Self::CLASS.is_empty() && class != Self::CLASS {
            return Err(Error::invalid("CLASS", &[Self::CLASS, &class]));
        }
        Ok(Some(Self::from_object(object)))
    }
}

/// An object of any class.
impl Class for Object {
    const CLASS: &'static str = "";

    fn from_object(object: Object) -> Self {
        object
    }
}

/// What can stand where a method wants an object of class `T`: a record of it, or anything that may be one.
pub trait ReferenceTo<T> {
    /// The handle as an argument.
    #[doc(hidden)]
    fn argument(&self) -> Value;
}

impl<T> ReferenceTo<T> for Reference {
    fn argument(&self) -> Value {
        Value::from(self)
    }
}

impl<T> ReferenceTo<T> for Object {
    fn argument(&self) -> Value {
        Value::from(self)
    }
}

/// No object, where a method allows that.
///
/// ```no_run
/// # fn copy(vm: &xapiary_sdk::xapi::Vm) -> Result<(), xapiary_sdk::Error> {
/// use xapiary_sdk::xapi::{self, Null};
/// // Without a storage repository of its own, the copy lies where the original lies.
/// let copy = xapi::vm::copy(vm, "a copy", &Null)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Null;

impl<T> ReferenceTo<T> for Null {
    fn argument(&self) -> Value {
        Value::Nothing
    }
}

/// A set of objects as an argument.
pub(crate) fn references<T>(objects: &[&dyn ReferenceTo<T>]) -> Value {
    let handle = |object: &&dyn ReferenceTo<T>| match object.argument() {
        Value::Reference(reference) => Some(reference),
        _ => None,
    };
    Value::References(objects.iter().filter_map(handle).collect())
}

/// A map from objects to objects as an argument.
pub(crate) fn reference_pairs<K, V>(pairs: &[(&dyn ReferenceTo<K>, &dyn ReferenceTo<V>)]) -> Value {
    Value::Pairs(
        pairs.iter().map(|(key, value)| (handle(&key.argument()), handle(&value.argument()))).collect(),
    )
}

/// A map from objects to texts as an argument.
pub(crate) fn text_pairs<K>(pairs: &[(&dyn ReferenceTo<K>, &str)]) -> Value {
    Value::Pairs(pairs.iter().map(|(key, text)| (handle(&key.argument()), (*text).to_owned())).collect())
}

/// A list of numbers as an argument.
pub(crate) fn numbers(numbers: &[i64]) -> Value {
    Value::Json(serde_json::Value::from(numbers).to_string())
}

fn handle(argument: &Value) -> String {
    if let Value::Reference(reference) = argument { reference.as_str().to_owned() } else { String::new() }
}
