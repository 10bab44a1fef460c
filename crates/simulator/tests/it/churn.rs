//! Load: realistic changes at a rate, by a seed.

use std::collections::BTreeSet;

use simulator::{Scenario, Simulator};

use crate::client::{self, SOON};

#[tokio::test]
async fn a_load_changes_what_pools_change_at_its_rate() {
    let (running, client) = client::open(Simulator::builtin(client::options()).unwrap()).await;
    let pool = running.pool();
    let before = client.events(&["*"], "").await;
    pool.begin(&Scenario::load(400.0));
    let began = std::time::Instant::now();
    let enough = |pool: &simulator::PoolHandle| pool.happenings(0).len() > 800;
    assert!(pool.wait_until(SOON, enough).await);
    let lasted = began.elapsed().as_secs_f64();
    assert!((1.8..6.0).contains(&lasted), "800 changes at 400 a second took {lasted} s");

    let after = client.events(&["*"], &before.token).await;
    let classes: BTreeSet<&str> = after.events.iter().map(|event| event.class.as_str()).collect();
    for class in ["vm", "vm_metrics", "host_metrics", "vbd", "vdi", "message"] {
        assert!(classes.contains(class), "{class} is missing in {classes:?}");
    }
    let said: Vec<String> = pool.happenings(0).into_iter().map(|happening| happening.what).collect();
    for what in
        [" starts", " shuts down", " moves to ", " is snapshotted", "is destroyed", "gets the note", "alarm"]
    {
        assert!(said.iter().any(|said| said.contains(what)), "nothing {what:?}");
    }
    // What it began is done by the pool's own rules, and none of it is refused.
    let failed = pool.records("task").into_iter().find(|task| task.text("status") == "failure");
    assert_eq!(failed.map(|task| task.get("error_info").cloned()), None);
}
