//! A mark on a task: what a caller writes on it to know it again.

use std::fmt;

use smol_str::{SmolStr, format_smolstr};

/// xapi copies headers that begin so into the `other_config` of the call's task.
const HEADER: &str = "X-Http-Other-Config-";
/// What xapi puts in front of the key there.
const STORED: &str = "http:";
/// Longest key. With the longest value a mark takes less than 330 of the 1024 bytes that xapi takes as a whole head.
const KEY_CHARS_MAX: usize = 32;
/// Longest value.
const VALUE_CHARS_MAX: usize = 256;

/// A key and a value that xapi stores in the `other_config` of the task of a call, there from the task's first event.
///
/// xapi lower-cases keys, so a key is in lower case from the beginning. Marks are no secret: everybody who may read
/// tasks sees them.
///
/// ```
/// let mark = xapi::Mark::new("nightly-copy", "web-1/2026-11-24")?;
/// assert_eq!(mark.to_string(), "nightly-copy=web-1/2026-11-24");
/// assert!(xapi::Mark::new("Nightly", "1").is_err(), "xapi would store `nightly`");
/// assert!(xapi::Mark::new("nightly", "two words").is_err());
/// # Ok::<(), xapi::MarkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    key: SmolStr,
    value: SmolStr,
}

/// Why a text cannot be (part of) a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The key is empty, too long, or has other characters than lower-case letters, digits and `-`.
    #[error("the key {0:?} of a mark is not 1 to {KEY_CHARS_MAX} of a-z, 0-9 and -")]
    Key(SmolStr),
    /// The value is empty, too long, or has other characters than ASCII letters, digits and `.:/@_+=-`.
    #[error("the value {0:?} of a mark is not 1 to {VALUE_CHARS_MAX} of A-Z, a-z, 0-9 and .:/@_+=-")]
    Value(SmolStr),
}

impl Mark {
    /// A mark from its parts.
    ///
    /// # Errors
    /// When a part has characters that do not travel unchanged as a header and as a key in XML, or is too long.
    pub fn new(key: &str, value: &str) -> Result<Self, MarkError> {
        let of_a_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let of_a_value = |byte: u8| byte.is_ascii_alphanumeric() || b".:/@_+=-".contains(&byte);
        if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(of_a_key) {
            return Err(MarkError::Key(key.into()));
        }
        if value.is_empty() || value.len() > VALUE_CHARS_MAX || !value.bytes().all(of_a_value) {
            return Err(MarkError::Value(value.into()));
        }
        Ok(Mark { key: key.into(), value: value.into() })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The key of a task's `other_config` under which xapi stores marks with `key`.
    #[must_use]
    pub fn stored_key(key: &str) -> SmolStr {
        format_smolstr!("{STORED}{key}")
    }

    pub(crate) fn header(&self) -> (String, String) {
        (format!("{HEADER}{}", self.key), self.value.to_string())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_travels_unchanged_makes_a_mark() {
        let long = "k".repeat(KEY_CHARS_MAX);
        for key in ["a", "xapiary", "9-lives", &long] {
            assert_eq!(Mark::new(key, "v").unwrap().key(), key);
        }
        let longer = format!("{long}k");
        for key in ["", "Key", "a b", "a:b", "a_b", "sch\u{f6}n", "a\r\nx", &longer] {
            assert_eq!(Mark::new(key, "v"), Err(MarkError::Key(key.into())));
        }
        let long = "v".repeat(VALUE_CHARS_MAX);
        for value in ["1", "plugin/12:3@host_a+b=c.d-e", &long] {
            assert_eq!(Mark::new("k", value).unwrap().value(), value);
        }
        let longer = format!("{long}v");
        for value in ["", " ", "a b", "<a>", "a&b", "a\nb", "\u{e4}", "\"", &longer] {
            assert_eq!(Mark::new("k", value), Err(MarkError::Value(value.into())));
        }
    }

    #[test]
    fn the_longest_mark_leaves_most_of_the_head_to_others() {
        let mark = Mark::new(&"k".repeat(KEY_CHARS_MAX), &"v".repeat(VALUE_CHARS_MAX)).unwrap();
        let (name, value) = mark.header();
        assert!(name.len() + value.len() + ": \r\n".len() < 330);
    }
}
