//! What can go wrong between us and a pool.

use std::time::Duration;

use smol_str::SmolStr;

use crate::codec::{DecodeError, Failure};
use crate::failure::Kind;
use crate::transport::{Fingerprint, TransportError};

/// The longest text of an error with its causes.
const CHAIN_CHARS: usize = 2000;

/// Why a call gave no value.
///
/// | error | what it means | was anything done? | what to do |
/// |---|---|---|---|
/// | [`Xapi`](Error::Xapi) | the pool answered, and said no | no, or only what the code says: a method that fails half way is xapi's to undo | decide by the code; see [`Error::failure`] |
/// | [`Transport`](Error::Transport) | there is no answer | no where [`Error::nothing_done`] says so; otherwise it may be on its way or done | look at the object, or for the call's [mark](crate::Mark), before calling again |
/// | [`Decode`](Error::Decode) | there is an answer that cannot be read | most likely yes | look at the object; calling again brings the same answer |
/// | [`NoAsync`](Error::NoAsync) | this method cannot be started as a task | no | call it |
/// | [`Watching`](Error::Watching) | the end of a started task could not be waited for; the source says why | it goes on in the pool | wait again, also after a restart by its [mark](crate::Mark), or look at the object |
/// | [`TaskLost`](Error::TaskLost) | the task vanished before its end was seen | perhaps, perhaps in part | look at the object |
/// | [`Unwritable`](Error::Unwritable) | an argument holds a character that XML cannot carry | no | take it out |
/// | [`Password`](Error::Password) | the password could not be read here | no | mend its source; the next call reads it again |
/// | [`Login`](Error::Login) | a session was needed, and the login failed; the source says why | no | mend account, password or certificate; a pool that is away comes back by itself |
/// | [`Certificate`](Error::Certificate) | a login by client certificate was refused | no | have the certificate's name and authority enabled on the pool |
/// | [`OtherPool`](Error::OtherPool) | whoever answers now is of another pool than before | no | make sure that the address leads to the right pool |
/// | [`Waiting`](Error::Waiting) | the last login failed and the next is not due yet | no | call again after the time that it tells |
///
/// [`Error::nothing_done`] answers the third column for a program. A session that ended is no error: it is replaced and
/// the call made again.
///
/// ```
/// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
/// # stage::example(|client| async move {
/// let error = client.call("VM.get_by_uuid", &["gone".into()]).await.unwrap_err();
/// assert!(error.nothing_done());
/// assert_eq!(error.failure().map(|failure| failure.code.as_str()), Some("UUID_INVALID"));
/// assert_eq!(error.chain(), "xapi refused VM.get_by_uuid: UUID_INVALID [VM, gone]");
/// # Ok(()) });
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// xapi answered, and said no.
    #[error("xapi refused {method}")]
    Xapi {
        /// The method.
        method: String,
        /// xapi's code and parameters.
        #[source]
        failure: Failure,
    },
    /// No answer.
    #[error("calling {method}")]
    Transport {
        /// The method.
        method: String,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// An answer that is none. It may have been done.
    #[error("reading the answer to {method}")]
    Decode {
        /// The method.
        method: String,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The schema says that the method cannot be started as a task. Nothing was sent.
    #[error("{method} has no asynchronous form, it can only be called")]
    NoAsync {
        /// The method, without `Async.`.
        method: String,
    },
    /// The pool could not be asked how far the task of a started method is. The method is under way in the pool, or at
    /// its end. Wait again.
    #[error("waiting for the task {task} of {method}, which may go on")]
    Watching {
        /// The method, without `Async.`.
        method: String,
        /// The task's reference.
        task: SmolStr,
        /// Why it could not be asked.
        #[source]
        source: Box<Error>,
    },
    /// The task of a started method vanished before its end was seen: xapi was restarted, or somebody destroyed it. It
    /// may have been done.
    #[error("the task {task} of {method} vanished before its end was seen")]
    TaskLost {
        /// The method, without `Async.`.
        method: String,
        /// The task's reference.
        task: SmolStr,
    },
    /// An argument holds a control character that XML cannot carry; xapi refuses it on its other wire too. Nothing was
    /// sent. Take it out.
    #[error("argument {index} of {method} holds a character that cannot be sent to xapi")]
    Unwritable {
        /// The method.
        method: String,
        /// Which of the arguments, from 0, the session counted.
        index: usize,
    },
    /// The password could not be had. Nothing was sent.
    #[error("reading the password of {user:?}")]
    Password {
        /// Of whom.
        user: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No session could be had.
    #[error("logging in to {endpoint} as {user:?}")]
    Login {
        /// Where.
        endpoint: String,
        /// As whom.
        user: String,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// A login by client certificate was refused as if it were one by a wrong password: a pool that does not know a
    /// certificate asks for a password instead. Have an administrator enable client certificates for the name in it
    /// (`pool.enable_client_certificate_auth`) and install its authority; and talk to the coordinator.
    #[error("the pool may not have accepted the client certificate {certificate}")]
    Certificate {
        /// Of the client's own certificate.
        certificate: Fingerprint,
        /// xapi's refusal.
        #[source]
        source: Box<Error>,
    },
    /// The member belongs to another pool than the one that was followed: a host that was ejected, or an address that
    /// went to somebody else. It was left at once. Take it out of the members, or begin anew if it is meant.
    #[error("{endpoint} belongs to pool {found}, not to {expected}")]
    OtherPool {
        /// The member.
        endpoint: String,
        /// The uuid of the pool that was followed.
        expected: SmolStr,
        /// The uuid of its pool.
        found: SmolStr,
    },
    /// The last login failed and the next try is not due yet. Nothing was sent.
    #[error("not logged in to {endpoint}, the next try is in {} s ({last})", .after.as_secs())]
    Waiting {
        /// Where.
        endpoint: String,
        /// How long until the next try.
        after: Duration,
        /// What the last try ended with.
        last: String,
        /// Whether that was a certificate that is not believed.
        untrusted: bool,
    },
}

impl Error {
    /// xapi's own error, if it answered with one, also while logging in or asking for a task.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Xapi { failure, .. } => Some(failure),
            Error::Login { source, .. }
            | Error::Certificate { source, .. }
            | Error::Watching { source, .. } => source.failure(),
            _ => None,
        }
    }

    /// Whether xapi answered with that code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.failure().is_some_and(|failure| failure.code == code)
    }

    /// Whether the call certainly changed nothing: it was never sent, or refused with a code that xapi raises before it
    /// begins. False where that is not known.
    #[must_use]
    pub fn nothing_done(&self) -> bool {
        match self {
            Error::Xapi { failure, .. } => before_anything(failure),
            Error::NoAsync { .. }
            | Error::Unwritable { .. }
            | Error::Password { .. }
            | Error::Login { .. }
            | Error::Certificate { .. }
            | Error::OtherPool { .. }
            | Error::Waiting { .. } => true,
            Error::Transport { source, .. } => source.nothing_sent(),
            Error::Decode { .. } | Error::Watching { .. } | Error::TaskLost { .. } => false,
        }
    }

    /// Whether the member's certificate was not believed.
    #[must_use]
    pub fn untrusted(&self) -> bool {
        match self {
            Error::Transport { source: TransportError::Untrusted { .. }, .. } => true,
            Error::Login { source, .. } | Error::Watching { source, .. } => source.untrusted(),
            Error::Waiting { untrusted, .. } => *untrusted,
            _ => false,
        }
    }

    /// The error with all its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        // A peer's own words may be as long as it likes.
        match text.char_indices().nth(CHAIN_CHARS) {
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

/// Codes that are raised before anything is done. Others may come in the middle: a host that could not be reached any
/// more, a task that was cancelled, an internal error.
fn before_anything(failure: &Failure) -> bool {
    matches!(
        failure.kind(),
        Kind::SessionInvalid { .. }
            | Kind::HostIsSlave { .. }
            | Kind::NotReady
            | Kind::SessionAuthenticationFailed { .. }
            | Kind::RbacPermissionDenied { .. }
            | Kind::MessageMethodUnknown { .. }
            | Kind::MessageParameterCountMismatch { .. }
            | Kind::UuidInvalid { .. }
            | Kind::VmBadPowerState { .. }
            | Kind::OtherOperationInProgress { .. }
            | Kind::OperationNotAllowed { .. }
            | Kind::MapDuplicateKey { .. }
            | Kind::NoHostsAvailable { .. }
            | Kind::HostNotEnoughFreeMemory { .. }
    )
}
