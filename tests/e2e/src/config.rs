//! A configuration, written to files.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::programs;

/// The configuration of one daemon.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where its journal lies.
    pub state: PathBuf,
    /// The pools.
    pub pools: Vec<PoolSection>,
    /// The grant files.
    pub grants: Vec<Grant>,
    /// Lines before everything else.
    pub head: String,
    /// Lines of `[control]` after the socket, which lies in the folder of the configuration.
    pub control: String,
}

/// One `[[pool]]`.
#[derive(Debug, Clone, Default)]
pub struct PoolSection {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Who logs in.
    pub user: String,
    /// With what; written to a file of its own.
    pub password: String,
    /// The value of `trust`; without it the key is left out.
    pub trust: Option<String>,
    /// How to talk to it, such as `json`; without it the key is left out.
    pub wire: Option<String>,
}

/// One grant file.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    /// The plugin's name.
    pub name: String,
    /// The component.
    pub component: PathBuf,
    /// Everything after `file` and `pools`.
    pub rules: String,
}

/// What the shipped plugin is granted, unless a test says otherwise.
pub const KEEPALIVE_GRANT: &str = r#"
[[allow]]
call = ["VM.start"]
on = '"keepalive" in self.tags'

[[read]]
class = ["VM"]
fields = ["*"]

[[read]]
class = ["task"]
fields = ["*"]
"#;

impl Grant {
    /// The shipped plugin with these rules.
    #[must_use]
    pub fn keepalive(rules: &str) -> Grant {
        Grant { name: "vm-keepalive".into(), component: programs::vm_keepalive(), rules: rules.into() }
    }

    /// A small plugin from `tests/guests`, under its own name.
    #[must_use]
    pub fn guest(name: &str, rules: &str) -> Grant {
        Grant { name: name.into(), component: programs::guest(name), rules: rules.into() }
    }
}

impl Config {
    /// Writes all files into `folder`, over those of an earlier time, and gives the path of the main one.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn write(&self, folder: &Path) -> PathBuf {
        let plugins = folder.join("plugins");
        if plugins.exists() {
            fs::remove_dir_all(&plugins).expect("old grants can be removed");
        }
        fs::create_dir_all(&plugins).expect("a folder for grants can be made");
        let mut text = format!(
            "{}\nstate = {}\nplugins = \"plugins\"\n\n[log]\nformat = \"json\"\n\
             level = \"info,xapiary=debug,xapi=debug,plugin=debug\"\n\n[stop]\ndrain = \"5s\"\n",
            self.head,
            quoted(&self.state.display().to_string())
        );
        let socket = quoted(&socket(folder).display().to_string());
        let _infallible = write!(text, "\n[control]\nsocket = {socket}\n{}\n", self.control);
        for pool in &self.pools {
            let password = folder.join(format!("{}.password", pool.name));
            write_secret(&password, &pool.password);
            let _infallible = write!(
                text,
                "\n[[pool]]\nname = {}\nurl = {}\nuser = {}\npassword = {{ file = {} }}\n",
                quoted(&pool.name),
                quoted(&pool.url),
                quoted(&pool.user),
                quoted(&password.display().to_string())
            );
            if let Some(trust) = &pool.trust {
                let _infallible = writeln!(text, "trust = {trust}");
            }
            if let Some(wire) = &pool.wire {
                let _infallible = writeln!(text, "wire = {}", quoted(wire));
            }
        }
        for grant in &self.grants {
            let component = quoted(&grant.component.display().to_string());
            let rules = format!("file = {component}\npools = [\"*\"]\n{}", grant.rules);
            fs::write(plugins.join(format!("{}.toml", grant.name)), rules).expect("a grant can be written");
        }
        let path = folder.join("xapiary.toml");
        fs::write(&path, text).expect("the configuration can be written");
        path
    }
}

/// Where a daemon listens whose configuration was written into `folder`.
#[must_use]
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// Writes a file that its owner alone may read.
///
/// # Panics
/// When it cannot be written.
pub fn write_secret(path: &Path, secret: &str) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.expect("a file for the password can be made");
    std::io::Write::write_all(&mut file, secret.as_bytes()).expect("the password can be written");
}

/// A text in TOML's quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
