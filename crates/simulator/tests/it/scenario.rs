//! Scenarios: what is read, what is refused and where, and that steps do what they say to clients.

use std::time::Duration;

use simulator::{Options, PoolHandle, Running, Scenario, Simulator};
use xapi::Value;

use crate::client::{self, SOON};

/// Everything that is wrong with a text, a line each.
fn problems(text: &str) -> Vec<String> {
    let error = Scenario::parse(text).expect_err("it was taken");
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_wrong_is_told_with_line_and_key() {
    for (text, said) in [
        ("", "line 1, column 1: step: nothing happens: write steps, each under a [[step]] of its own"),
        ("[[step]\n", "line 1, column 8: "),
        (
            "abuot = \"x\"\n[[step]]\ndo = \"end-sessions\"",
            "line 1, column 1: abuot: there is no such key here, did you mean \"about\"?",
        ),
        (
            "[[step]]\nat = \"5s\"",
            "line 1, column 1: step[0].do: this key is missing, write for example do = \"end-sessions\"",
        ),
        (
            "[[step]]\ndo = \"end-session\"",
            "line 2, column 6: step[0].do: a pool cannot do \"end-session\", did you mean \"end-sessions\"?",
        ),
        (
            "[[step]]\ndo = \"end-sessions\"\n\n[[step]]\nat = 5\ndo = \"end-sessions\"",
            "line 5, column 6: step[1].at: invalid type: integer `5`, expected a string",
        ),
        (
            "[[step]]\nat = \"soon\"\ndo = \"end-sessions\"",
            "line 2, column 6: step[0].at: \"soon\" is no time: expected number at 0; write for example \"30s\" or \"5m\"",
        ),
        (
            "[[step]]\ndo = \"latency\"\nmaxx = \"2s\"",
            "line 1, column 1: step[0].max: this key is missing, write for example max = \"2s\"\nline 3, column 1: step[0].maxx: there is no such key here, did you mean \"max\"?",
        ),
        (
            "[[step]]\ndo = \"latency\"\nmethods = \"VM.strat\"\nmax = \"2s\"",
            "line 3, column 11: step[0].methods: no method fits \"VM.strat\", did you mean \"VM.start\"?",
        ),
        (
            "[[step]]\ndo = \"end-sessions\"\nfor = \"1s\"",
            "line 3, column 7: step[0].for: end-sessions does not last",
        ),
        (
            "[[step]]\ndo = \"end-sessions\"\ntimes = 3",
            "line 3, column 9: step[0].times: this says how often in all, but not after how long again: write every, too",
        ),
        (
            "[[step]]\ndo = \"spoil\"\nhow = \"garbge\"",
            "line 3, column 7: step[0].how: \"garbge\" is none of garbage, malformed, server-error, cut, close, silence, drip, endless, did you mean \"garbage\"?",
        ),
        (
            "[[step]]\ndo = \"fail-calls\"\nerror = []",
            "line 3, column 9: step[0].error: an error has a code at least: write for example [\"SR_BACKEND_FAILURE_44\", \"\", \"There is insufficient space\", \"\"]",
        ),
        (
            "[[step]]\ndo = \"fail-calls\"\nerror = [\"X\"]\nchance = 1.5",
            "line 4, column 10: step[0].chance: a probability is between 0 and 1",
        ),
        (
            "[[step]]\ndo = \"forget-deletions\"\nclass = \"vm\"",
            "line 3, column 9: step[0].class: there is no class \"vm\", did you mean \"VM\"?",
        ),
        (
            "[[step]]\ndo = \"churn\"\nrate = 0.0",
            "line 3, column 8: step[0].rate: write how many changes a second, more than 0",
        ),
        (
            "[[step]]\ndo = \"spoil\"\nhow = \"cut\"\ncount = 0",
            "line 4, column 9: step[0].count: write how many, at least 1",
        ),
        (
            "[[step]]\ndo = \"boot-storm\"\ncount = 0",
            "line 3, column 9: step[0].count: write how many, at least 1",
        ),
        (
            "[[step]]\ndo = \"boot-storm\"",
            "line 1, column 1: step[0].count: this key is missing, write for example count = 20",
        ),
        (
            "[[step]]\ndo = \"emergency\"\nerror = \"HOST_STILL_BOOTING\"",
            "line 3, column 9: step[0].error: invalid type: string \"HOST_STILL_BOOTING\", expected a sequence",
        ),
        (
            "[[step]]\ndo = \"fail-calls\"\nerror = [\"X\"]\nnth = 2\nchance = 0.5",
            "line 5, column 10: step[0].chance: both nth and chance are given: keep one of them",
        ),
        ("step = 3", "line 1, column 8: step: write each of them under a [[step]] of its own"),
    ] {
        let told = problems(text).join("\n");
        assert!(!told.contains(".error: th"), "a key that is there is not missing: {told}");
        assert!(told.starts_with(said), "{text}\n  gave {told}\n  not  {said}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "[[step]]\ndo = \"end-session\"\n[[step]]\ndo = \"spoil\"\nhow = \"x\"\n[[step]]\ndo = \"churn\"\nrat = 2";
    let lines: Vec<String> =
        problems(text).iter().map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["line 2", "line 5", "line 6", "line 8"]);
}

#[test]
fn a_scenario_knows_how_long_it_is() {
    let length = |step: &str| Scenario::parse(&format!("[[step]]\n{step}")).unwrap().length();
    assert_eq!(length("do = \"half-open\"\nat = \"5s\"\nfor = \"7s\""), Some(Duration::from_secs(12)));
    let often = "do = \"end-sessions\"\nat = \"5s\"\nevery = \"10s\"";
    assert_eq!(length(&format!("{often}\ntimes = 3")), Some(Duration::from_secs(25)));
    assert_eq!(length(often), None);
}

/// A pool in which these steps begin.
async fn begun(steps: &[&str]) -> (Running, client::Client) {
    let (running, client) = client::fast().await;
    running.pool().begin(&parsed(steps));
    (running, client)
}

fn parsed(steps: &[&str]) -> Scenario {
    let text: String = steps.iter().map(|step| format!("[[step]]\n{step}\n")).collect();
    Scenario::parse(&text).unwrap()
}

async fn said(pool: &PoolHandle, what: &str) {
    let there = |pool: &PoolHandle| pool.happenings(0).iter().any(|happening| happening.what.contains(what));
    assert!(pool.wait_until(SOON, there).await, "no {what:?} in {:#?}", pool.happenings(0));
}

#[tokio::test]
async fn what_lasts_ends_in_its_time() {
    let (running, client) =
        begun(&["do = \"emergency\"\nerror = [\"HOST_STILL_BOOTING\"]\nfor = \"20s\""]).await;
    let pool = running.pool();
    said(&pool, "every call is answered with HOST_STILL_BOOTING, for 20s").await;
    said(&pool, "calls are answered again").await;
    client.ok("VM.get_all", &[]).await;
    let times: Vec<u128> = pool.happenings(0).iter().map(|happening| happening.at.as_millis()).collect();
    assert_eq!(times, [0, 20_000], "each at its own moment, however late we were");
}

#[tokio::test]
async fn steps_come_again_as_often_as_told() {
    let (running, mut client) =
        begun(&["do = \"end-sessions\"\nat = \"10s\"\nevery = \"10s\"\ntimes = 3"]).await;
    let pool = running.pool();
    assert!(pool.wait_until(SOON, |pool| pool.happenings(0).len() == 3).await);
    let times: Vec<u64> = pool.happenings(0).iter().map(|happening| happening.at.as_secs()).collect();
    assert_eq!(times, [10, 20, 30]);
    assert!(client.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"));
    client.log_in("root", "secret").await.unwrap();
}

#[tokio::test]
async fn storage_goes_away_and_comes_back() {
    let (running, client) =
        begun(&["do = \"detach-sr\"\nsr = \"NFS flash\"\nat = \"1s\"\nfor = \"100s\""]).await;
    let pool = running.pool();
    said(&pool, "no host reaches SR NFS flash").await;
    let vm = client.vm("backup").await;
    let start = [vm, false.into(), false.into()];
    assert!(client.refused("VM.start", &start).await.starts_with("VM_REQUIRES_SR"));
    said(&pool, "hosts reach SR NFS flash again").await;
    client.ok("VM.start", &start).await;
}

#[tokio::test]
async fn a_host_joins() {
    let (running, client) =
        begun(&["do = \"join-host\"\nname = \"xen-new\"\naddress = \"10.20.0.99\""]).await;
    let pool = running.pool();
    said(&pool, "host xen-new joins the pool").await;
    let hosts = client.ok("host.get_by_name_label", &["xen-new".into()]).await;
    let [host] = hosts.as_array().unwrap() else { panic!("{hosts:?}") };
    assert_eq!(client.ok("host.get_address", std::slice::from_ref(host)).await, "10.20.0.99".into());
    assert_eq!(client.ok("host.get_enabled", std::slice::from_ref(host)).await, true.into());
    let steps = ["do = \"join-host\"\naddress = \"10.20.0.99\"\nmemory = 0"];
    let problems = Scenario::parse(&format!("[[step]]\n{}", steps[0])).unwrap_err().to_string();
    assert!(problems.contains("name") && problems.contains("memory"), "{problems}");
}

#[tokio::test]
async fn hosts_are_lost_and_the_role_moves() {
    let options = Options { speed: 1000.0, ..client::options() };
    let (running, client) = client::open(Simulator::builtin(options).unwrap()).await;
    let steps = ["do = \"lose-host\"\nfor = \"2000s\"", "do = \"fail-over\"\nat = \"2500s\""];
    running.pool().begin(&parsed(&steps));
    let pool = running.pool();
    said(&pool, "host xen-south is lost, for 33m 20s").await;
    let dead = |pool: &PoolHandle| {
        pool.records("host_metrics").iter().any(|metrics| metrics.get("live") == Some(&Value::Bool(false)))
    };
    assert!(pool.wait_until(SOON, dead).await);
    said(&pool, "host xen-south has booted").await;
    said(&pool, "host xen-south becomes the coordinator").await;
    assert_eq!(client.refused("VM.get_all", &[]).await, "HOST_IS_SLAVE [10.20.0.12]");
}

#[tokio::test]
async fn more_deletions_than_a_pool_remembers_are_lost() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let storm =
        |kind: &str| Scenario::parse(&format!("[[step]]\ndo = \"{kind}-storm\"\ncount = 600")).unwrap();
    pool.begin(&storm("snapshot"));
    let snapshots = |pool: &PoolHandle| {
        pool.records("VM").iter().filter(|vm| vm.get("is_a_snapshot") == Some(&Value::Bool(true))).count()
    };
    let many = |pool: &PoolHandle| snapshots(pool) > 300 && pool.records("task").is_empty();
    assert!(pool.wait_until(SOON, many).await, "{} snapshots", snapshots(&pool));
    let before = client.events(&["vbd"], "").await;
    pool.begin(&storm("deletion"));
    assert!(pool.wait_until(SOON, |pool| snapshots(pool) < 100).await);
    let after = client.events(&["vbd"], &before.token).await;
    let told = after.events.iter().filter(|event| event.operation == "del").count();
    let gone = before.events.len() - pool.records("VBD").len();
    assert!(told < gone && told <= 511, "{told} of {gone} told");
}
