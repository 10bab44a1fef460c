//! Which pool a command talks to: one of the configuration, or any by its address.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xapi::transport::{Address, Endpoint, Fingerprint, Trust};
use xapi::{Client, Wire};

use super::ConfigFile;
use crate::config::{self, Password, Pool};
use crate::service;

/// The arguments that choose it.
#[derive(Debug, clap::Args)]
pub(super) struct PoolChoice {
    /// A pool's name in the configuration, or an address: `https://HOST`, `https://HOST:PORT`, `unix:/PATH`, or
    /// `http://127.0.0.1:PORT`
    pool: String,
    #[command(flatten)]
    file: ConfigFile,
    /// With an address: the user to log in as
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: String,
    /// With an address: the file with that user's password, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// With an https address: the fingerprint of the certificate to believe, sha256:...
    #[arg(long, value_name = "FINGERPRINT")]
    pin: Option<Fingerprint>,
    /// With an https address: the file of authorities to believe; without it and --pin, the system's
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    ca: Option<PathBuf>,
    /// With an address: the wire to speak
    #[arg(long, value_name = "WIRE", default_value = "auto", value_parser = ["auto", "xml", "json"])]
    wire: String,
}

impl PoolChoice {
    /// A client for it. Nothing is connected yet.
    ///
    /// # Errors
    /// When the configuration has no such pool or is wrong, or the address cannot be used.
    pub(super) fn client(&self) -> Result<Client> {
        let pool = if self.pool.contains("://") || self.pool.starts_with("unix:") {
            self.at_address()?
        } else {
            self.of_configuration()?
        };
        service::client(&pool, None, "xapiary-cli")
    }

    fn of_configuration(&self) -> Result<Pool> {
        let file = &self.file.config;
        let config = config::load(file).map_err(|problems| {
            let first = problems.errors.first().map(ToString::to_string).unwrap_or_default();
            let advice = format!("xapiary check --config {} tells all that is wrong", file.display());
            anyhow::anyhow!("{first}\n{advice}").context(format!("reading {}", file.display()))
        })?;
        let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
        let known = names.join(", ");
        config.pools.iter().find(|pool| pool.name == self.pool).cloned().with_context(|| {
            format!("{} has no pool {:?}; it has {known}; or give an address", file.display(), self.pool)
        })
    }

    fn at_address(&self) -> Result<Pool> {
        let address: Address = self.pool.parse()?;
        let trust = match (&address, &self.pin, &self.ca) {
            (Address::Https { .. }, Some(pin), _) => Trust::Pinned(vec![*pin]),
            (Address::Https { .. }, None, Some(file)) => Trust::Authority(read(file)?),
            (Address::Https { .. }, None, None) => Trust::System,
            (_, None, None) => Trust::None,
            _ => bail!("--pin and --ca say which certificate to believe, and {address} shows none"),
        };
        let password = match &self.password_file {
            Some(file) => Some(Password::File(file.clone())),
            // Whoever may open the socket is root.
            None if matches!(address, Address::Unix(_)) => None,
            None => bail!("logging in to {address} takes a password: give --password-file FILE"),
        };
        Ok(Pool {
            name: self.pool.clone(),
            endpoint: Endpoint::new(address, trust)?,
            members: Vec::new(),
            user: self.user.clone(),
            password,
            wire: wire(&self.wire),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn wire(word: &str) -> Wire {
    match word {
        "xml" => Wire::Xml,
        "json" => Wire::Json,
        _ => Wire::Auto,
    }
}
