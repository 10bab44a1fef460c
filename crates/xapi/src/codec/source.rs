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

/// Takes members in, and knows which most likely comes next. Where a message is text whose bytes can be compared, all of it
/// is told: then records that resemble each other are quick to read.
pub(crate) trait Awaiting {
    /// Takes in the members that come next and are, byte for byte, those of the record before. `ahead` begins at a member.
    fn take_alike(&mut self, ahead: &[u8]) -> Alike;

    /// The member that most likely comes next.
    fn awaited(&self) -> Option<&'static Awaited>;

    /// The awaited member came with its usual value.
    fn take_usual(&mut self);

    /// The awaited member came with another value.
    fn take_awaited(&mut self, value: Value);

    /// A member came, whichever.
    fn take(&mut self, name: &str, value: Value);

    /// A member has been taken in, other than by [`take_alike`](Self::take_alike). With what comes after it, it ends so many
    /// bytes after the record's opening brace; so many values were counted since then.
    fn end_member(&mut self, bytes: usize, values: usize);

    /// All members have been taken in. `text` is the record from after its opening brace to its end.
    fn end(&mut self, text: &[u8]);
}

/// What came again as it was in the record before.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Alike {
    /// How long it is, with the comma or brace after the last member.
    pub(crate) bytes: usize,
    /// How many values it has.
    pub(crate) values: usize,
    /// Whether the record ended.
    pub(crate) ended: bool,
}

/// A member that is awaited, as JSON text without white space.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// Its name and the colon after it: `"tags":`.
    pub(crate) opening: Box<str>,
    /// The value that it mostly has, `[]`; empty where no value is usual.
    pub(crate) usual: &'static str,
}

/// Something that is read from either wire in one pass.
pub(crate) trait Shape {
    /// What comes of it.
    type Content;

    /// Reads the value that `source` stands at, inside `depth` others.
    fn read<S: Source>(self, source: &mut S, depth: usize) -> Result<Self::Content, DecodeError>;
}
