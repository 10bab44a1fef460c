//! What both decoders offer to a reader that knows which shape it wants: values are taken as they come, and nothing is
//! built that the reader does not want.

use super::DecodeError;
use crate::value::Value;

/// A message that stands at a value.
pub(crate) trait Source {
    /// Reads the value, inside `depth` others.
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError>;

    /// Reads a map or record. `member` is called for each member with its name; where its value comes along, it has been
    /// read, otherwise the message stands at it and `member` must read it.
    ///
    /// # Errors
    /// Also when the value is no map.
    fn members(
        &mut self,
        depth: usize,
        member: impl FnMut(&mut Self, &str, Option<Value>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;

    /// Reads a map or record into `fields`, which says what it awaits, so that a message that brings just that need not be
    /// taken apart there.
    ///
    /// # Errors
    /// Also when the value is no map.
    fn fields(&mut self, depth: usize, fields: &mut impl Awaiting) -> Result<(), DecodeError> {
        self.members(depth, |source, name, value| {
            let value = value.map_or_else(|| source.value(depth + 1), Ok)?;
            fields.take(name, value);
            Ok(())
        })
    }

    /// Reads a list. `element` is called at each element and must read it.
    ///
    /// # Errors
    /// Also when the value is no list.
    fn elements(
        &mut self,
        depth: usize,
        element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;

    /// The rest of the message from here on, white space left out; none where bytes cannot be told from outside.
    fn ahead(&mut self) -> Option<&[u8]> {
        None
    }

    /// So many bytes that were read last.
    fn behind(&self, _bytes: usize) -> &[u8] {
        &[]
    }

    /// Passes over so many bytes, which are a whole value.
    fn pass(&mut self, _bytes: usize) {}
}

/// Takes members in, and knows which most likely comes next.
pub(crate) trait Awaiting {
    /// The name of that member, and the value that it mostly has as JSON text, empty where there is none.
    fn awaited(&self) -> Option<(&'static str, &'static str)>;

    /// The awaited member came with that value.
    fn take_usual(&mut self);

    /// The awaited member came with another value.
    fn take_awaited(&mut self, value: Value);

    /// A member came, whichever.
    fn take(&mut self, name: &str, value: Value);
}

/// Something that is read from either wire in one pass.
pub(crate) trait Shape {
    /// What comes of it.
    type Content;

    /// Reads the value that `source` stands at, inside `depth` others.
    fn read<S: Source>(self, source: &mut S, depth: usize) -> Result<Self::Content, DecodeError>;
}
