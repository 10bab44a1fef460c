//! Takes secrets out of what a plugin says: its log and its reasons end up in places that more people read.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

/// Puts the name of each secret in its place.
pub fn without_secrets(text: &mut String, secrets: &BTreeMap<String, SecretString>) {
    for (name, secret) in secrets {
        let secret = secret.expose_secret();
        if !secret.is_empty() && text.contains(secret) {
            *text = text.replace(secret, &format!("(secret {name})"));
        }
    }
}
