//! The query language of `get_all_where`: `field "name__label" = "web" and not (...)`.
//!
//! Compares the text form that the database has; `and` and `or` bind equally, left to right, and tighter than `not`.

use xapi::codec::Failure;

use crate::catalog::Entry;
use crate::database::Row;
use crate::failures;
use crate::state_db::stored;

/// A parsed query, its columns already found.
#[derive(Debug)]
pub(crate) enum Filter {
    True,
    False,
    Equal(Side, Side),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

/// One side of a comparison.
#[derive(Debug)]
pub(crate) enum Side {
    /// The value at this position.
    Column(usize),
    Literal(String),
}

/// Deepest nesting of a query.
const DEPTH_MAX: usize = 64;

impl Filter {
    /// Reads a query on a class.
    pub(crate) fn parse(text: &str, entry: &'static Entry) -> Result<Self, Failure> {
        let tokens = tokens(text)
            .ok_or_else(|| Failure::new("INVALID_VALUE", [text, "Failure(\"lexing: empty token\")"]))?;
        let mut parser = Parser { tokens: tokens.into_iter().peekable(), entry, text };
        let filter = parser.expression(0)?;
        if parser.tokens.next().is_some() { Err(parser.syntax()) } else { Ok(filter) }
    }

    /// Whether a row fits.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        match self {
            Filter::True => true,
            Filter::False => false,
            Filter::Equal(left, right) => left.text(row) == right.text(row),
            Filter::Not(inner) => !inner.fits(row),
            Filter::And(left, right) => left.fits(row) && right.fits(row),
            Filter::Or(left, right) => left.fits(row) || right.fits(row),
        }
    }
}

impl Side {
    fn text(&self, row: &Row) -> String {
        match self {
            Side::Literal(text) => text.clone(),
            Side::Column(position) => row.values.get(*position).map(stored).unwrap_or_default(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Literal(String),
    Equal,
    Open,
    Close,
}

/// The language's own words; it knows no others.
const WORDS: &[&str] = &["field", "and", "or", "not", "true", "false"];

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '=' => (Token::Equal, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '"' => {
                let inner = rest.get(1..)?;
                let end = inner.find('"')?;
                (Token::Literal(inner.get(..end)?.to_owned()), end + 2)
            }
            letter if letter.is_ascii_alphabetic() => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = rest.get(..end).filter(|word| WORDS.contains(word))?;
                (Token::Word(word.to_owned()), end)
            }
            _ => return None,
        };
        tokens.push(token);
        rest = rest.get(length..)?.trim_start();
    }
    Some(tokens)
}

struct Parser<'t> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    entry: &'static Entry,
    text: &'t str,
}

impl Parser<'_> {
    /// `not` takes all that follows; `and` and `or` join from the left.
    fn expression(&mut self, depth: usize) -> Result<Filter, Failure> {
        if depth > DEPTH_MAX {
            return Err(self.syntax());
        }
        if self.word("not") {
            return Ok(Filter::Not(Box::new(self.expression(depth + 1)?)));
        }
        let mut left = self.term(depth)?;
        loop {
            if self.word("and") {
                left = Filter::And(Box::new(left), Box::new(self.operand(depth)?));
            } else if self.word("or") {
                left = Filter::Or(Box::new(left), Box::new(self.operand(depth)?));
            } else {
                return Ok(left);
            }
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Filter, Failure> {
        if self.word("not") {
            return Ok(Filter::Not(Box::new(self.expression(depth + 1)?)));
        }
        self.term(depth)
    }

    fn term(&mut self, depth: usize) -> Result<Filter, Failure> {
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.expression(depth + 1)?;
            return match self.tokens.next() {
                Some(Token::Close) => Ok(inner),
                _ => Err(self.syntax()),
            };
        }
        if self.word("true") {
            return Ok(Filter::True);
        }
        if self.word("false") {
            return Ok(Filter::False);
        }
        let left = self.side()?;
        match self.tokens.next() {
            Some(Token::Equal) => Ok(Filter::Equal(left, self.side()?)),
            _ => Err(self.syntax()),
        }
    }

    fn side(&mut self) -> Result<Side, Failure> {
        if self.word("field") {
            let Some(Token::Literal(column)) = self.tokens.next() else { return Err(self.syntax()) };
            let found = self.entry.class.fields.iter().position(|field| field.column() == column);
            return found.map(Side::Column).ok_or_else(|| {
                let class = self.entry.class.name;
                Failure::new(
                    "INTERNAL_ERROR",
                    [format!("Db_exn.DBCache_NotFound(\"missing field\", \"{class}\", \"{column}\")")],
                )
            });
        }
        match self.tokens.next() {
            Some(Token::Literal(text)) => Ok(Side::Literal(text)),
            _ => Err(self.syntax()),
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(text) if text == word)).is_some()
    }

    fn syntax(&self) -> Failure {
        failures::invalid_value(self.text, "Stdlib.Parsing.Parse_error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::Value;

    use crate::catalog;
    use crate::database::Database;

    #[test]
    fn queries_compare_stored_texts() {
        let mut database = Database::new();
        let fields = vec![
            ("name_label", "web".into()),
            ("is_a_template", Value::Bool(false)),
            ("memory_target", Value::Int(512)),
            ("tags", Value::Array(vec!["it's".into()])),
        ];
        database.create("VM", &"OpaqueRef:1".into(), fields);
        let row = database.row("VM", "OpaqueRef:1").unwrap();
        let entry = catalog::entry("VM").unwrap();
        for (query, fits) in [
            ("true", true),
            ("false", false),
            (r#"field "name__label" = "web""#, true),
            (r#"field "name__label"="WEB""#, false),
            (r#"field "is_a_template" = "false" and field "memory__target" = "512""#, true),
            (r#"field "tags" = "('it\'s')""#, true),
            (r#"field "other_config" = "()""#, true),
            ("false and true or true", true),
            ("true or true and false", false),
            ("not false and false", true),
            ("(not false) and false", false),
            ("not (true)", false),
        ] {
            assert_eq!(Filter::parse(query, entry).unwrap().fits(row), fits, "{query}");
        }
        for (query, code, said) in [
            ("field name = ", "INVALID_VALUE", "field name = "),
            ("field \"name__label\" = 'x'", "INVALID_VALUE", "lexing"),
            ("", "INVALID_VALUE", "Parse_error"),
            ("true true", "INVALID_VALUE", "true true"),
            ("(true", "INVALID_VALUE", "(true"),
            ("field \"name_label\" = \"x\"", "INTERNAL_ERROR", "missing field"),
        ] {
            let failure = Filter::parse(query, entry).unwrap_err();
            assert_eq!(failure.code, code, "{query}");
            assert!(failure.parameters.iter().any(|text| text.contains(said)), "{query}: {failure}");
        }
    }
}
