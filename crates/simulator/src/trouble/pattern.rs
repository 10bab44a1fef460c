//! Which methods are meant: names with `*` for any part.

use std::fmt;

use crate::methods;

/// A pattern over the names of methods, such as `VM.start`, `VM.*` or `*.get_record`. A method and its `Async.` form
/// go by the same name.
#[derive(Clone, PartialEq, Eq)]
pub struct Methods(String);

impl Methods {
    /// Every method.
    #[must_use]
    pub fn all() -> Self {
        Methods("*".into())
    }

    /// The methods that a pattern means; `*` stands for any text, also for none. It is not asked whether there is any.
    #[must_use]
    pub fn of(pattern: &str) -> Self {
        Methods(pattern.into())
    }

    /// Whether a method is meant, by its name as sent.
    #[must_use]
    pub fn fits(&self, method: &str) -> bool {
        matches(&self.0, method.strip_prefix("Async.").unwrap_or(method))
    }

    /// Whether any method of XAPI is meant.
    pub(crate) fn any(&self) -> bool {
        methods::names().any(|name| self.fits(&name))
    }

    /// Whether no method is left out.
    pub(crate) fn is_all(&self) -> bool {
        self.0 == "*"
    }
}

/// As written.
impl fmt::Display for Methods {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(found) = text.find(part) else { return false };
        text = text.get(found + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, method, fits) in [
            ("*", "VM.start", true),
            ("VM.start", "VM.start", true),
            ("VM.start", "VM.start_on", false),
            ("VM.start", "Async.VM.start", true),
            ("VM.*", "VM.start", true),
            ("VM.*", "VMPP.start", false),
            ("*.get_record", "VBD.get_record", true),
            ("*.get_record", "VBD.get_record_x", false),
            ("V*.get_*", "VDI.get_uuid", true),
            ("V*.get_*", "host.get_uuid", false),
            ("*a*a", "a", false),
        ] {
            assert_eq!(Methods::of(pattern).fits(method), fits, "{pattern} {method}");
        }
        assert!(Methods::of("VM.st*").any() && !Methods::of("VM.stat").any());
    }
}
