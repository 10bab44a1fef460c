//! A simulated pool and a daemon's configuration for it, in a folder that goes with them: what the demo plays on, and what
//! plugins are tested on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use secrecy::SecretString;
use simulator::{Doors, Options, Running, Simulator};
use xapi::codec::Limits;
use xapi::transport::{Address, Endpoint, Trust};
use xapi::{Client, Settings, Wire};

use crate::config::{self, Config, Problems};

const USER: &str = "root";
const PASSWORD: &str = "stage";
/// The pool's Unix socket in the folder, which nobody else may enter.
const SOCKET: &str = "xapi";

/// Everything is in a folder of its own that goes with it.
pub(super) struct Stage {
    pub(super) running: Running,
    pub(super) admin: Client,
    folder: tempfile::TempDir,
}

/// How the stage's pool is made: so much faster than nature, and its choices of this seed.
pub(super) fn options(speed: f64, seed: u64) -> Options {
    Options { user: USER.to_owned(), password: PASSWORD.to_owned(), speed, seed, ..Options::default() }
}

impl Stage {
    /// Opens the pool's door and writes the configuration that a daemon would have for it.
    pub(super) async fn set(simulator: &Simulator, pool: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xapiary-").tempdir().context("making a folder")?;
        let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let unix = Some(folder.path().join(SOCKET));
        let doors = Doors { https: Some(any_port), unix, ..Doors::default() };
        let running = simulator.open(doors).await.context("opening the simulated pool's doors")?;
        running.lead_nowhere_else();
        write(folder.path(), &running, pool)?;
        let admin = admin(&running)?;
        Ok(Stage { running, admin, folder })
    }

    /// The pool's Unix socket, on which its owner is root.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Where grants and components go.
    pub(super) fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The configuration, with the grants that were put into its folder.
    pub(super) fn config(&self) -> Result<Config, Problems> {
        config::load(&self.folder.path().join("xapiary.toml"))
    }

    /// Ends the pool and removes the folder.
    pub(super) async fn strike(self) -> Result<()> {
        self.admin.logout().await;
        self.running.stop().await;
        self.folder.close().context("removing the stage's folder")
    }
}

fn write(folder: &Path, running: &Running, pool: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let address = running.https_address().context("the simulated pool has no HTTPS door")?;
    let fingerprint = running.fingerprint();
    let password = folder.join("password");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password)?;
    std::io::Write::write_all(&mut file, PASSWORD.as_bytes())?;
    std::fs::create_dir(folder.join("plugins"))?;
    std::fs::create_dir(folder.join("state"))?;
    let quoted = |path: &Path| toml_text(&path.display().to_string());
    let main = format!(
        r#"state = {}
[[pool]]
name = {}
url = "https://{address}"
user = "{USER}"
password = {{ file = {} }}
trust = {{ pin = ["{fingerprint}"] }}
"#,
        quoted(&folder.join("state")),
        toml_text(pool),
        quoted(&password)
    );
    Ok(std::fs::write(folder.join("xapiary.toml"), main)?)
}

/// A text in TOML's quotes.
pub(super) fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A person's own client on the same pool.
fn admin(running: &Running) -> Result<Client> {
    let address = running.https_address().context("the simulated pool has no HTTPS door")?;
    let fingerprint = running.fingerprint();
    let address = Address::Https { host: address.ip().to_string(), port: address.port() };
    let client = Client::new(Settings {
        endpoint: Endpoint::new(address, Trust::Pinned(vec![fingerprint.parse()?]))?,
        members: Vec::new(),
        pool_uuid: None,
        user: USER.to_owned(),
        password: Arc::new(SecretString::from(PASSWORD)),
        originator: "xapiary-stage".to_owned(),
        user_agent: "xapiary-stage".to_owned(),
        call_timeout: std::time::Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    })?;
    Ok(client)
}
