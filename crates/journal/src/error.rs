//! What can go wrong with an open journal, and what the caller is to do about it.

use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why the store itself failed. Shared, because one failed commit answers many callers; of no named type, because
/// another store may stand behind the same calls.
pub type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// What a call on an open journal can fail with.
///
/// [`Full`](Error::Full) and [`Busy`](Error::Busy) pass: call again later ([`Error::is_passing`]).
/// [`Broken`](Error::Broken) does not: end the process and start anew. The others say that the call itself does not
/// fit what the journal knows.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk or the quota is full. Nothing was written. The journal goes on by itself as soon as there is space:
    /// call again.
    #[error("no space left while {doing}, nothing was written")]
    Full {
        /// What the journal was doing.
        doing: &'static str,
        /// What the store said.
        source: Cause,
    },
    /// Another program (an administrator's `sqlite3`, say) kept the file locked for longer than the journal waits.
    /// Nothing was written: call again.
    #[error("the journal's file was locked by another program while {doing}, nothing was written")]
    Busy {
        /// What the journal was doing.
        doing: &'static str,
        /// What the store said.
        source: Cause,
    },
    /// Reading, writing or syncing the file failed, or the file is damaged. Whether the writes that were under way
    /// are on disk is unknown. Every later call fails with the same error: end the process and open the journal anew.
    #[error("the journal failed while {doing} and must be opened anew")]
    Broken {
        /// What the journal was doing.
        doing: &'static str,
        /// What the store said.
        source: Cause,
    },
    /// The journal was closed before the call.
    #[error("the journal is closed")]
    Closed,
    /// The store refused this one call. Nothing of it was written; other calls are not touched.
    #[error("the store refused {doing}, nothing was written")]
    Refused {
        /// What the journal was doing.
        doing: &'static str,
        /// What the store said.
        source: Cause,
    },
    /// The plugin was never registered with [`Journal::progress`](crate::Journal::progress).
    #[error("plugin {plugin} is not known to the journal")]
    UnknownPlugin {
        /// The plugin's name.
        plugin: String,
    },
    /// The sequence number is above the last event.
    #[error("event {sequence} is not in the journal, the last one is {last}")]
    UnknownEvent {
        /// The number that was asked for.
        sequence: u64,
        /// The number of the last event.
        last: u64,
    },
    /// The delivery has ended already, so it can neither start nor end.
    #[error("delivery of event {sequence} to plugin {plugin} is settled already")]
    Settled {
        /// The plugin's name.
        plugin: String,
        /// The event's number.
        sequence: u64,
    },
    /// The attempt is not the present one: a later one was recorded, or this one has ended.
    #[error(
        "attempt {attempt} of event {sequence} for plugin {plugin} is stale, the journal knows attempt {known}"
    )]
    StaleAttempt {
        /// The plugin's name.
        plugin: String,
        /// The event's number.
        sequence: u64,
        /// The attempt that was given.
        attempt: u32,
        /// The attempt that the journal knows.
        known: u32,
    },
    /// The cursor would pass a delivery that has not ended.
    #[error("the cursor of plugin {plugin} cannot pass event {sequence}, whose delivery is still open")]
    Unsettled {
        /// The plugin's name.
        plugin: String,
        /// The lowest event whose delivery is open.
        sequence: u64,
    },
    /// An effect with this attempt and index was recorded before.
    #[error(
        "effect {index} of attempt {attempt} of event {sequence} for plugin {plugin} was recorded already"
    )]
    EffectKnown {
        /// The plugin's name.
        plugin: String,
        /// The event's number.
        sequence: u64,
        /// The attempt.
        attempt: u32,
        /// The place of the call in the attempt.
        index: u32,
    },
    /// No dead letter bears this number: there never was one, or it was made to come again or dropped.
    #[error("dead letter {id} is not in the journal")]
    UnknownDeadLetter {
        /// The number that was asked for.
        id: u64,
    },
    /// No effect bears this number.
    #[error("effect {id} is not in the journal")]
    UnknownEffect {
        /// The number that was asked for.
        id: u64,
    },
    /// The effect has another outcome already; the first one stays.
    #[error("effect {id} has an outcome already")]
    EffectConcluded {
        /// The effect's number.
        id: u64,
    },
}

impl Error {
    /// Whether the same call may succeed later, without a restart: true for [`Error::Full`] and [`Error::Busy`].
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    /// Whether the journal is lost to this process: true for [`Error::Broken`].
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }

    /// What the store's error means for the caller.
    ///
    /// Only what is known to leave the file whole is let through; everything else counts as broken, because going on
    /// with a file that failed once is how acknowledged writes are lost.
    pub(crate) fn of_store(doing: &'static str, error: rusqlite::Error) -> Self {
        let severity = severity(&error);
        let source: Cause = Arc::new(error);
        match severity {
            Severity::Full => Self::Full { doing, source },
            Severity::Busy => Self::Busy { doing, source },
            Severity::Statement => Self::Refused { doing, source },
            Severity::Fatal => Self::Broken { doing, source },
        }
    }
}

/// What a piece of work on a connection can fail with, before it is told what the work was.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store failed.
    Store(rusqlite::Error),
    /// The call breaks a rule of the journal.
    Rule(Error),
}

impl Fault {
    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Self::Store(error) => Error::of_store(doing, error),
            Self::Rule(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

enum Severity {
    Full,
    Busy,
    Statement,
    Fatal,
}

/// `SQLITE_IOERR_SHMSIZE`: the shared index beside the log could not grow. It holds no data and is made anew from
/// the log, so on a full disk this is a full disk and no damage.
const SHARED_INDEX_SIZE: i32 = 4874;

fn severity(error: &rusqlite::Error) -> Severity {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return match error {
            rusqlite::Error::ToSqlConversionFailure(_) => Severity::Statement,
            _ => Severity::Fatal,
        };
    };
    match failure.code {
        ErrorCode::DiskFull => Severity::Full,
        ErrorCode::SystemIoFailure if failure.extended_code == SHARED_INDEX_SIZE => Severity::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Severity::Busy,
        ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => Severity::Statement,
        _ => Severity::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(extended_code: i32) -> Error {
        let failure = rusqlite::ffi::Error::new(extended_code);
        Error::of_store("testing", rusqlite::Error::SqliteFailure(failure, None))
    }

    #[test]
    fn what_leaves_the_file_whole_is_told_from_what_does_not() {
        assert!(matches!(of(rusqlite::ffi::SQLITE_FULL), Error::Full { .. }));
        assert!(matches!(of(rusqlite::ffi::SQLITE_IOERR_SHMSIZE), Error::Full { .. }));
        assert!(matches!(of(rusqlite::ffi::SQLITE_BUSY_SNAPSHOT), Error::Busy { .. }));
        assert!(matches!(of(rusqlite::ffi::SQLITE_CONSTRAINT_CHECK), Error::Refused { .. }));
        for fatal in [
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_CORRUPT,
            rusqlite::ffi::SQLITE_NOTADB,
            rusqlite::ffi::SQLITE_READONLY,
            rusqlite::ffi::SQLITE_CANTOPEN,
        ] {
            assert!(of(fatal).is_broken(), "{fatal}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_its_source() {
        let error = of(rusqlite::ffi::SQLITE_FULL);
        let source = std::error::Error::source(&error).expect("a source").to_string();
        assert!(!error.to_string().contains(&source), "{error} / {source}");
    }
}
