//! Where a password or another secret is kept, and reading it from there. A pool's password is read anew at every login, so
//! that a changed one needs no restart.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// A secret is a line of text; a longer file is the wrong file.
const MAXIMUM_BYTES: u64 = 4096;

/// Bits of a file's mode that let others than its owner near it.
const OTHERS: u32 = 0o077;

/// Where a password or another secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Password {
    /// A file that nobody but its owner may read.
    File(PathBuf),
    /// A credential that systemd put into its folder for this service, which nobody else can enter.
    Credential(PathBuf),
}

/// Why a password could not be read. The text never holds what the file holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Not there, not permitted, a folder, a broken disk.
    #[error("reading the secret in {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the file {} may be read or changed by others than its owner (mode {mode:04o}): chmod 600 it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing in it.
    #[error("the file {} is empty", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Too long, several lines, or no text.
    #[error("the file {} does not hold one line of text", .path.display())]
    NoLine {
        /// The file.
        path: PathBuf,
    },
}

/// The mode of a file that others than its owner may come near.
pub(super) fn open_to_others(file: &std::fs::Metadata) -> Option<u32> {
    let mode = file.permissions().mode() & 0o7777;
    (mode & OTHERS != 0).then_some(mode)
}

impl Password {
    /// The file that holds it.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Password::File(path) | Password::Credential(path) => path,
        }
    }

    /// Reads it now. One line end behind it does not belong to it.
    ///
    /// # Errors
    /// When it cannot be read, or others could read it too, or it is no password.
    pub(crate) fn read(&self) -> Result<SecretString, PasswordError> {
        let path = self.path();
        let failed = |source| PasswordError::Read { path: path.to_path_buf(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if let Password::File(_) = self
            && let Some(mode) = open_to_others(&metadata)
        {
            return Err(PasswordError::Exposed { path: path.to_path_buf(), mode });
        }
        if metadata.len() > MAXIMUM_BYTES {
            return Err(PasswordError::NoLine { path: path.to_path_buf() });
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(PasswordError::NoLine { path: path.to_path_buf() });
            }
            Err(error) => return Err(failed(error)),
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(PasswordError::Empty { path: path.to_path_buf() });
        }
        if line.contains(['\n', '\r', '\0']) {
            return Err(PasswordError::NoLine { path: path.to_path_buf() });
        }
        Ok(SecretString::from(line))
    }
}

impl PasswordError {
    /// What to do about it.
    pub(crate) fn advice(&self) -> String {
        match self {
            PasswordError::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("write the secret into {}, readable by its owner alone", path.display())
            }
            PasswordError::Read { path, .. } => {
                format!("make {} readable for the user that runs the daemon", path.display())
            }
            PasswordError::Exposed { path, .. } => format!("run: chmod 600 {}", path.display()),
            PasswordError::Empty { .. } | PasswordError::NoLine { .. } => {
                "write the secret into it as its only line".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn file(folder: &Path, bytes: &[u8], mode: u32) -> Password {
        let path = folder.join("password");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Password::File(path)
    }

    #[test]
    fn one_line_end_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, expected) in [
            ("hunter2\n", "hunter2"),
            ("hunter2", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" a b \n", " a b "),
        ] {
            let password = file(folder.path(), bytes.as_bytes(), 0o600);
            assert_eq!(password.read().unwrap().expose_secret(), expected);
        }
    }

    #[test]
    fn what_is_no_password_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(5000);
        for (bytes, mode, expected) in [
            ("hunter2\n".as_bytes(), 0o640, "may be read or changed by others than its owner (mode 0640)"),
            (b"hunter2\n", 0o604, "(mode 0604)"),
            (b"\n", 0o600, "is empty"),
            (b"hunter2\nmore\n", 0o600, "does not hold one line of text"),
            (b"hunter2\xff", 0o600, "does not hold one line of text"),
            (long.as_bytes(), 0o600, "does not hold one line of text"),
        ] {
            let error = file(folder.path(), bytes, mode).read().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(matches!(
            Password::File(folder.path().join("absent")).read(),
            Err(PasswordError::Read { .. })
        ));
    }

    #[test]
    fn a_credential_is_not_judged_by_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"hunter2", 0o440).path().to_path_buf();
        assert_eq!(Password::Credential(path).read().unwrap().expose_secret(), "hunter2");
    }
}
