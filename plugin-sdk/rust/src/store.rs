//! The plugin's own keys. What a delivery writes is kept when the delivery is done, and forgotten when it fails, so a
//! second attempt begins with what the first one saw. A delivery reads its own writes.
//!
//! ```no_run
//! # fn count(uuid: &str) -> Result<(), xapiary_sdk::Error> {
//! use xapiary_sdk::store;
//! let key = format!("stops/{uuid}");
//! let stops = store::get_json::<u32>(&key)?.unwrap_or(0) + 1;
//! store::set_json(&key, &stops)?;
//! # Ok(()) }
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, host};

/// How many keys [`keys`] asks the daemon for at a time.
const PAGE_KEYS: u32 = 256;

/// The value of a key; `None` when it was never set or was deleted.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::stored(key)
}

/// The value of a key as text. Bytes that are no UTF-8 are an error of code `STORE_NOT_TEXT`.
pub fn get_text(key: &str) -> Result<Option<String>, Error> {
    get(key)?
        .map(|bytes| String::from_utf8(bytes).map_err(|_| Error::invalid("STORE_NOT_TEXT", &[key])))
        .transpose()
}

/// The value of a key that [`set_json`] wrote. What does not parse as `T` is an error of code `STORE_NOT_JSON`.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    get(key)?
        .map(|bytes| {
            serde_json::from_slice(&bytes)
                .map_err(|why| Error::invalid("STORE_NOT_JSON", &[key, &why.to_string()]))
        })
        .transpose()
}

/// Sets a key to bytes or text. Going over the size that the grant gives is an error of fault
/// [`Limit`](crate::Fault::Limit).
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    host::store(key, value.as_ref())
}

/// Sets a key to a value as JSON, to be read back by [`get_json`].
pub fn set_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    let json = serde_json::to_vec(value)
        .map_err(|why| Error::invalid("STORE_NOT_JSON", &[key, &why.to_string()]))?;
    set(key, json)
}

/// Deletes a key. Deleting what is not there is no error.
pub fn delete(key: &str) -> Result<(), Error> {
    host::forget(key)
}

/// All keys that begin with `prefix`, in byte order.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    let mut found = host::keys(prefix, PAGE_KEYS, None)?;
    // A page that is not full is the last one, so most calls cost one look and no more.
    let mut last_page = found.len();
    while last_page >= PAGE_KEYS as usize {
        let page = host::keys(prefix, PAGE_KEYS, found.last().map(String::as_str))?;
        last_page = page.len();
        found.extend(page);
    }
    Ok(found)
}
