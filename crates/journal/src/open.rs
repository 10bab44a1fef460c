//! Opening a journal: the folder, the lock against a second process, the file, its settings and its tables.
//!
//! Everything here happens before the first thread starts, and is refused with what is wrong and where. A file that
//! is not a journal is never changed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::{Cause, Error};
use crate::{events, schema};

/// The journal's file in its folder. SQLite keeps `journal.db-wal` and `journal.db-shm` beside it.
const FILE: &str = "journal.db";

/// The file that is locked for as long as a process has the journal open. It holds that process's number.
const LOCK_FILE: &str = "journal.lock";

/// How long a statement waits for another program that has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this when it starts over.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// Memory for pages: the writer's, where a batch of thousands of objects should fit, and each reader's. Negative
/// numbers are KiB to SQLite.
const WRITER_CACHE: i64 = -16 * 1024;
const READER_CACHE: i64 = -4 * 1024;

/// Only the owner reads the journal: events hold what the pool's administrator sees.
const FILE_MODE: u32 = 0o600;

/// How a journal is to be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The size in bytes that the main file may reach; then writes fail with [`Error::Full`] until something is
    /// removed. A file that is larger already may not grow. Default: no limit but the disk's.
    pub quota_bytes: Option<u64>,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is missing, is no folder, or may not be written to.
    #[error("cannot keep a journal in folder {}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the journal open.
    #[error("the journal {} is in use{}", .file.display(), by(.holder))]
    InUse {
        /// The journal's file.
        file: PathBuf,
        /// The number of that process, if it could be read.
        holder: Option<u32>,
    },
    /// The file is no SQLite file, or a SQLite file that another program made.
    #[error("{} is not a journal of this program; it was left as it is", .file.display())]
    NotAJournal {
        /// The file.
        file: PathBuf,
    },
    /// A newer version of this program has written the file.
    #[error(
        "the journal {} has format {found}, this program knows formats up to {known}: use the newer program",
        .file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The format that the file has.
        found: i32,
        /// The newest format that this program knows.
        known: i32,
    },
    /// There is no journal in the folder.
    #[error("there is no journal {}", .file.display())]
    Missing {
        /// The file that is not there.
        file: PathBuf,
    },
    /// An older version of this program has written the file, and it was only to be read.
    #[error(
        "the journal {} has the older format {found}: start the daemon once, which brings it to format {known}",
        .file.display()
    )]
    Older {
        /// The file.
        file: PathBuf,
        /// The format that the file has.
        found: i32,
        /// The format that this program knows.
        known: i32,
    },
    /// The file contradicts itself.
    #[error("the journal {} is damaged", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        source: Cause,
    },
    /// There is no space to open the journal in.
    #[error("no space left to open the journal {}", .file.display())]
    Full {
        /// The file.
        file: PathBuf,
        /// What the store said.
        source: Cause,
    },
    /// Something else failed.
    #[error("cannot open the journal {} ({doing})", .file.display())]
    Failed {
        /// The file.
        file: PathBuf,
        /// What the journal was doing.
        doing: &'static str,
        /// What the system or the store said.
        source: Cause,
    },
}

fn by(holder: &Option<u32>) -> String {
    holder.map(|process| format!(" by process {process}")).unwrap_or_default()
}

/// An open journal before its threads run.
pub(crate) struct Opened {
    pub(crate) file: PathBuf,
    pub(crate) writer: Connection,
    /// Held for as long as a connection lives.
    pub(crate) lock: File,
    /// The number of the last event.
    pub(crate) last: u64,
}

pub(crate) fn open(folder: &Path, options: &Options) -> Result<Opened, OpenError> {
    let file = folder.join(FILE);
    let lock = lock(folder, &file)?;
    create(folder, &file)?;
    let mut writer = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |doing| failure(&file, doing);
    let version = inspect(&writer, &file)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(FILE_MODE)).map_err(|source| {
        OpenError::Failed { file: file.clone(), doing: "closing it to others", source: Arc::new(source) }
    })?;
    settings(&writer, options).map_err(failed("setting it up"))?;
    if version < schema::VERSION {
        migrate(&mut writer, version).map_err(failed("making its tables"))?;
    }
    let last = consistent(&writer, &file)?;
    Ok(Opened { file, writer, lock, last })
}

/// The journal's file in a folder, if it is there and may be read.
pub(crate) fn existing(folder: &Path) -> Result<PathBuf, OpenError> {
    let file = folder.join(FILE);
    match File::open(&file) {
        Ok(_) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { file }),
        Err(source) => Err(OpenError::Failed { file, doing: "opening the file", source: Arc::new(source) }),
    }
}

/// Refuses a file that is no journal of the format that this program writes.
pub(crate) fn of_this_format(connection: &Connection, file: &Path) -> Result<(), OpenError> {
    match inspect(connection, file)? {
        schema::VERSION => Ok(()),
        found => Err(OpenError::Older { file: file.to_owned(), found, known: schema::VERSION }),
    }
}

/// A read-only connection to the journal.
pub(crate) fn reader(file: &Path) -> Result<Connection, OpenError> {
    let reader = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    reader
        .pragma_update(None, "cache_size", READER_CACHE)
        .and_then(|()| safety(&reader))
        .map_err(failure(file, "setting up a reader"))?;
    Ok(reader)
}

pub(crate) fn lock(folder: &Path, file: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
    if !fs::metadata(folder).map_err(unusable)?.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(folder.join(LOCK_FILE))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(OpenError::InUse { file: file.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    // Only told to a person who starts a second daemon, so a full disk is no reason not to start.
    let told =
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
    if let Err(error) = told {
        tracing::warn!(%error, "the journal's lock file does not name this process");
    }
    Ok(lock)
}

/// Makes the file if it is missing, for its owner only, and makes its name in the folder durable.
fn create(folder: &Path, file: &Path) -> Result<(), OpenError> {
    let failed = |source: io::Error| OpenError::Failed {
        file: file.to_owned(),
        doing: "making the file",
        source: Arc::new(source),
    };
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(file)
        .map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn connect(file: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(file, flags).map_err(failure(file, "opening the file"))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure(file, "opening the file"))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Reads whose file it is and which format it has (0: empty), and refuses what is not ours, before any change.
fn inspect(connection: &Connection, file: &Path) -> Result<i32, OpenError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let not_ours = || OpenError::NotAJournal { file: file.to_owned() };
    let tables = match number("SELECT count(*) FROM sqlite_schema") {
        Err(rusqlite::Error::SqliteFailure(failed, _)) if failed.code == ErrorCode::NotADatabase => {
            return Err(not_ours());
        }
        other => other.map_err(failure(file, "reading its head"))?,
    };
    let application_id = number("PRAGMA application_id").map_err(failure(file, "reading its head"))?;
    let version = number("PRAGMA user_version").map_err(failure(file, "reading its head"))?;
    match (application_id, tables, version) {
        // Empty, as it is when the process was killed before the tables were made.
        (0, 0, 0) => Ok(0),
        (schema::APPLICATION_ID, 1.., 1..=schema::VERSION) => Ok(version),
        (schema::APPLICATION_ID, _, found) if found > schema::VERSION => {
            Err(OpenError::Newer { file: file.to_owned(), found, known: schema::VERSION })
        }
        _ => Err(not_ours()),
    }
}

fn settings(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    // Takes effect on a new file only, and must come before anything is written to it.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    // The writer moves the log itself, after its answers, and sees the errors of that.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    safety(connection)?;
    if let Some(bytes) = options.quota_bytes {
        let page_bytes: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (bytes / page_bytes).clamp(1, u64::from(u32::MAX - 1));
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

/// What every connection is set to, so that a damaged or planted file does the least harm.
fn safety(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // Undo information of savepoints stays in memory: a hardened service may have no folder for it.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn migrate(connection: &mut Connection, version: i32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::bring_up(&transaction, version)?;
    transaction.commit()
}

/// The number of the last event, after a look whether it is the last event's.
fn consistent(connection: &Connection, file: &Path) -> Result<u64, OpenError> {
    let doing = "reading the last event";
    let last = events::last(connection).map_err(failure(file, doing))?;
    let newest: Option<u64> = connection
        .query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))
        .map_err(failure(file, doing))?;
    match newest {
        Some(newest) if newest != last => Err(OpenError::Damaged {
            file: file.to_owned(),
            source: Arc::new(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the last event is {newest}, the count says {last}"),
            )),
        }),
        _ => Ok(last),
    }
}

pub(crate) fn failure(file: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> OpenError {
    let file = file.to_owned();
    move |error| match Error::of_store(doing, error) {
        Error::Broken { source, .. } if is_damage(&source) => {
            OpenError::Damaged { file: file.clone(), source }
        }
        Error::Full { source, .. } => OpenError::Full { file: file.clone(), source },
        Error::Busy { source, .. } | Error::Broken { source, .. } | Error::Refused { source, .. } => {
            OpenError::Failed { file: file.clone(), doing, source }
        }
        other => OpenError::Failed { file: file.clone(), doing, source: Arc::new(other) },
    }
}

fn is_damage(source: &Cause) -> bool {
    let error = source.as_ref() as &(dyn std::error::Error + 'static);
    error
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error_code)
        .is_some_and(|code| code == ErrorCode::DatabaseCorrupt)
}
