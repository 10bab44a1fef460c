//! From an empty folder to a tested plugin, by the commands that the tutorial shows.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "../../skipped.rs"]
mod skipped;
use skipped::skipped;

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

/// Begins a project in an interpreted language and fetches its tools; none where they cannot be had, which is told.
fn begun_in(language: &str, tools: &[&str]) -> Option<Desk> {
    let desk = Desk::new();
    let begun = desk.xapiary("", &["plugin", "new", "stop-tag", "--language", language]);
    assert!(begun.status.success(), "{}", told(&begun));
    let missing = desk.xapiary("stop-tag", &["plugin", "build"]);
    assert_eq!(missing.status.code(), Some(2), "{}", told(&missing));
    assert!(told(&missing).contains(&format!("run in .\n\n  {}", tools.join(" && "))), "{}", told(&missing));

    for tool in tools {
        let mut shell = e2e::command(Path::new("sh"));
        shell.current_dir(desk.path("stop-tag")).args(["-c", tool]);
        let output = desk.ask(shell);
        if !output.status.success() {
            skipped(&format!("{tool}: {}", told(&output).lines().last().unwrap_or("no word why")));
            return None;
        }
    }
    Some(desk)
}

/// The scenario that all templates have, and what an author meets who breaks something.
fn passes_and_teaches(desk: &Desk, source: &str, reads: [&str; 2], told_as: &str) {
    let tested = desk.xapiary("stop-tag", &["plugin", "test"]);
    let text = told(&tested);
    assert!(tested.status.success(), "{text}");
    for wanted in ["calls VM.add_tags on web-1", "calls VM.remove_tags on web-1", "passed"] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }

    // A mistake is told with its place in the author's own file.
    let path = desk.path("stop-tag").join(source);
    let broken = std::fs::read_to_string(&path).unwrap().replacen(reads[0], reads[1], 1);
    std::fs::write(&path, broken).unwrap();
    let tested = desk.xapiary("stop-tag", &["plugin", "test"]);
    assert_eq!(tested.status.code(), Some(1), "{}", told(&tested));
    assert!(told(&tested).contains(told_as), "{told_as} is not in {}", told(&tested));
}

#[test]
fn a_plugin_in_python_builds_tests_and_runs_at_once() {
    let tools = ["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"];
    let Some(desk) = begun_in("python", &tools) else { return };
    let built = desk.xapiary("stop-tag", &["plugin", "build"]);
    assert!(built.status.success(), "{}", told(&built));
    let mut native = e2e::command(Path::new("python3"));
    native.args(["-m", "unittest"]).env("PYTHONPATH", "build/sdk").current_dir(desk.path("stop-tag"));
    let native = desk.ask(native);
    assert!(native.status.success() && told(&native).contains("Ran 1 test"), "{}", told(&native));
    passes_and_teaches(
        &desk,
        "plugin.py",
        ["settings.get(\"tag\")", "1 / 0"],
        "ZeroDivisionError: division by zero (at ",
    );
}

#[test]
fn a_plugin_in_javascript_builds_tests_and_runs_at_once() {
    let Some(desk) = begun_in("javascript", &["npm install"]) else { return };
    let built = desk.xapiary("stop-tag", &["plugin", "build"]);
    assert!(built.status.success(), "{}", told(&built));
    let native = desk.run(Path::new("npm"), "stop-tag", &["test"]);
    assert!(native.status.success() && told(&native).contains("pass 1"), "{}", told(&native));
    passes_and_teaches(
        &desk,
        "plugin.js",
        ["settings.get(\"tag\")", "nothing.here"],
        "ReferenceError: nothing is not defined (at ",
    );
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
        (&["plugin", "new", "x", "--language", "python", "--sdk", "empty"], "--sdk is for Rust"),
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
