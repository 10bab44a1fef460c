//! Bytes to values and back, for both of XAPI's wires. No I/O, no panic on any input, bounded by [`Limits`].
//!
//! Both directions are here: a client encodes calls and decodes replies, a server (the simulator) the reverse.

pub mod json;
mod limits;
mod source;
mod texts;
pub mod xml;

pub use self::limits::Limits;
pub(crate) use self::source::{Alike, Awaited, Awaiting, Shape, Source};
pub use crate::failure::Failure;
use crate::value::Value;

/// A method with its arguments, as a server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `VM.start`, `Async.VM.start`.
    pub method: String,
    /// The arguments, the session first where the method wants one.
    pub arguments: Vec<Value>,
}

/// What a method came back with.
pub type Reply = Result<Value, Failure>;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
#[error("{what} at byte {position}")]
pub struct DecodeError {
    /// What was wrong, without the text itself, which may hold secrets.
    pub what: String,
    /// Where, in bytes from the start of the message.
    pub position: usize,
}

/// The longest word on what was wrong.
const WHAT_CHARS: usize = 200;

impl DecodeError {
    pub(crate) fn new(what: impl Into<String>, position: usize) -> Self {
        let mut what = what.into();
        // Names in a message are the peer's, and may be as long as it likes.
        if let Some((end, _)) = what.char_indices().nth(WHAT_CHARS) {
            what.truncate(end);
        }
        DecodeError { what, position }
    }
}

/// Reads `{Status, Value | ErrorDescription}` and its JSON cousin's parts.
fn failure_from(description: &Value, position: usize) -> Result<Failure, DecodeError> {
    let words = description.as_array().ok_or_else(|| DecodeError::new("the error is no list", position))?;
    let mut words = words.iter().map(|word| match word {
        Value::String(text) | Value::DateTime(text) => text.clone(),
        other => format!("{other:?}").into(),
    });
    let code = words.next().ok_or_else(|| DecodeError::new("the error has no code", position))?;
    Ok(Failure { code, parameters: words.collect() })
}
