//! What a feed must remember of its pool beside the picture, as the text that the journal keeps with each append.

use std::fmt;

use smol_str::SmolStr;
use xapi::events::{Stream, Told};

/// Where a feed was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// xapi's token; only for people to look at, since it dies with its session.
    token: String,
    /// The classes of which the kept picture is whole.
    pub(crate) classes: Vec<SmolStr>,
    /// Up to where alerts were told.
    pub(crate) alerts: Told,
}

impl Position {
    /// Where a stream is. While it compares the whole pool anew, that is where the kept picture is.
    pub(crate) fn of(stream: &Stream) -> Self {
        Position {
            token: stream.position().to_owned(),
            classes: stream.known(),
            alerts: stream.alerts().clone(),
        }
    }

    /// Reads the text back; none where a feed was stopped before its first picture.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (token, classes, alerts) = (parts.next()?, parts.next()?, parts.next()?);
        let classes: Vec<SmolStr> =
            classes.split(',').filter(|class| !class.is_empty()).map(SmolStr::new).collect();
        let position = Position { token: token.to_owned(), classes, alerts: Told::parse(alerts) };
        (!position.classes.is_empty()).then_some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.token, self.classes.join(","), self.alerts.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let position = Position {
            token: "00000000000000000009,00000000000000000000".into(),
            classes: vec!["VM".into(), "task".into()],
            alerts: Told::parse("20260821T02:00:23Z/a/b"),
        };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        assert_eq!(Position::parse(""), None);
        assert_eq!(Position::parse(&Position::of(&Stream::new(["VM".into()])).to_string()), None);
    }
}
