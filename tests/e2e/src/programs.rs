//! Where the built parts lie, and short runs of the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The folder that cargo builds into, found from where this test lies.
///
/// # Panics
/// When the test was not started from such a folder.
#[must_use]
pub fn target() -> PathBuf {
    profile().parent().expect("a profile's folder has a parent").to_owned()
}

/// The daemon's program.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn xapiary() -> PathBuf {
    built(profile().join("xapiary"), "cargo build -p xapiary")
}

/// The component of the shipped plugin.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn vm_keepalive() -> PathBuf {
    let component = target().join("wasm32-wasip2/plugin/vm_keepalive.wasm");
    built(component, "cargo build --profile plugin --target wasm32-wasip2 -p vm-keepalive")
}

/// The component of one of the small plugins in `tests/guests`.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let component = target().join(format!("wasm32-wasip2/plugin/examples/{name}.wasm"));
    built(component, "cargo build --profile plugin --target wasm32-wasip2 -p guests --examples")
}

/// Runs the program to its end and gives its exit code with what it wrote.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(arguments: &[&str]) -> Output {
    let mut command = command(&xapiary());
    command.args(arguments).stdin(Stdio::null()).output().expect("the program can be started")
}

/// A command without what a service manager or a terminal would put into the environment.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
        "STATE_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
    ] {
        command.env_remove(variable);
    }
    command
}

/// `target/debug` of `target/debug/deps/TEST` or of `target/debug/PROGRAM`.
fn profile() -> PathBuf {
    let program = std::env::current_exe().expect("a process knows its program");
    let folder = program.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    profile.expect("a test lies in target/PROFILE/deps").to_owned()
}

fn built(path: PathBuf, how: &str) -> PathBuf {
    assert!(path.is_file(), "{} is not there: run `{how}` first", path.display());
    path
}
