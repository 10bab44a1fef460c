//! How long the head of a request will be. xapi reads it into 1024 bytes and answers HTTP 500 when it does not fit, so it
//! is measured before anything is sent. A test compares this with the bytes on a socket.

use super::Post;

/// Longest head of a request that we send, in bytes, with the empty line at its end.
pub const REQUEST_HEAD_BYTES_MAX: usize = 999;

/// What every one of our requests says beside what its sender asks for.
const ACCEPT: (&str, &str) = ("accept", "*/*");

/// The length of the head of `post` to a host that is written as `authority`.
pub(super) fn bytes(post: &Post<'_>, authority: &str, user_agent: &str) -> usize {
    let line = |name: &str, value: &str| name.len() + ": ".len() + value.len() + "\r\n".len();
    let length = post.body.len().to_string();
    let own = [
        ("host", authority),
        ("user-agent", user_agent),
        ("content-type", post.content_type),
        ("content-length", &length),
        ACCEPT,
    ];
    let further = post.headers.iter().map(|(name, value)| line(name, value));
    "POST ".len()
        + post.path.len()
        + " HTTP/1.1\r\n".len()
        + own.iter().map(|(name, value)| line(name, value)).sum::<usize>()
        + further.sum::<usize>()
        + "\r\n".len()
}
