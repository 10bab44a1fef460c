//! Where a secret is kept that the configuration names: read once, so that what cannot be read is told with its place.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::Surroundings;
use super::password::Password;
use super::pool::is_name;
use super::problem::{Located, Problem, Problems};
use super::raw::RawPassword;

/// What is needed to find secrets that a file of the configuration names.
pub(super) struct Keeping<'c> {
    /// The folder of that file.
    pub(super) folder: &'c Path,
    pub(super) surroundings: &'c Surroundings,
    pub(super) problems: &'c RefCell<Problems>,
}

impl Keeping<'_> {
    /// Where a secret is kept, and what it is now; `otherwise` is what to write instead of a credential.
    pub(super) fn read(
        &self,
        raw: &RawPassword,
        key: &str,
        otherwise: &str,
    ) -> Option<(Password, SecretString)> {
        let (kept, written) = match raw {
            RawPassword::File(file) => (Password::File(self.folder.join(&file.value)), file),
            RawPassword::Credential(name) => {
                let path = self.credential(name, &format!("{key}.credential"), otherwise)?;
                (Password::Credential(path), name)
            }
        };
        match kept.read() {
            Ok(secret) => Some((kept, secret)),
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                let problem = Problem::at(&written.place, key, format!("{error}{cause}"));
                self.report(problem.instead(error.advice()));
                None
            }
        }
    }

    /// The file of a credential that systemd hands over; `otherwise` is what to write instead of one.
    pub(super) fn credential(&self, name: &Located<String>, key: &str, otherwise: &str) -> Option<PathBuf> {
        if !is_name(&name.value) {
            let what = format!("{:?} cannot be the name of a credential", name.value);
            self.report(Problem::at(&name.place, key, what));
            return None;
        }
        let Some(folder) = &self.surroundings.credentials_folder else {
            let what = "credentials are handed over by systemd, and this process was given none \
                        (CREDENTIALS_DIRECTORY is not set)";
            let unit = &name.value;
            let instead = format!(
                "start it as a service with LoadCredential={unit}:/etc/xapiary/credentials/{unit}, or write \
                 {otherwise}"
            );
            self.report(Problem::at(&name.place, key, what).instead(instead));
            return None;
        };
        Some(folder.join(&name.value))
    }

    fn report(&self, problem: Problem) {
        self.problems.borrow_mut().errors.push(problem);
    }
}
