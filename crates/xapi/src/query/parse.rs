//! The form of a query that people write: `power_state = "Running" and not (is_a_template = true or VBDs = ())`.
//!
//! `not` binds tightest, then `and`, then `or`. Texts stand in double or single quotes, and nothing escapes a quote;
//! `true`, `false`, integers, `null` (the reference that points nowhere) and `()` (the empty set or map) stand bare.
//! `field != literal` and `field in (literal, literal)` are short for what they say.

use smol_str::SmolStr;

use super::{Literal, Query, field};

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 64;

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {position}")]
pub struct ParseError {
    /// What was wrong, such as `expected a literal, found "and"`.
    pub what: String,
    /// Where, in characters from the start, the first being 1.
    pub position: usize,
}

impl Query {
    /// Reads a query as people write it. Field names are not looked up before the class is known.
    ///
    /// # Errors
    /// When the text is no query, with the place.
    ///
    /// ```
    /// use xapi::query::Query;
    ///
    /// assert!(Query::parse("power_state in ('Running', 'Paused') and affinity != null").is_ok());
    /// let error = Query::parse("memory_target > 5").unwrap_err();
    /// assert_eq!(error.to_string(), r#"expected "=", "!=" or "in", found ">" at character 15"#);
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let query = parser.either(0)?;
        match parser.token() {
            Token::End => Ok(query),
            _ => Err(parser.expected(r#""and", "or" or the end"#)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(SmolStr),
    Literal(Literal),
    Mark(SmolStr),
    End,
}

/// All tokens with their places, [`Token::End`] last.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let position = text[..text.len() - rest.len()].chars().count() + 1;
        let end_where = |stops: fn(char) -> bool| rest.find(stops).unwrap_or(rest.len());
        let (token, length) = match first {
            '"' | '\'' => {
                let inner = &rest[1..];
                let Some(end) = inner.find(first) else {
                    return Err(ParseError { what: format!("the text has no closing {first}"), position });
                };
                (Token::Literal(inner[..end].into()), end + 2)
            }
            '0'..='9' | '-' => {
                let end = end_where(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.'));
                let number = rest[..end].parse().map_err(|_| ParseError {
                    what: format!("{:?} is no integer, texts stand in quotes", &rest[..end]),
                    position,
                })?;
                (Token::Literal(Literal::Int(number)), end)
            }
            letter if letter.is_alphabetic() || letter == '_' => {
                let end = end_where(|c| !c.is_alphanumeric() && c != '_');
                let token = match &rest[..end] {
                    "true" => Token::Literal(Literal::Bool(true)),
                    "false" => Token::Literal(Literal::Bool(false)),
                    "null" => Token::Literal(Literal::Null),
                    word => Token::Word(word.into()),
                };
                (token, end)
            }
            '!' if rest.starts_with("!=") => (Token::Mark("!=".into()), 2),
            mark => (Token::Mark(smol_str::format_smolstr!("{mark}")), mark.len_utf8()),
        };
        tokens.push((token, position));
        rest = rest[length..].trim_start();
    }
    tokens.push((Token::End, text.chars().count() + 1));
    Ok(tokens)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser {
    fn either(&mut self, depth: usize) -> Result<Query, ParseError> {
        let mut query = self.both(depth)?;
        if self.token_is_word("or") {
            let mut parts = vec![query];
            while self.take_word("or") {
                parts.push(self.both(depth)?);
            }
            query = Query::Any(parts);
        }
        Ok(query)
    }

    fn both(&mut self, depth: usize) -> Result<Query, ParseError> {
        let mut query = self.one(depth)?;
        if self.token_is_word("and") {
            let mut parts = vec![query];
            while self.take_word("and") {
                parts.push(self.one(depth)?);
            }
            query = Query::Every(parts);
        }
        Ok(query)
    }

    fn one(&mut self, depth: usize) -> Result<Query, ParseError> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {DEPTH_MAX}")));
        }
        if self.take_word("not") {
            return Ok(!self.one(depth + 1)?);
        }
        if self.take_mark("(") {
            let inner = self.either(depth + 1)?;
            return if self.take_mark(")") { Ok(inner) } else { Err(self.expected(r#""and", "or" or ")""#)) };
        }
        match self.token().clone() {
            Token::Literal(Literal::Bool(truth)) => {
                self.at += 1;
                Ok(if truth { Query::everything() } else { Query::Any(Vec::new()) })
            }
            Token::Word(name) if !matches!(&*name, "and" | "or" | "in") => {
                self.at += 1;
                self.comparison(name)
            }
            _ => Err(self.expected("a field")),
        }
    }

    fn comparison(&mut self, name: SmolStr) -> Result<Query, ParseError> {
        if self.take_mark("=") {
            Ok(field(name).is(self.literal()?))
        } else if self.take_mark("!=") {
            Ok(field(name).is_not(self.literal()?))
        } else if self.take_word("in") {
            if !self.take_mark("(") {
                return Err(self.expected(r#""(""#));
            }
            let mut literals = vec![self.literal()?];
            while self.take_mark(",") {
                literals.push(self.literal()?);
            }
            if !self.take_mark(")") {
                return Err(self.expected(r#""," or ")""#));
            }
            Ok(field(name).is_one_of(literals))
        } else {
            Err(self.expected(r#""=", "!=" or "in""#))
        }
    }

    fn literal(&mut self) -> Result<Literal, ParseError> {
        match self.token().clone() {
            Token::Literal(literal) => {
                self.at += 1;
                Ok(literal)
            }
            Token::Mark(mark) if mark == "(" => {
                self.at += 1;
                if self.take_mark(")") { Ok(Literal::Empty) } else { Err(self.expected(r#"")""#)) }
            }
            Token::Word(word) => {
                Err(self
                    .error(format!("expected a literal, found {word:?}; texts stand in quotes: \"{word}\"")))
            }
            _ => Err(self.expected("a literal")),
        }
    }

    fn token(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn token_is_word(&self, wanted: &str) -> bool {
        matches!(self.token(), Token::Word(word) if word == wanted)
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let here = self.token_is_word(wanted);
        self.at += usize::from(here);
        here
    }

    fn take_mark(&mut self, wanted: &str) -> bool {
        let here = matches!(self.token(), Token::Mark(mark) if mark == wanted);
        self.at += usize::from(here);
        here
    }

    fn expected(&self, wanted: &str) -> ParseError {
        let found = match self.token() {
            Token::Word(word) => format!("{word:?}"),
            Token::Literal(literal) => format!("the literal {literal}"),
            Token::Mark(mark) => format!("{mark:?}"),
            Token::End => "the end".to_owned(),
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn error(&self, what: String) -> ParseError {
        let position = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, position)| *position);
        ParseError { what, position }
    }
}
