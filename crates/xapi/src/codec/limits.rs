//! What a decoder takes from a peer at most, and the meter that both decoders keep while they read.

use super::DecodeError;

/// No message is read deeper than this, whatever [`Limits::depth`] says: the decoders call themselves for each level.
const DEPTH_MAX: usize = 256;

/// Bounds on what a decoder takes from a peer. Whatever goes beyond one of them is a [`DecodeError`] that names it.
///
/// Together they bound memory: a decoded message takes at most its own bytes and about 60 bytes for each value.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest message, in bytes. A reply with 10,000 records is about 30 MB.
    pub bytes: usize,
    /// Deepest nesting of values, at most 256. XAPI's own are at most 7 deep.
    pub depth: usize,
    /// Longest single text or member name, in bytes. XAPI's longest are results of host plugins and alerts' bodies.
    pub text: usize,
    /// Most values in one message: each text, number, set, map and record counts, and each member and element again as
    /// the value that it is. A reply with 10,000 VMs has about 1,500,000.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 64 * 1024 * 1024, depth: 64, text: 16 * 1024 * 1024, values: 4_000_000 }
    }
}

/// Counts what has been read of one message.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    /// How deep a value may lie.
    deepest: usize,
    values: usize,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Meter { limits: *limits, deepest: limits.depth.min(DEPTH_MAX), values: 0 }
    }

    /// The message as a whole, as text.
    pub(super) fn message<'b>(&self, body: &'b [u8]) -> Result<&'b str, DecodeError> {
        let most = self.limits.bytes;
        if body.len() > most {
            return Err(DecodeError::new(format!("longer than {most} bytes"), most));
        }
        std::str::from_utf8(body).map_err(|error| DecodeError::new("not UTF-8", error.valid_up_to()))
    }

    /// One more value.
    #[inline]
    pub(super) fn value(&mut self, position: usize) -> Result<(), DecodeError> {
        self.more(1, position)
    }

    /// So many more values.
    #[inline]
    pub(super) fn more(&mut self, values: usize, position: usize) -> Result<(), DecodeError> {
        self.values += values;
        if self.values <= self.limits.values {
            return Ok(());
        }
        Err(beyond(format_args!("more than {} values", self.limits.values), position))
    }

    /// How many values there were.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// A text or name of so many bytes.
    #[inline]
    pub(super) fn text(&self, length: usize, position: usize) -> Result<(), DecodeError> {
        if self.takes_text(length) {
            return Ok(());
        }
        Err(beyond(format_args!("a text longer than {} bytes", self.limits.text), position))
    }

    /// Whether a text or name may be so long.
    #[inline]
    pub(super) fn takes_text(&self, length: usize) -> bool {
        length <= self.limits.text
    }

    /// A value inside `depth` others.
    #[inline]
    pub(super) fn depth(&self, depth: usize, position: usize) -> Result<(), DecodeError> {
        if depth <= self.deepest {
            return Ok(());
        }
        Err(beyond(format_args!("values nest deeper than {}", self.deepest), position))
    }

    /// How deep a value may lie.
    pub(super) fn deepest(&self) -> usize {
        self.deepest
    }
}

/// Apart from the checks, which are made for every value and hardly ever fail.
#[cold]
fn beyond(what: std::fmt::Arguments<'_>, position: usize) -> DecodeError {
    DecodeError::new(what.to_string(), position)
}
