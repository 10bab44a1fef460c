//! A member names the coordinator and is followed there; when the coordinator goes, the next one is found, and what
//! changed meanwhile is told.

use std::net::SocketAddr;

use e2e::{LIMIT, World, until};
use xapi::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_is_followed_where_a_member_leads_and_after_it_is_gone() {
    // Two doors of one pool: the same port on two addresses of this machine, each with its own certificate.
    let member = World::builtin().await;
    let mut coordinator = World::builtin().await;
    coordinator.close().await;
    coordinator.open(Some(SocketAddr::from(([127, 0, 0, 2], member.https().port())))).await;
    member.pool().answer_as_slave_of(Some("127.0.0.2"));

    let mut config = member.config();
    config.pools[0].trust =
        Some(format!("{{ pin = [\"{}\", \"{}\"] }}", member.fingerprint(), coordinator.fingerprint()));
    let daemon = member.start(&config);
    daemon.following().await;
    assert_eq!(coordinator.pool().calls().logins.len(), 1, "one login at the coordinator");
    assert_eq!(coordinator.pool().sessions(), 1);

    let vm = coordinator.pool().find_vm("app-1").expect("the built-in pool has app-1");
    let tagged = Value::Array(vec!["followed".into()]);
    coordinator.pool().set("VM", &vm, "tags", tagged).expect("a VM can be tagged");
    let stored = member.stored();
    until(LIMIT, "the change at the coordinator is in the journal", || {
        let told = stored
            .changes_of("VM", &vm)
            .iter()
            .any(|change| change.changed.iter().any(|name| name == "tags"));
        if told { Ok(()) } else { Err(format!("{} events", stored.last())) }
    })
    .await;

    // The member takes over. It never had that tag: its database is older, as after a real failover.
    coordinator.close().await;
    member.pool().answer_as_slave_of(None);
    daemon.wait_for("the loss is told", |line| line.message() == "the pool cannot be followed for now").await;
    until(LIMIT, "the difference is told after the failover", || {
        let told = stored
            .changes_of("VM", &vm)
            .iter()
            .any(|change| change.gap && change.changed.iter().any(|name| name == "tags"));
        if told { Ok(()) } else { Err(format!("{} events", stored.last())) }
    })
    .await;
    member.alike().await;
    assert!(daemon.terminate().await.status.success());
    assert_eq!(member.pool().sessions(), 0, "the session is closed at the stop");
}
