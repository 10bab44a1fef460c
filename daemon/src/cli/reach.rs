//! How the command line gets to a daemon, and to its journal when no daemon runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use journal::{Listings, OpenError};
use serde::Serialize;

use super::output;
use crate::config::{self, Whereabouts};
use crate::control::client::{Client, ClientError};

/// Where the configuration lies unless said otherwise.
const CONFIG: &str = "/etc/xapiary/xapiary.toml";

/// The options of all commands that ask a daemon.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// The daemon's configuration, which says where it listens and keeps its journal [default: /etc/xapiary/xapiary.toml,
    /// if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's control socket, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The journal of a daemon cannot be read from here.
#[derive(Debug, thiserror::Error)]
#[error("reading the daemon's journal")]
pub(super) struct NoJournal(#[from] OpenError);

/// Who answers what is only asked.
pub(super) enum Source {
    /// The daemon.
    Daemon(Client),
    /// Its journal, since it does not run.
    Journal(Listings),
}

impl Reach {
    /// Where the daemon is.
    pub(super) fn whereabouts(&self) -> Result<Whereabouts> {
        let usual = Path::new(CONFIG);
        let found = match &self.config {
            Some(file) => config::whereabouts(file)?,
            // Who only looks need not be able to read the configuration.
            None if std::fs::File::open(usual).is_err() => config::usual_whereabouts(),
            None => config::whereabouts(usual)?,
        };
        let socket = self.socket.clone().unwrap_or(found.socket);
        Ok(Whereabouts { socket, ..found })
    }

    /// The daemon's configuration.
    pub(super) fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(CONFIG))
    }

    /// The daemon, for what it alone can do.
    pub(super) async fn daemon(&self) -> Result<Client> {
        Ok(Client::connect(&self.whereabouts()?.socket).await?)
    }

    /// The daemon or, when it does not run, its journal; that is said on standard error.
    pub(super) async fn source(&self) -> Result<Source> {
        let whereabouts = self.whereabouts()?;
        match Client::connect(&whereabouts.socket).await {
            Ok(client) => Ok(Source::Daemon(client)),
            Err(error @ ClientError::NotRunning { .. }) => {
                let listings = Listings::open(&whereabouts.state).map_err(NoJournal);
                let listings = listings.with_context(|| error.to_string())?;
                anstream::eprintln!(
                    "xapiary: {error}; reading the journal in {}",
                    whereabouts.state.display()
                );
                Ok(Source::Journal(listings))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints the answer as JSON, or as the text that is made of it.
    pub(super) fn answer<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        if self.json {
            let json = serde_json::to_value(answer).context("writing the answer as JSON")?;
            anstream::print!("{}", output::pretty(&json));
        } else {
            anstream::print!("{}", text(answer));
        }
        Ok(())
    }
}

/// What was asked about is not in the journal.
pub(super) fn not_there(what: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{what} is not in the journal")
}
