//! Sets and maps in a record, seen to be of one type.

use std::fmt;
use std::marker::PhantomData;

use super::field::FromValue;
use crate::value::{Struct, Value};

/// The elements of a [`Set`].
pub type Elements<'r, T> = std::iter::FilterMap<std::slice::Iter<'r, Value>, fn(&'r Value) -> Option<T>>;

/// A set in a record, all of one type. It keeps the order and the duplicates that the pool gave.
pub struct Set<'r, T> {
    elements: &'r [Value],
    of: PhantomData<fn() -> T>,
}

impl<'r, T: FromValue<'r>> Set<'r, T> {
    /// The elements.
    pub fn iter(&self) -> Elements<'r, T> {
        // Nothing is left out: all elements were seen to fit when the set was made.
        self.elements.iter().filter_map(T::from_value)
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

impl<'r, T: FromValue<'r> + PartialEq> Set<'r, T> {
    /// Whether one of the elements is this one.
    #[must_use]
    pub fn contains(&self, element: &T) -> bool {
        self.iter().any(|present| present == *element)
    }
}

impl<'r, T: FromValue<'r>> FromValue<'r> for Set<'r, T> {
    const WANTED: &'static str = "a set of one type";

    fn from_value(value: &'r Value) -> Option<Self> {
        let elements = value.as_array()?;
        let fit = elements.iter().all(|element| T::from_value(element).is_some());
        fit.then_some(Set { elements, of: PhantomData })
    }
}

impl<'r, T: FromValue<'r>> IntoIterator for Set<'r, T> {
    type Item = T;
    type IntoIter = Elements<'r, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Clone for Set<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Set<'_, T> {}

impl<'r, T: FromValue<'r> + fmt::Debug> fmt::Debug for Set<'r, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

/// A map in a record, all values of one type. Keys are text on the wire, whatever the datamodel calls them.
pub struct Map<'r, V> {
    members: &'r Struct,
    of: PhantomData<fn() -> V>,
}

impl<'r, V: FromValue<'r>> Map<'r, V> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<V> {
        self.members.get(key).and_then(V::from_value)
    }

    /// All keys with their values, in the order that the pool gave.
    pub fn iter(&self) -> impl Iterator<Item = (&'r str, V)> + use<'r, V> {
        // Nothing is left out: all values were seen to fit when the map was made.
        self.members.iter().filter_map(|(key, value)| Some((&**key, V::from_value(value)?)))
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<'r, V: FromValue<'r>> FromValue<'r> for Map<'r, V> {
    const WANTED: &'static str = "a map to one type";

    fn from_value(value: &'r Value) -> Option<Self> {
        let members = value.as_struct()?;
        let fit = members.iter().all(|(_, value)| V::from_value(value).is_some());
        fit.then_some(Map { members, of: PhantomData })
    }
}

impl<V> Clone for Map<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Map<'_, V> {}

impl<'r, V: FromValue<'r> + fmt::Debug> fmt::Debug for Map<'r, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}
