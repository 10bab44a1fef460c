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
    /// With an address: the user to log in as, root unless said
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// With an address: the file with that user's password, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// With an https address: the fingerprint of the certificate to believe, sha256:...
    #[arg(long, value_name = "FINGERPRINT")]
    pin: Option<Fingerprint>,
    /// With an https address: the file of authorities to believe; without it and --pin, the system's
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    ca: Option<PathBuf>,
    /// With an address: the wire to speak, auto unless said
    #[arg(long, value_name = "WIRE", value_parser = ["auto", "xml", "json"])]
    wire: Option<String>,
}

impl PoolChoice {
    /// A client for it; nothing is connected yet. None when it was chosen wrongly, which has been told then.
    pub(super) fn client(&self) -> Option<Client> {
        match self.prepare() {
            Ok(client) => Some(client),
            Err(error) => {
                anstream::eprintln!("error: {}", super::chain(&error));
                None
            }
        }
    }

    fn prepare(&self) -> Result<Client> {
        let pool = if self.pool.contains("://") || self.pool.starts_with("unix:") {
            self.at_address()?
        } else {
            self.of_configuration()?
        };
        service::client(&pool, None, "xapiary-cli")
    }

    fn of_configuration(&self) -> Result<Pool> {
        let with_address = [
            ("--user", self.user.is_some()),
            ("--password-file", self.password_file.is_some()),
            ("--pin", self.pin.is_some()),
            ("--ca", self.ca.is_some()),
            ("--wire", self.wire.is_some()),
        ];
        if let Some((option, _)) = with_address.iter().find(|(_, given)| *given) {
            bail!(
                "{option} goes with an address, and {:?} is a pool of the configuration, which says it",
                self.pool
            );
        }
        let file = &self.file.config;
        if !file.exists() {
            bail!(
                "there is no configuration {}: name one with --config, or give an address for {:?}",
                file.display(),
                self.pool
            );
        }
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
            user: self.user.clone().unwrap_or_else(|| "root".to_owned()),
            password,
            wire: wire(self.wire.as_deref()),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn wire(word: Option<&str>) -> Wire {
    match word {
        Some("xml") => Wire::Xml,
        Some("json") => Wire::Json,
        _ => Wire::Auto,
    }
}
