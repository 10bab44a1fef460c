//! `xapiary simulate`: a pool of a size, trouble by a scenario, load by a rate.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use xapi::codec::Limits;
use xapi::transport::{Endpoint, Trust};
use xapi::{Client, Settings, Value, Wire};

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios").join(name)
}

/// A simulated pool as a process; it is killed when this is dropped.
struct Simulate(Child);

impl Simulate {
    fn start(arguments: &[&str]) -> Simulate {
        let mut command = Command::new(e2e::xapiary());
        command.args(["simulate", "--http", "127.0.0.1:0", "--speed", "100"]).args(arguments);
        Simulate(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What it prints up to and with the first line that holds these words.
    fn lines_to(&mut self, words: &str) -> Vec<String> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        for line in lines {
            told.push(line.unwrap());
            if told.last().unwrap().contains(words) {
                return told;
            }
        }
        panic!("it ended without {words:?}: {told:#?}");
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn a_scenario_is_told_line_by_line_and_the_same_for_the_same_seed() {
    let file = scenario("storage-outage.toml");
    let told = |seed: &str| {
        let scenario = file.to_str().unwrap();
        let mut simulate = Simulate::start(&["--scenario", scenario, "--churn", "2", "--seed", seed]);
        let lines = simulate.lines_to("the load ends after");
        lines.into_iter().filter(|line| line.contains(" s  ")).collect::<Vec<_>>()
    };
    let once = told("1");
    for line in [
        "    0.000 s  a load of 5 changes a second begins, for 1m 40s",
        "    0.000 s  a load of 2 changes a second begins",
        "   40.000 s  calls of VDI.* fail with SR_BACKEND_FAILURE_44 [, There is insufficient space, ], for 20s",
        "   60.000 s  calls that failed do so no longer",
    ] {
        assert!(once.iter().any(|told| told == line), "{line:?} is missing in {once:#?}");
    }
    assert_eq!(told("1"), once);
}

#[test]
fn a_wrong_scenario_is_refused_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[[step]]\ndo = \"latency\"\nmethds = \"VM.*\"\nmax = \"2s\"\n").unwrap();
    let file = file.to_str().unwrap();
    let output = e2e::run(&["simulate", "--http", "127.0.0.1:0", "--scenario", file]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected =
        format!("{file}:3:1: step[0].methds: there is no such key here, did you mean \"methods\"?");
    assert_eq!(said.trim(), expected);

    for wrong in
        [&["--churn", "0"][..], &["--churn", "much"], &["--hosts", "3"], &["--hosts", "0", "--vms", "5"]]
    {
        let output = e2e::run(&[&["simulate", "--http", "127.0.0.1:0"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

/// A client of one door at plain HTTP.
fn client(address: &str) -> Client {
    let endpoint = Endpoint::new(format!("http://{address}").parse().unwrap(), Trust::None).unwrap();
    Client::new(Settings {
        endpoint,
        members: Vec::new(),
        pool_uuid: None,
        user: "root".to_owned(),
        password: Arc::new(SecretString::from("simulated")),
        originator: "e2e".to_owned(),
        user_agent: "e2e".to_owned(),
        call_timeout: Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    })
    .unwrap()
}

#[tokio::test]
async fn a_spare_host_of_one_process_joins_the_pool_of_another() {
    let address = |lines: &[String], name: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(&format!("{name}: http://")));
        found.unwrap_or_else(|| panic!("no {name} in {lines:?}")).to_owned()
    };
    let mut one = Simulate::start(&["--spare-hosts", "1"]);
    let spare = address(&one.lines_to("It runs"), "spare host");
    let mut other = Simulate::start(&["--seed", "2"]);
    let pool = address(&other.lines_to("It runs"), "http");
    let arguments = [pool.as_str().into(), "root".into(), "simulated".into()];
    client(&spare).call("pool.join", &arguments).await.unwrap();
    let found = client(&pool).call("host.get_by_name_label", &["xen-spare-1".into()]).await.unwrap();
    assert_eq!(found.as_array().map(<[Value]>::len), Some(1));
}

#[test]
fn a_pool_of_a_size_is_made() {
    let mut simulate = Simulate::start(&["--hosts", "3", "--vms", "50"]);
    let lines = simulate.lines_to("http: ");
    assert!(lines[0].starts_with("3 hosts, "), "{lines:?}");
    let objects: usize = lines[0].split(", ").last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((700..2000).contains(&objects), "{lines:?}");
}
