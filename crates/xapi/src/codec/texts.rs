//! Texts of one message, each kept once: a reference is met in the record that it names and in those that point there.

use std::collections::HashSet;

use smol_str::SmolStr;

/// The longest text that is looked for; longer ones hardly ever come twice.
const SHARED_MAX: usize = 128;
/// The longest text that needs no memory of its own.
const INLINE_MAX: usize = 23;

/// The texts met so far that need memory of their own.
#[derive(Debug, Default)]
pub(super) struct Texts(HashSet<SmolStr>);

impl Texts {
    /// The text, shared with the same text met before.
    pub(super) fn text(&mut self, text: &str) -> SmolStr {
        if text.len() <= INLINE_MAX || text.len() > SHARED_MAX {
            return SmolStr::new(text);
        }
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new = SmolStr::new(text);
        self.0.insert(new.clone());
        new
    }
}
