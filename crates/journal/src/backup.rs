//! A copy of the journal as it is at one moment, made while it is in use.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::events;
use crate::open::{self, OpenError};

/// A copy that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backed {
    /// The number of the last event in it.
    pub last: u64,
    /// Its size.
    pub bytes: u64,
}

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The journal itself cannot be read.
    #[error("reading the journal that is to be copied")]
    Journal(#[from] OpenError),
    /// A file lies there already; it was left as it is.
    #[error("{} is there already and was left as it is: name another file", .file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The system refused to make the copy.
    #[error("copying the journal to {} ({doing})", .file.display())]
    File {
        /// The copy.
        file: PathBuf,
        /// What we were doing.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The store could not be copied.
    #[error("copying the journal to {} ({doing})", .file.display())]
    Store {
        /// The copy.
        file: PathBuf,
        /// What we were doing.
        doing: &'static str,
        /// What the store said.
        source: rusqlite::Error,
    },
}

/// Copies the journal in a folder, which may be open elsewhere, to a file of its own that its owner alone may read. The copy
/// is one whole file, on disk when this returns; nothing lies there when it fails. Blocks meanwhile.
///
/// # Errors
/// See [`BackupError`].
pub fn backup(folder: &Path, to: &Path) -> Result<Backed, BackupError> {
    let source = open::existing(folder)?;
    let connection = open::reader(&source)?;
    open::of_this_format(&connection, &source)?;
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { file: to.to_owned() });
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let made = copy(&connection, &partial, to).and_then(|made| {
        put_in_place(&partial, to)?;
        Ok(made)
    });
    if made.is_err() {
        // It may not even have been made; the failure that led here is the one to tell.
        _ = fs::remove_file(&partial);
    }
    made
}

fn copy(from: &Connection, partial: &Path, to: &Path) -> Result<Backed, BackupError> {
    let file_failed = |doing| move |source| BackupError::File { file: to.to_owned(), doing, source };
    let store_failed = |doing| move |source| BackupError::Store { file: to.to_owned(), doing, source };
    // One that an earlier copy left behind when it was cut short is begun anew.
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(partial)
        .map_err(file_failed("making the file"))?;
    let mut copy = Connection::open(partial).map_err(store_failed("opening the copy"))?;
    let doing = "copying";
    {
        let backup = Backup::new(from, &mut copy).map_err(store_failed(doing))?;
        // All in one step: one state of the journal, whose writer does not wait.
        match backup.step(-1).map_err(store_failed(doing))? {
            StepResult::Done => {}
            _ => {
                let source = io::Error::new(io::ErrorKind::ResourceBusy, "another program has it locked");
                return Err(BackupError::File { file: to.to_owned(), doing, source });
            }
        }
    }
    // Without a log beside it the copy is one file, whoever moves it.
    let single = "making it one file";
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(store_failed(single))?;
    let last = events::last(&copy).map_err(store_failed("reading the copy"))?;
    copy.close().map_err(|(_, source)| store_failed(single)(source))?;
    let bytes = fs::metadata(partial).map_err(file_failed("measuring it"))?.len();
    Ok(Backed { last, bytes })
}

fn put_in_place(partial: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |doing| move |source| BackupError::File { file: to.to_owned(), doing, source };
    File::open(partial).and_then(|file| file.sync_all()).map_err(failed("writing it to the disk"))?;
    // Unlike a rename this refuses when a file has come there meanwhile.
    fs::hard_link(partial, to).map_err(failed("giving it its name"))?;
    fs::remove_file(partial).map_err(failed("taking its first name away"))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("writing its name to the disk"))
}
