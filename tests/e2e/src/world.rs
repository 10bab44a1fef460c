//! One test's surroundings: a folder of its own and a simulated pool with open doors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use simulator::{Doors, Options, PoolHandle, Running, Simulator};
use tempfile::TempDir;

use crate::config::{Config, Grant, KEEPALIVE_GRANT, PoolSection};
use crate::daemon::Daemon;
use crate::picture;
use crate::skipped::skipped;
use crate::stored::Stored;
use crate::waiting::{LIMIT, until};

/// The password of every simulated pool. No output may ever show it.
pub const PASSWORD: &str = "correct-horse-7f3a9c";

/// How much faster than nature the pools here are.
const SPEED: f64 = 100.0;

/// A folder and a pool.
#[derive(Debug)]
pub struct World {
    folder: Option<TempDir>,
    simulator: Simulator,
    running: Option<Running>,
}

impl World {
    /// The built-in pool, its doors open.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn builtin() -> World {
        World::at_speed(SPEED).await
    }

    /// The built-in pool, so much faster than nature; below 1 for operations that are still going when they are looked at.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn at_speed(speed: f64) -> World {
        let simulator = Simulator::builtin(Options { speed, ..options() });
        World::with(simulator.expect("the built-in pool can be made")).await
    }

    /// The pool of a state file, its doors open.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn of_state(file: &Path) -> World {
        let bytes = std::fs::read(file).expect("the state file can be read");
        World::with(Simulator::from_state_db(&bytes, options()).expect("the state file makes a pool")).await
    }

    async fn with(simulator: Simulator) -> World {
        // Short, because the path of a Unix socket must not exceed some 100 characters.
        let folder = tempfile::Builder::new().prefix("xapiary-").tempdir_in("/tmp");
        let folder = folder.expect("a folder for the test can be made");
        std::fs::create_dir(folder.path().join("state")).expect("a folder for the journal can be made");
        let mut world = World { folder: Some(folder), simulator, running: None };
        world.open(None).await;
        world
    }

    /// The test's folder.
    ///
    /// # Panics
    /// Never while the world is there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder lives as long as the world").path()
    }

    /// Where the journal lies.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// Everything that lies where the journal does, folders within it too, with its content.
    ///
    /// # Panics
    /// When something of it cannot be read.
    #[must_use]
    pub fn state_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut folders, mut files) = (vec![self.state()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
                let path = entry.expect("the folder can be listed").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = std::fs::read(&path).expect("what the daemon left can be read");
                    files.push((path, content));
                }
            }
        }
        files
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolHandle {
        self.simulator.pool()
    }

    /// The fingerprint of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.simulator.fingerprint()
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.simulator.certificate_pem()
    }

    /// Opens the doors: HTTPS at the given address or a free one, HTTP, a Unix socket.
    ///
    /// # Panics
    /// When they cannot be opened.
    pub async fn open(&mut self, https: Option<SocketAddr>) {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let doors = Doors {
            http: Some(anywhere),
            https: Some(https.unwrap_or(anywhere)),
            unix: Some(self.folder().join("xapi")),
        };
        self.running = Some(self.simulator.open(doors).await.expect("the pool's doors can be opened"));
    }

    /// Closes all doors and every connection.
    pub async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Where HTTPS listens.
    ///
    /// # Panics
    /// When the doors are closed.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::https_address).expect("the doors are open")
    }

    /// Where plain HTTP listens.
    ///
    /// # Panics
    /// When the doors are closed.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::http_address).expect("the doors are open")
    }

    /// A configuration that follows the pool as `lab` over HTTPS with its certificate pinned, with the shipped plugin.
    #[must_use]
    pub fn config(&self) -> Config {
        let pool = PoolSection {
            name: "lab".into(),
            url: format!("https://{}", self.https()),
            user: "root".into(),
            password: PASSWORD.into(),
            trust: Some(format!("{{ pin = [\"{}\"] }}", self.fingerprint())),
            wire: None,
        };
        Config {
            state: self.state(),
            pools: vec![pool],
            grants: vec![Grant::keepalive(KEEPALIVE_GRANT)],
            head: String::new(),
            control: String::new(),
        }
    }

    /// Like [`World::config`], over the Unix socket.
    #[must_use]
    pub fn unix_config(&self) -> Config {
        let mut config = self.config();
        for pool in &mut config.pools {
            pool.url = format!("unix:{}", self.folder().join("xapi").display());
            pool.trust = None;
        }
        config
    }

    /// Writes the configuration and starts a daemon with it.
    #[must_use]
    pub fn start(&self, config: &Config) -> Daemon {
        Daemon::start(&config.write(self.folder()), self.folder())
    }

    /// The journal of the pool `lab` as it lies there, while the daemon runs or after it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored::open(&self.state())
    }

    /// Waits until the journal's picture of the pool is the pool's own.
    ///
    /// # Panics
    /// When that does not happen within [`LIMIT`], with what still differs.
    pub async fn alike(&self) {
        let (pool, stored) = (self.pool(), self.stored());
        until(LIMIT, "the journal's picture is the pool's own", || {
            let differences = picture::differences(&pool, &stored);
            if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
        })
        .await;
    }

    /// Waits until the plugin has dealt with every event that is in the journal.
    ///
    /// # Panics
    /// When that does not happen within [`LIMIT`].
    pub async fn settled(&self, plugin: &str) {
        let stored = self.stored();
        until(LIMIT, "every event is settled", || {
            let (cursor, last) = (stored.cursor(plugin), stored.last());
            let mut open = stored.open_deliveries();
            open.retain(|delivery| delivery.starts_with(&format!("{plugin} ")));
            if cursor == Some(last) && open.is_empty() {
                Ok(())
            } else {
                Err(format!("cursor {cursor:?} of {last}, open: {open:?}"))
            }
        })
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("logs and journal are kept in {}", folder.keep().display());
        }
    }
}

/// The root of the repository.
///
/// # Panics
/// Never in a checkout.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this package lies two folders deep").to_owned()
}

/// The state file of that name of a real pool, or `None` after saying that it is not there.
#[must_use]
pub fn real_pools(name: &str) -> Option<PathBuf> {
    let file = repository().join("../shared/data/pools").join(name);
    if file.is_file() {
        return Some(file);
    }
    skipped(&format!("there is no {}", file.display()));
    None
}

fn options() -> Options {
    Options { password: PASSWORD.into(), speed: SPEED, ..Options::default() }
}
