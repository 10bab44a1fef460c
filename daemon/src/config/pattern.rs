//! Names with `*` in them: `*`, `prod-*`, `lab`.

/// A name in which each `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Takes a pattern as written.
    pub(crate) fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// Whether it is a plain name.
    pub(crate) fn is_name(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether the whole of `name` fits.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(first) else { return false };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let last = pieces.pop().unwrap_or_default();
        for piece in pieces {
            // The leftmost fit leaves the most room for the pieces to come.
            let Some(found) = name.find(piece) else { return false };
            name = &name[found + piece.len()..];
        }
        name.ends_with(last)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "lab", true),
            ("lab", "lab", true),
            ("lab", "lab2", false),
            ("prod-*", "prod-1", true),
            ("prod-*", "prod-", true),
            ("prod-*", "test-prod-1", false),
            ("*-a*-b", "x-a1-b", true),
            ("*-a*-b", "x-a-b-c", false),
            ("a*a", "a", false),
            ("*aab", "aaab", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
