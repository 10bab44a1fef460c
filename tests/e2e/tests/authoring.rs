//! From an empty folder to a tested plugin, by the commands that the tutorial shows.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder in which a person works. What cargo builds there is kept from run to run, since it takes minutes.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &Path, folder: &str, arguments: &[&str]) -> Output {
        let mut command = e2e::command(program);
        command.current_dir(self.path(folder)).args(arguments);
        self.ask(command)
    }

    fn ask(&self, mut command: Command) -> Output {
        // Nothing is fetched: what the plugin stands on is what this repository was built with.
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", e2e::target().join("authoring"));
        command.output().unwrap()
    }

    fn xapiary(&self, folder: &str, arguments: &[&str]) -> Output {
        self.run(&e2e::xapiary(), folder, arguments)
    }

    /// Begins a project, with the versions of this repository.
    fn begin(&self, name: &str) {
        let sdk = e2e::repository().join("plugin-sdk/rust");
        let begun = self.xapiary("", &["plugin", "new", name, "--sdk", sdk.to_str().unwrap()]);
        assert!(begun.status.success(), "{}", told(&begun));
        std::fs::copy(e2e::repository().join("Cargo.lock"), self.path(name).join("Cargo.lock")).unwrap();
    }
}

/// All that a command said.
fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_new_plugin_builds_tests_and_runs_at_once() {
    let desk = Desk::new();
    desk.begin("stop-tag");

    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let native = desk.run(&cargo, "stop-tag", &["test"]);
    assert!(native.status.success() && told(&native).contains("3 passed"), "{}", told(&native));

    let tested = desk.xapiary("stop-tag", &["plugin", "test"]);
    let text = told(&tested);
    assert!(tested.status.success(), "{text}");
    for wanted in
        ["calls VM.add_tags on web-1", "calls VM.remove_tags on web-1", "passed", "VM.add_tags     1 time"]
    {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }

    // What the grant does not allow is told with the line that would, in the file that is to be changed.
    let grant = desk.path("stop-tag/grant.toml");
    let smaller = std::fs::read_to_string(&grant).unwrap().replace("\"VM.add_tags\", ", "");
    std::fs::write(&grant, smaller).unwrap();
    let refused = desk.xapiary("stop-tag", &["plugin", "test"]);
    let text = told(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    for wanted in ["wrong calls VM.add_tags on web-1", "the grant refused VM.add_tags", "add to ./grant.toml"]
    {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }

    // A subscription without a handler does not build, and the compiler says what to write.
    let manifest = desk.path("stop-tag/plugin.toml");
    let more = std::fs::read_to_string(&manifest).unwrap()
        + "\n[[subscribe]]\nname = \"nightly\"\ncron = \"0 3 * * *\"\n";
    std::fs::write(&manifest, more).unwrap();
    let broken = desk.xapiary("stop-tag", &["plugin", "build"]);
    assert_eq!(broken.status.code(), Some(1), "{}", told(&broken));
    assert!(told(&broken).contains("#[on(\"nightly\")] fn nightly(&self, tick: Tick)"), "{}", told(&broken));
}

#[test]
fn what_cannot_be_begun_built_or_tested_is_told() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("empty")).unwrap();
    std::fs::write(desk.path("no.wasm"), "no component").unwrap();
    for (arguments, wanted) in [
        (&["plugin", "new", "Stop Tag"][..], "is no name for a plugin: it begins with a lower-case letter"),
        (&["plugin", "new", "empty"], "empty is there already"),
        (&["plugin", "new", "stop-tag", "--sdk", "empty"], "empty is not the SDK"),
        (&["plugin", "build", "empty"], "empty is no project of a plugin"),
        (&["plugin", "build", "nowhere"], "nowhere is no folder"),
        (&["plugin", "test", "no.wasm"], "no WebAssembly file"),
        (&["plugin", "test", "empty"], "empty is no project of a plugin"),
    ] {
        let output = desk.xapiary("", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(wanted), "{arguments:?}: {wanted} is not in {}", told(&output));
    }
}

#[test]
fn the_shipped_plugin_passes_its_scenarios() {
    let component = e2e::vm_keepalive();
    let scenarios = e2e::repository().join("plugins/vm-keepalive/scenarios");
    let grant = e2e::repository().join("config/plugins/vm-keepalive.toml");
    let arguments = ["plugin", "test", component.to_str().unwrap(), "--grant", grant.to_str().unwrap()];
    let scenario = ["--scenario", scenarios.to_str().unwrap()];
    let tested = Desk::new().xapiary("", &[&arguments[..], &scenario].concat());
    assert!(tested.status.success(), "{}", told(&tested));
}
