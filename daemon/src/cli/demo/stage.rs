//! What the demo plays on: a simulated pool, and a configuration for the daemon as an administrator would write it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use simulator::{Doors, Options, Running, Simulator};
use xapi::codec::Limits;
use xapi::model::Record;
use xapi::transport::{Address, Endpoint, Trust};
use xapi::{Client, Settings, Value, Wire};

use crate::config::{self, Config};

const USER: &str = "root";
const PASSWORD: &str = "demo";
/// Operations take a fifth of their natural time, so that the demo fits into a minute.
const SPEED: f64 = 5.0;

/// Everything is in a folder of its own that goes with it.
pub(super) struct Stage {
    pub(super) running: Running,
    pub(super) config: Config,
    pub(super) admin: Client,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn set(state: Option<&Path>, component: &Path) -> Result<Self> {
        let options = Options {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            speed: SPEED,
            ..Options::default()
        };
        let simulator = match state {
            None => Simulator::builtin(options).context("making up a pool")?,
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
                Simulator::from_state_db(&bytes, options)
                    .with_context(|| format!("loading {}", path.display()))?
            }
        };
        let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let doors = Doors { https: Some(any_port), ..Doors::default() };
        let running = simulator.open(doors).await.context("opening the simulated pool's door")?;
        running.lead_nowhere_else();
        let folder = tempfile::Builder::new().prefix("xapiary-demo-").tempdir().context("making a folder")?;
        let config = write_config(folder.path(), &running, component)?;
        let admin = admin(&running)?;
        Ok(Stage { running, config, admin, folder })
    }

    /// The grant that the plugin runs with, for showing.
    pub(super) fn grant() -> &'static str {
        ALLOWED
    }

    /// Ends the pool and removes the folder.
    pub(super) async fn strike(self) -> Result<()> {
        self.admin.logout().await;
        self.running.stop().await;
        self.folder.close().context("removing the demo's folder")
    }
}

/// What the demo's administrator allows the plugin to do.
const ALLOWED: &str = r#"[[allow]]
call = ["VM.start"]
on = '"keepalive" in self.tags && !("hands-off" in self.tags)'"#;

fn write_config(folder: &Path, running: &Running, component: &Path) -> Result<Config> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let address = running.https_address().context("the simulated pool has no HTTPS door")?;
    let fingerprint = running.fingerprint();
    let password = folder.join("password");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password)?;
    std::io::Write::write_all(&mut file, PASSWORD.as_bytes())?;
    std::fs::create_dir(folder.join("plugins"))?;
    std::fs::create_dir(folder.join("state"))?;
    let quoted = |path: &Path| toml_text(&path.display().to_string());
    let grant = format!(
        r#"file = {}
pools = ["demo"]

{ALLOWED}

[[read]]
class = ["VM"]
fields = ["*"]

[[read]]
class = ["task"]
fields = ["*"]
"#,
        quoted(component)
    );
    std::fs::write(folder.join("plugins/vm-keepalive.toml"), grant)?;
    let main = format!(
        r#"state = {}
[[pool]]
name = "demo"
url = "https://{address}"
user = "{USER}"
password = {{ file = {} }}
trust = {{ pin = ["{fingerprint}"] }}
"#,
        quoted(&folder.join("state")),
        quoted(&password)
    );
    let path = folder.join("xapiary.toml");
    std::fs::write(&path, main)?;
    Ok(config::load(&path)?)
}

/// A text in TOML's quotes.
fn toml_text(text: &str) -> String {
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
        originator: "xapiary-demo".to_owned(),
        user_agent: "xapiary-demo".to_owned(),
        call_timeout: std::time::Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    })?;
    Ok(client)
}

/// Two VMs of the pool that can play: neither templates, snapshots nor control domains; running ones first.
pub(super) fn cast<'r>(vms: impl Iterator<Item = &'r Arc<Record>>) -> Result<(Arc<Record>, Arc<Record>)> {
    let is = |record: &Record, field| record.get(field).and_then(Value::as_bool) == Some(true);
    let mut able: Vec<&Arc<Record>> = vms
        .filter(|vm| {
            !["is_a_template", "is_a_snapshot", "is_control_domain"].iter().any(|field| is(vm, field))
        })
        .collect();
    able.sort_by_key(|vm| (vm.text("power_state") != "Running", vm.text("name_label").to_owned()));
    match able.as_slice() {
        [first, second, ..] => Ok((Arc::clone(first), Arc::clone(second))),
        _ => bail!("the pool has fewer than two VMs, and the demo needs two"),
    }
}

/// The shipped plugin: as named, or where an installation or a build has it.
pub(super) fn find_component(named: Option<&Path>) -> Result<PathBuf> {
    const FILE: &str = "vm_keepalive.wasm";
    if let Some(named) = named {
        // The grant that names it lies in another folder.
        return std::fs::canonicalize(named).with_context(|| format!("looking for {}", named.display()));
    }
    let program = std::env::current_exe().context("finding where this program is")?;
    let beside = |path: &str| program.parent().map(|folder| folder.join(path).join(FILE));
    let places = [
        beside("../lib/xapiary/plugins"),
        beside("../wasm32-wasip2/plugin"),
        Some(Path::new("/usr/lib/xapiary/plugins").join(FILE)),
    ];
    let mut places = places.into_iter().flatten();
    let Some(found) = places.find(|path| path.exists()) else {
        bail!("the plugin {FILE} is not installed: name it with --plugin FILE, or run `cargo xtask demo`");
    };
    Ok(found)
}
