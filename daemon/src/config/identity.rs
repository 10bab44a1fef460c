//! A client certificate of a pool as meant: both files are read once, when the configuration is.

use std::path::Path;

use xapi::transport::{Identity, IdentityError};

use super::password::open_to_others;
use super::pool::Judge;
use super::problem::{Located, Problem};
use super::raw::{RawIdentity, RawKey};
use super::source;

/// Certificates and keys are a few KiB; a longer file is the wrong file.
const MAXIMUM_BYTES: u64 = 256 * 1024;

/// Reads and judges it. `None` when anything is wrong, which has then been recorded.
pub(super) fn mean(judge: &Judge<'_>, raw: &RawIdentity) -> Option<Identity> {
    let certificate =
        file(judge, "certificate", &raw.certificate, &judge.folder.join(&raw.certificate.value));
    let key = match &raw.key {
        RawKey::File(name) => {
            let path = judge.folder.join(&name.value);
            closed(judge, name, &path).and_then(|()| file(judge, "key", name, &path))
        }
        RawKey::Credential(name) => judge
            .credential(name, KEY_CREDENTIAL, "key = \"...\"")
            .and_then(|path| file(judge, "key", name, &path)),
    };
    match Identity::from_pem(&certificate?, &key?) {
        Ok(identity) => Some(identity),
        Err(error) => {
            let (place, key, instead) = match error {
                IdentityError::Certificate => (
                    &raw.certificate.place,
                    "certificate",
                    "name a file in PEM form, our own certificate first",
                ),
                IdentityError::Key => (
                    raw.key.place(),
                    "key",
                    "name a file in PEM form with one private key that has no passphrase",
                ),
                IdentityError::Mismatch => {
                    (raw.key.place(), "key", "name the key that the certificate was made for")
                }
            };
            let problem =
                Problem::at(place, judge.key(&format!("client_certificate.{key}")), error.to_string());
            judge.report(problem.instead(instead));
            None
        }
    }
}

const KEY_CREDENTIAL: &str = "client_certificate.key.credential";

fn file(judge: &Judge<'_>, key: &str, written: &Located<String>, path: &Path) -> Option<Vec<u8>> {
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    let read =
        length.and_then(
            |length| {
                if length > MAXIMUM_BYTES { Ok(Err(length)) } else { std::fs::read(path).map(Ok) }
            },
        );
    let what = match read {
        Ok(Ok(bytes)) => return Some(bytes),
        Ok(Err(length)) => {
            format!("{} has {length} bytes, which is no certificate and no key", path.display())
        }
        Err(error) => format!("{}: {}", path.display(), source::cannot_read(path, &error).what),
    };
    judge.wrong(&written.place, &format!("client_certificate.{key}"), what);
    None
}

/// A key that others can read is no secret.
fn closed(judge: &Judge<'_>, written: &Located<String>, path: &Path) -> Option<()> {
    let Some(mode) = std::fs::metadata(path).ok().and_then(|metadata| open_to_others(&metadata)) else {
        return Some(());
    };
    let what =
        format!("{} may be read or changed by others than its owner (mode {mode:04o})", path.display());
    let problem = Problem::at(&written.place, judge.key("client_certificate.key"), what);
    judge.report(problem.instead(format!("run: chmod 600 {}", path.display())));
    None
}
