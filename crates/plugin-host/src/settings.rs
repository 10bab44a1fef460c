//! The interface `settings`: what the administrator set for this plugin.

use secrecy::ExposeSecret;
use serde_json::Value as Json;

use crate::contract::xapiary::plugin::settings::Host;
use crate::contract::xapiary::plugin::types::Error;
use crate::fault;
use crate::manifest::advice;
use crate::sandbox::Sandbox;
use grant::nearest::hint;

impl Host for Sandbox {
    async fn all(&mut self) -> wasmtime::Result<String> {
        self.enter("settings.all")?;
        Ok(Json::Object(self.terms.settings.clone()).to_string())
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        self.enter("settings.secret")?;
        Ok(match self.terms.secrets.get(&name) {
            Some(secret) => Ok(secret.expose_secret().to_owned()),
            None => {
                let hint = hint(&name, self.terms.secrets.keys().map(String::as_str));
                let file = self.terms.grant.file();
                let lines = advice(&[&name]);
                let advice =
                    format!("{file} gives no secret `{name}`{hint}; to give it, add there:\n{lines}");
                Err(fault::denied(&name, "no-secret", advice))
            }
        })
    }
}
