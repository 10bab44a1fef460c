//! The S-expressions in which a state database writes sets and maps: `('a' 'b')`, `(('k' 'v') ('k2' 'v2'))`.
//!
//! Strings stand in single or double quotes; a backslash takes the next character as it is.

/// A set or map as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// One string.
    Text(String),
    /// What stands between parentheses.
    List(Vec<Expression>),
}

/// Deepest nesting: a map's pairs are at depth 2, more is a mistake or an attack.
const DEPTH_MAX: usize = 8;

/// Reads one expression and nothing after it. The error says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    let mut reader = Reader { rest: text };
    let expression = reader.expression(0)?;
    reader.skip_space();
    if reader.rest.is_empty() { Ok(expression) } else { Err("text after the closing parenthesis".into()) }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err(format!("lists nest deeper than {DEPTH_MAX}"));
        }
        self.skip_space();
        let Some(first) = self.rest.chars().next() else {
            return Err("a list or string is missing at the end".into());
        };
        match first {
            '(' => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                self.list(depth)
            }
            '\'' | '"' => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                self.quoted(first).map(Expression::Text)
            }
            ')' => Err("a closing parenthesis too many".into()),
            _ => Ok(Expression::Text(self.bare())),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Expression, String> {
        let mut elements = Vec::new();
        loop {
            self.skip_space();
            if let Some(rest) = self.rest.strip_prefix(')') {
                self.rest = rest;
                return Ok(Expression::List(elements));
            }
            if self.rest.is_empty() {
                return Err("a closing parenthesis is missing".into());
            }
            elements.push(self.expression(depth + 1)?);
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(text);
            }
            match character {
                '\\' => match characters.next() {
                    Some((_, taken)) => text.push(taken),
                    None => break,
                },
                plain => text.push(plain),
            }
        }
        Err("a string does not end".into())
    }

    /// A string without quotes, which hand-made files hold.
    fn bare(&mut self) -> String {
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "()'\"".contains(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Expression {
        Expression::Text(text.to_owned())
    }

    #[test]
    fn sets_maps_and_quotes() {
        let list = Expression::List;
        for (written, meant) in [
            ("()", list(vec![])),
            ("('a' 'b')", list(vec![text("a"), text("b")])),
            (
                "(('k' 'v') ('k2' ''))",
                list(vec![list(vec![text("k"), text("v")]), list(vec![text("k2"), text("")])]),
            ),
            (r#"(("k" "it's"))"#, list(vec![list(vec![text("k"), text("it's")])])),
            (r"('it\'s' 'a\\b' '\x')", list(vec![text("it's"), text(r"a\b"), text("x")])),
            (" ( 'a'\n'b' ) ", list(vec![text("a"), text("b")])),
            ("(a b)", list(vec![text("a"), text("b")])),
        ] {
            assert_eq!(parse(written).unwrap(), meant, "{written}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (written, said) in [
            ("", "missing"),
            ("(", "closing parenthesis is missing"),
            ("('a", "does not end"),
            ("('a\\", "does not end"),
            ("())", "after the closing"),
            (")", "too many"),
            ("(((((((((('a'))))))))))", "deeper"),
        ] {
            let error = parse(written).unwrap_err();
            assert!(error.contains(said), "{written}: {error}");
        }
    }
}
