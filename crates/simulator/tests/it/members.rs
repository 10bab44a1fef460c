//! Every host of a pool behind its own door: who answers, who points elsewhere, and what a change of roles does.

use simulator::{Doors, PoolHandle, Running, Simulator};
use xapi::Value;
use xapi::codec::{Failure, xml};

use crate::client::{self, Client, SOON};

/// A pool with plain HTTP and HTTPS at every host.
async fn open() -> Running {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let here = Some(([127, 0, 0, 1], 0).into());
    let mut running = simulator.open(Doors { http: here, https: here, ..Doors::default() }).await.unwrap();
    running.open_members().await.unwrap();
    running
}

/// A client of one door, not logged in.
fn at(address: std::net::SocketAddr) -> Client {
    Client::new(client::plain(), format!("http://{address}"))
}

#[tokio::test]
async fn a_member_points_to_the_coordinator_and_takes_over() {
    let running = open().await;
    let pool = running.pool();
    let member = running.members()[0].clone();
    let mut first = at(running.http_address().unwrap());
    let mut second = at(member.http.unwrap());
    first.log_in("root", "secret").await.unwrap();
    assert_eq!(second.log_in("root", "secret").await.unwrap_err().to_string(), "HOST_IS_SLAVE [127.0.0.1]");
    second.session = first.session.clone();
    assert_eq!(second.refused("VM.get_all", &[]).await, "HOST_IS_SLAVE [127.0.0.1]");
    let host = Value::String(member.host.clone());
    assert_eq!(first.field("host", &host, "address").await, "127.0.0.2".into());
    assert_eq!(member.https.unwrap().ip().to_string(), "127.0.0.2");

    pool.fail_over(&member.host).unwrap();
    assert!(first.send("/", String::new(), &[]).await.is_err(), "all toolstacks restart");
    first.answers().await;
    second.answers().await;
    assert_eq!(first.refused("VM.get_all", &[]).await, "HOST_IS_SLAVE [127.0.0.2]");
    assert!(second.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"), "no session survives");
    second.log_in("root", "secret").await.unwrap();
    let row = pool.records("pool")[0].clone();
    assert_eq!(row.text("master"), member.host);
    assert_eq!(pool.alerts().last().unwrap().text("name"), "POOL_MASTER_TRANSITION");
}

#[tokio::test]
async fn a_designated_member_takes_over() {
    let running = open().await;
    let pool = running.pool();
    let old = pool.records("pool")[0].text("master").to_owned();
    let new = running.members()[0].host.clone();
    let mut client = at(running.http_address().unwrap());
    client.log_in("root", "secret").await.unwrap();
    let arguments = [client.session.clone(), Value::String(new.clone())];
    // At this speed the restart may be quicker than the answer.
    _ = client.send("/", xml::encode_call("pool.designate_new_master", &arguments), &[]).await;
    assert!(pool.wait_until(SOON, |pool| pool.records("pool")[0].text("master") == new).await);
    assert_ne!(old, new);
    assert_eq!(pool.sessions(), 0);
    assert!(pool.records("task").is_empty());
}

#[tokio::test]
async fn without_doors_of_their_own_hosts_lead_nowhere() {
    let (running, client) = client::fast().await;
    running.lead_nowhere_else();
    let addresses = async || {
        let mut addresses = Vec::new();
        for host in client.ok("host.get_all", &[]).await.as_array().unwrap() {
            let address = client.ok("host.get_address", std::slice::from_ref(host)).await;
            addresses.push(address.as_str().unwrap().to_owned());
        }
        addresses.sort();
        addresses
    };
    assert_eq!(addresses().await, ["", "127.0.0.1"]);

    let running = open().await;
    let pool = running.pool();
    let before = pool.records("host").iter().map(|host| host.text("address").to_owned()).collect::<Vec<_>>();
    running.lead_nowhere_else();
    let after = pool.records("host").iter().map(|host| host.text("address").to_owned()).collect::<Vec<_>>();
    assert_eq!(before, after, "all have doors");
}

#[tokio::test]
async fn every_host_has_its_own_certificate_on_record() {
    let running = open().await;
    let member = &running.members()[0];
    let plain = |text: &str| text.replace(':', "").to_lowercase();
    let certificates = running.pool().records("Certificate");
    let of_member: Vec<_> =
        certificates.iter().filter(|certificate| certificate.text("host") == member.host).collect();
    assert_eq!(of_member.len(), 1);
    assert_eq!(plain(of_member[0].text("fingerprint_sha256")), member.fingerprint);
    assert_ne!(member.fingerprint, running.fingerprint());
}

#[tokio::test]
async fn a_stranded_host_answers_its_error_and_a_dark_one_nothing() {
    let running = open().await;
    let pool = running.pool();
    let member = &running.members()[0];
    let mut client = at(member.http.unwrap());
    let failure = Failure::new("HOST_STILL_BOOTING", Vec::<&str>::new());
    pool.strand(&member.host, Some(failure)).unwrap();
    let refused = client.log_in("root", "secret").await.unwrap_err();
    assert_eq!(refused.code, "HOST_STILL_BOOTING");
    let asked = client.raw("host.is_in_emergency_mode", &["any".into()]).await.unwrap();
    assert_eq!(asked, Value::Bool(true));
    pool.strand(&member.host, None).unwrap();
    assert_eq!(client.log_in("root", "secret").await.unwrap_err().code, "HOST_IS_SLAVE");
    pool.crash_host(&member.host).unwrap();
    assert!(client.send("/", String::new(), &[]).await.is_err(), "nobody answers");
}

#[tokio::test]
async fn a_member_asked_by_itself_takes_over_with_an_old_copy() {
    let running = open().await;
    let pool = running.pool();
    let member = &running.members()[0];
    let mut first = at(running.http_address().unwrap());
    first.log_in("root", "secret").await.unwrap();
    let mut alone = at(member.http.unwrap());
    let wrong = ["root".into(), "wrong".into()];
    let refused = alone.raw("session.slave_local_login_with_password", &wrong).await.unwrap_err();
    assert_eq!(refused.code, "SESSION_AUTHENTICATION_FAILED");
    let right = ["root".into(), "secret".into()];
    // In emergency mode, too, a host opens sessions of its own, which are good for nothing but such calls.
    pool.strand(&member.host, Some(Failure::new("HOST_UNKNOWN_TO_MASTER", [member.host.as_str()]))).unwrap();
    alone.session = alone.raw("session.slave_local_login_with_password", &right).await.unwrap();
    assert!(alone.refused("VM.get_all", &[]).await.starts_with("HOST_UNKNOWN_TO_MASTER"));
    assert_eq!(alone.ok("host.is_in_emergency_mode", &[]).await, true.into());
    assert_eq!(first.ok("host.is_in_emergency_mode", &[]).await, false.into());
    assert!(first.refused("VM.get_all_records_where", &["broken".into()]).await.starts_with("INVALID_VALUE"));
    let own = alone.session.clone();
    assert!(first.raw("VM.get_all", &[own]).await.is_err(), "the coordinator does not know it");

    // Whatever came after the last copy is lost to the counter, and with it to every token of then.
    for name in 0..50 {
        pool.set("VM", &pool.find_vm("web-1").unwrap(), "name_description", format!("{name}")).unwrap();
    }
    let token = first.events(&["vm"], "").await.token;
    let before = pool.generation();
    alone.ok("pool.emergency_transition_to_master", &[]).await;
    let led = |pool: &PoolHandle| pool.records("pool")[0].text("master") == member.host;
    assert!(pool.wait_until(SOON, led).await);
    alone.answers().await;
    assert!(pool.generation() < before, "{before} -> {}", pool.generation());
    assert!(
        alone.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"),
        "the local one is gone, too"
    );
    alone.log_in("root", "secret").await.unwrap();
    assert_eq!(alone.ok("host.is_in_emergency_mode", &[]).await, false.into());
    pool.set("VM", &pool.find_vm("web-1").unwrap(), "name_description", "after").unwrap();
    let silenced = alone.events_within(&["vm"], &token, 0.05).await;
    assert_eq!(silenced.lines(), [""; 0], "the old token swallows the change");
    assert!(!alone.events(&["vm"], "").await.events.is_empty());
    let ended = at(member.http.unwrap());
    ended.raw("session.local_logout", &["nobody".into()]).await.unwrap();
}

#[tokio::test]
async fn a_crash_that_lost_writes_takes_the_counter_back() {
    let (running, _) = client::fast().await;
    let pool = running.pool();
    let before = pool.generation();
    pool.restart_toolstack_losing(100);
    let after = pool.generation();
    assert!(after < before && after >= before - 100, "{before} -> {after}");
    assert_eq!(pool.sessions(), 0);
}
