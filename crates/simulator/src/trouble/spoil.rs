//! How the answer to a call is spoilt.

/// How the answer to a call is spoilt. The call itself is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Status 200 and bytes that are neither XML nor JSON.
    Garbage,
    /// Status 200 and a body that is well-formed and no reply.
    Malformed,
    /// Status 500 with an HTML page, connection closed.
    ServerError,
    /// The right head and half of the body, then the connection closes.
    Truncated,
    /// The connection closes without an answer.
    Close,
    /// The connection stays open, and no answer ever comes.
    Silence,
    /// The right answer, ten bytes a second.
    Drip,
    /// The right head without a length, and a body without an end.
    Endless,
}

impl Spoil {
    /// All of them with the words that scenarios know them by.
    pub(crate) const WORDS: &[(&str, Spoil)] = &[
        ("garbage", Spoil::Garbage),
        ("malformed", Spoil::Malformed),
        ("server-error", Spoil::ServerError),
        ("cut", Spoil::Truncated),
        ("close", Spoil::Close),
        ("silence", Spoil::Silence),
        ("drip", Spoil::Drip),
        ("endless", Spoil::Endless),
    ];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        Spoil::WORDS.iter().find(|(_, spoil)| *spoil == self).map_or("", |(word, _)| word)
    }
}
