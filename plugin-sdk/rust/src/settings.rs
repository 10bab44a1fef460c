//! What the administrator set for this plugin. The daemon has checked the settings against the manifest and filled in its
//! defaults before the plugin sees them.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};

use crate::{Error, host};

/// All settings as one value, such as a struct with a field for each setting of the manifest.
///
/// A plugin whose handlers take `&self` need not call this: its struct *is* the settings.
///
/// ```no_run
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     tag: String,
///     max_starts: u32,
/// }
///
/// # fn read() -> Result<(), xapiary_sdk::Error> {
/// let settings: Settings = xapiary_sdk::settings::load()?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// What does not fit `T` is an error of code `SETTINGS_TYPE`.
pub fn load<T: DeserializeOwned>() -> Result<T, Error> {
    parse(&host::settings())
}

fn parse<T: DeserializeOwned>(all: &str) -> Result<T, Error> {
    serde_json::from_slice(all.as_bytes()).map_err(|why| {
        let mut error = Error::invalid("SETTINGS_TYPE", &[&why.to_string()]);
        error.advice = "the plugin's struct and the [settings] of its plugin.toml do not fit".to_owned();
        error
    })
}

/// One setting by name; `None` when it is not set and has no default. One of another type is an error of code
/// `SETTING_TYPE`.
///
/// ```no_run
/// # fn read() -> Result<(), xapiary_sdk::Error> {
/// let most: u32 = xapiary_sdk::settings::get("max_starts")?.unwrap_or(3);
/// # Ok(()) }
/// ```
pub fn get<T: DeserializeOwned>(name: &str) -> Result<Option<T>, Error> {
    pick(&host::settings(), name)
}

/// One secret by the name that the grant gives it. One that is not granted is an error of fault
/// [`Denied`](crate::Fault::Denied).
pub fn secret(name: &str) -> Result<String, Error> {
    host::secret(name)
}

fn pick<T: DeserializeOwned>(all: &str, name: &str) -> Result<Option<T>, Error> {
    // From bytes, as the store reads: one parser in the component instead of two.
    let mut json = serde_json::Deserializer::from_slice(all.as_bytes());
    json.deserialize_map(Pick { name, of: PhantomData })
        .map_err(|why| Error::invalid("SETTING_TYPE", &[name, &why.to_string()]))
}

/// Reads one member of an object and skips the others, so that a plugin does not carry a whole JSON tree for it.
struct Pick<'a, T> {
    name: &'a str,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Pick<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin's settings as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut settings: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(name) = settings.next_key::<String>()? {
            if name == self.name {
                found = Some(settings.next_value()?);
            } else {
                settings.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = r#"{"tag":"keepalive","max_starts":3,"hosts":["a","b"]}"#;

    #[test]
    fn a_setting_is_read_as_the_type_that_is_asked_for() {
        assert_eq!(pick::<String>(SETTINGS, "tag"), Ok(Some("keepalive".to_owned())));
        assert_eq!(pick::<u32>(SETTINGS, "max_starts"), Ok(Some(3)));
        assert_eq!(pick::<Vec<String>>(SETTINGS, "hosts"), Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(pick::<bool>(SETTINGS, "absent"), Ok(None));
    }

    #[test]
    fn a_setting_of_another_type_is_told_by_name() {
        let error = pick::<u32>(SETTINGS, "tag").unwrap_err();
        assert_eq!((error.code.as_str(), error.params[0].as_str()), ("SETTING_TYPE", "tag"));
        assert_eq!(pick::<u32>("[]", "tag").unwrap_err().code, "SETTING_TYPE");
        assert_eq!(pick::<u32>("{\"tag\":", "tag").unwrap_err().code, "SETTING_TYPE");
    }
}
