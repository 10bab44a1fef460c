//! A restart of the toolstack as clients meet it: cut off, refused, taken in and dropped, and then a pool that forgot.

use std::path::PathBuf;
use std::time::Duration;

use simulator::{Doors, Options, PoolHandle, Running, Simulator};
use xapi::Value;
use xapi::codec::xml;

use crate::client::{self, Client, SOON};

/// What a client that comes anew finds at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Answer,
    /// No connection at all.
    Refused,
    /// A connection, through TLS where there is TLS, and its end instead of an answer.
    HungUp,
}

/// A pool with all three doors, and what it takes to knock at each.
struct World {
    running: Running,
    trust: reqwest::Certificate,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    async fn open() -> World {
        let simulator = Simulator::builtin(Options { speed: 1.0, ..client::options() }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("xapi");
        let here = Some(([127, 0, 0, 1], 0).into());
        let doors = Doors { http: here, https: here, unix: Some(socket.clone()) };
        client::provider();
        let trust = reqwest::Certificate::from_pem(simulator.certificate_pem().as_bytes()).unwrap();
        World { running: simulator.open(doors).await.unwrap(), trust, socket, _folder: folder }
    }

    fn http(&self) -> Client {
        Client::new(client::plain(), format!("http://{}", self.running.http_address().unwrap()))
    }

    /// Knocks at HTTP, HTTPS and the Unix socket, each with a connection of its own.
    async fn knock(&self) -> [Found; 3] {
        let https = reqwest::Client::builder().tls_certs_only([self.trust.clone()]).build().unwrap();
        let local = reqwest::Client::builder().unix_socket(self.socket.clone()).build().unwrap();
        let https = Client::new(https, format!("https://{}", self.running.https_address().unwrap()));
        let local = Client::new(local, "http://localhost".into());
        [found(&self.http()).await, found(&https).await, found(&local).await]
    }

    async fn until(&self, wanted: [Found; 3]) {
        let mut seen = Vec::new();
        let come = async {
            loop {
                let found = self.knock().await;
                if seen.last() != Some(&found) {
                    seen.push(found);
                }
                if found == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(SOON, come).await.is_ok(), "{wanted:?} was not among {seen:?}");
    }
}

async fn found(client: &Client) -> Found {
    match client.send("/", xml::encode_call("system.listMethods", &[]), &[]).await {
        Ok(_) => Found::Answer,
        Err(error) if error.is_connect() => Found::Refused,
        Err(_) => Found::HungUp,
    }
}

#[tokio::test]
async fn doors_refuse_then_tls_hangs_up_then_all_answer() {
    use Found::{Answer, HungUp, Refused};
    let world = World::open().await;
    assert_eq!(world.knock().await, [Answer; 3]);
    let pool = world.running.pool();
    pool.restart_toolstack();
    world.until([Refused; 3]).await;
    world.until([Refused, HungUp, Refused]).await;
    world.until([Answer; 3]).await;

    // When xapi alone ends, the front lives on.
    pool.restart_toolstack_losing(10);
    world.until([Refused, HungUp, Refused]).await;
    world.until([Answer; 3]).await;
}

#[tokio::test]
async fn what_waits_during_a_restart_is_cut_and_never_answered() {
    let world = World::open().await;
    let mut client = world.http();
    client.log_in("root", "secret").await.unwrap();
    let start = [client.session.clone(), client.vm("lab").await, false.into(), false.into()];
    let classes = Value::Array(vec!["pool".into()]);
    let pool = world.running.pool();
    let token = format!("{:020},{:020}", pool.generation(), 0);
    let from = [client.session.clone(), classes.clone(), token.into(), 60.0.into()];
    let next = [client.session.clone()];
    client.ok("event.register", &[classes]).await;
    let begun = |pool: &PoolHandle| {
        let calls = pool.calls();
        ["VM.start", "event.from", "event.next"].iter().all(|method| calls.of(method) == 1)
    };
    let restart = async {
        // Calls are counted without stirring the pool.
        while !begun(&pool) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        pool.restart_toolstack();
    };
    let (start, from, next, ()) = tokio::join!(
        client.send("/", xml::encode_call("VM.start", &start), &[]),
        client.send("/", xml::encode_call("event.from", &from), &[]),
        client.send("/", xml::encode_call("event.next", &next), &[]),
        restart
    );
    for cut in [start, from, next] {
        assert!(cut.is_err(), "{cut:?}");
    }
    assert_eq!(pool.record("VM", &pool.find_vm("lab").unwrap()).unwrap().text("power_state"), "Halted");
    assert!(pool.records("task").is_empty());
}

#[tokio::test]
async fn an_agent_is_restarted_after_the_answer_and_judges_its_objects_late() {
    let (running, mut client) = client::fast().await;
    let pool = running.pool();
    let coordinator = client.ok("pool.get_all_records", &[]).await;
    let coordinator = coordinator.as_struct().unwrap().iter().next().unwrap().1.as_struct().unwrap();
    let coordinator = coordinator.get("master").unwrap().clone();
    let allowed = |pool: &PoolHandle| {
        let vm = pool.record("VM", &pool.find_vm("web-1").unwrap()).unwrap();
        vm.get("allowed_operations").unwrap().as_array().unwrap().to_vec()
    };
    let before = allowed(&pool);
    assert!(before.contains(&"clean_shutdown".into()));
    let old = client.events(&["vm"], "").await;
    client.ok("host.restart_agent", &[coordinator]).await;
    assert!(pool.wait_until(SOON, |pool| pool.sessions() == 0).await);
    let emptied = |pool: &PoolHandle| allowed(pool).is_empty();
    assert!(pool.wait_until(SOON, emptied).await, "fields that are not stored are gone");
    client.answers().await;
    client.log_in("root", "secret").await.unwrap();
    // The old token brings everything as new. Then what may be done comes as a wave of changes.
    let mut batch = client.events(&["vm"], &old.token).await;
    let mut told = Vec::new();
    while batch.events.iter().all(|told| told.get("allowed_operations") == Some(&Value::Array(Vec::new()))) {
        told.extend(batch.events.into_iter().map(|told| told.operation));
        batch = client.events(&["vm"], &batch.token).await;
    }
    told.extend(batch.events.into_iter().map(|told| told.operation));
    assert_eq!(told.iter().filter(|operation| *operation == "add").count(), old.events.len());
    assert!(pool.wait_until(SOON, |pool| allowed(pool) == before).await);
}

#[tokio::test]
async fn a_member_s_restart_leaves_sessions_alone() {
    let simulator = Simulator::builtin(Options { speed: 10.0, ..client::options() }).unwrap();
    let here = Some(([127, 0, 0, 1], 0).into());
    let mut running = simulator.open(Doors { http: here, ..Doors::default() }).await.unwrap();
    let member = running.open_members().await.unwrap()[0].clone();
    let mut client = Client::new(client::plain(), format!("http://{}", running.http_address().unwrap()));
    client.log_in("root", "secret").await.unwrap();
    client.ok("host.restart_agent", &[Value::String(member.host)]).await;
    let at = |_: ()| Client::new(client::plain(), format!("http://{}", member.http.unwrap()));
    for wanted in [Found::Refused, Found::Answer] {
        let come = async {
            while found(&at(())).await != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, come).await.unwrap();
    }
    assert!(at(()).log_in("root", "secret").await.unwrap_err().to_string().starts_with("HOST_IS_SLAVE"));
    client.ok("VM.get_all", &[]).await;
}
