//! What two simulated pools say to each other when a host goes from one to the other. XAPI has calls and handlers of its
//! own for that; the simulator has one page, `/simulated/member`, at the door of every pool:
//!
//! | request | by whom | answer |
//! |---|---|---|
//! | `GET` | anybody | [`Greeting`]: here is a simulated pool |
//! | `PUT ?session_id=`, a state database | a session that may call `pool.join` | [`Taken`]: the host belongs to the pool |
//! | `GET ?seen=`, `Authorization: Bearer` | a host that was taken | [`Standing`], as soon as it is not the one seen |

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xapi::codec::Failure;

/// The page.
pub(crate) const PATH: &str = "/simulated/member";

/// Which form of this conversation is spoken.
pub(crate) const FORM: u32 = 1;

/// What a simulated pool says to whoever asks.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) simulated_pool: u32,
}

/// The answer to a host that hands itself over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Taken {
    /// It belongs to the pool and is known there by this secret.
    Secret(SmolStr),
    /// It does not, for this error: its code, then its parameters.
    Refused(Vec<SmolStr>),
}

impl From<Result<SmolStr, Failure>> for Taken {
    fn from(taken: Result<SmolStr, Failure>) -> Self {
        match taken {
            Ok(secret) => Taken::Secret(secret),
            Err(failure) => Taken::Refused(std::iter::once(failure.code).chain(failure.parameters).collect()),
        }
    }
}

/// What a host is to the pool that took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// One of its hosts.
    Member {
        /// The address of its coordinator.
        coordinator: SmolStr,
        /// Whether the pool believes that the host lives.
        live: bool,
    },
    /// It was ejected.
    Ejected,
    /// Nothing: the pool does not know it, or knows it no more.
    Stranger,
}
