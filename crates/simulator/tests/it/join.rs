//! A host goes from one pool to another, over the doors of both.

use std::sync::{Arc, Mutex};

use simulator::{Doors, PoolHandle, Running, Simulator, role_named};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use xapi::Value;

use crate::client::{self, Client, SOON, named, record};

/// The made-up pool and a host that may join it, both at plain HTTP.
struct Pair {
    pool: Running,
    there: Client,
    spare: Running,
    here: Client,
}

impl Pair {
    async fn open() -> Pair {
        let (pool, there) = client::fast().await;
        let (spare, here) = client::open(Simulator::spare_host(&pool.pool(), 1).unwrap()).await;
        Pair { pool, there, spare, here }
    }

    /// The coordinator's address, as a host without HTTPS is told it.
    fn address(&self) -> String {
        self.pool.http_address().unwrap().to_string()
    }

    /// Sessions of the pool beside that of our own client.
    fn others(&self) -> usize {
        self.pool.pool().sessions().saturating_sub(1)
    }

    async fn join(&self) -> Result<Value, xapi::codec::Failure> {
        self.here.call("pool.join", &[self.address().into(), "root".into(), "secret".into()]).await
    }

    /// Waits until the pool has the host, alive, and gives it.
    async fn joined(&self) -> Value {
        self.join().await.unwrap();
        joined(&self.pool.pool(), "xen-spare-1").await
    }
}

async fn joined(pool: &PoolHandle, name: &str) -> Value {
    let host = |pool: &PoolHandle| {
        let hosts = pool.records("host").into_iter();
        hosts
            .into_iter()
            .find(|host| host.text("name_label") == name && host.get("enabled") == Some(&true.into()))
    };
    assert!(pool.wait_until(SOON, |pool| host(pool).is_some()).await, "{name} does not come up");
    host(pool).unwrap().reference.as_str().into()
}

/// Waits until a login at a door is answered like this.
async fn logs_in(client: &mut Client, answer: Result<(), &str>) {
    let come = async {
        loop {
            client.answers().await;
            let said = client.log_in("root", "secret").await.map_err(|failure| failure.to_string());
            if said == answer.map_err(str::to_owned) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, come).await.unwrap_or_else(|_| panic!("no login is answered with {answer:?}"));
}

/// The only object of a class, by a field.
fn only(running: &Running, class: &str, field: &str, value: &Value) -> xapi::model::Record {
    let mut found = running.pool().records(class);
    found.retain(|record| record.get(field) == Some(value));
    assert_eq!(found.len(), 1, "{class} with {field} {value:?}");
    found.remove(0)
}

#[tokio::test]
async fn a_host_joins_with_all_it_has_and_is_ejected() {
    let mut pair = Pair::open().await;
    let template = named(&pair.spare, "VM", "Debian 13");
    let vm = pair.here.ok("VM.clone", &[template, "brought".into()]).await;
    pair.here.ok("VM.provision", std::slice::from_ref(&vm)).await;
    pair.here.ok("VM.snapshot", &[vm, "brought before".into()]).await;
    let uuid = pair.spare.pool().records("host")[0].text("uuid").to_owned();
    let templates = |running: &Running| {
        let vms = running.pool().records("VM").into_iter();
        vms.filter(|vm| vm.get("is_default_template") == Some(&true.into())).count()
    };
    let before = (templates(&pair.pool), pair.pool.pool().records("network").len());
    let classes = ["host", "host_metrics", "host_cpu", "pif", "network", "sr", "pbd", "vdi", "vm", "vbd"];
    let token = pair.there.events(&classes, "").await.token;

    let host = pair.joined().await;
    let told = pair.there.events(&classes, &token).await;
    for line in ["add host xen-spare-1", "add sr Local storage", "add vm brought", "add vm brought before"] {
        assert!(told.lines().iter().any(|told| told == line), "{line} is missing in {:#?}", told.lines());
    }
    assert_eq!(pair.others(), 0, "the session of the join is closed");

    // What it brought is there, and leads to what is there.
    let pool = pair.pool.pool();
    let record_of = |class: &str, reference: &str| {
        pool.record(class, reference).unwrap_or_else(|| panic!("no {class} {reference}"))
    };
    let now = record_of("host", host.as_str().unwrap());
    assert_eq!(now.text("uuid"), uuid);
    let coordinator = pool.records("pool")[0].text("master").to_owned();
    assert_eq!(now.get("software_version"), record_of("host", &coordinator).get("software_version"));
    assert_eq!(record_of("host_metrics", now.text("metrics")).get("live"), Some(&true.into()));
    assert_eq!(now.get("host_CPUs").unwrap().as_array().unwrap().len(), 16);
    let domain = record_of("VM", now.text("control_domain"));
    assert_eq!((domain.text("power_state"), domain.text("resident_on")), ("Running", host.as_str().unwrap()));
    let brought = only(&pair.pool, "VM", "name_label", &"brought".into());
    assert_eq!(brought.get("is_a_template"), Some(&false.into()));
    let snapshot = only(&pair.pool, "VM", "name_label", &"brought before".into());
    assert_eq!(snapshot.text("snapshot_of"), brought.reference);
    let vbd = record_of("VBD", brought.get("VBDs").unwrap().as_array().unwrap()[0].as_str().unwrap());
    let sr = record_of("SR", record_of("VDI", vbd.text("VDI")).text("SR"));
    let pbds = sr.get("PBDs").unwrap().as_array().unwrap().to_vec();
    let pbd = record_of("PBD", pbds[0].as_str().unwrap());
    assert_eq!(
        (pbds.len(), pbd.text("host"), pbd.get("currently_attached")),
        (1, host.as_str().unwrap(), Some(&true.into()))
    );
    assert_eq!((templates(&pair.pool), pool.records("network").len()), before, "nothing is made twice");
    let management = |host: &str| {
        let pifs = pool.records("PIF").into_iter();
        let mut pifs =
            pifs.filter(|pif| pif.text("host") == host && pif.get("management") == Some(&true.into()));
        pifs.next().unwrap()
    };
    assert_eq!(management(host.as_str().unwrap()).text("network"), management(&coordinator).text("network"));
    assert_eq!(
        pool.records("PBD").iter().filter(|pbd| pbd.text("host") == host.as_str().unwrap()).count(),
        3
    );

    // The host points to its coordinator, whoever asks for whatever.
    let points = format!("HOST_IS_SLAVE [{}]", pair.address());
    logs_in(&mut pair.here, Err(&points)).await;
    assert_eq!(pair.here.refused("VM.get_all", &[]).await, points, "its own sessions are gone");
    assert_eq!(pair.here.refused("pool.join", &[]).await, points);

    // It works, and leaves.
    let vm = Value::from(brought.reference.as_str());
    pair.there.ok("VM.start_on", &[vm.clone(), host.clone(), false.into(), false.into()]).await;
    let in_use = pair.there.refused("pool.eject", std::slice::from_ref(&host)).await;
    assert_eq!(in_use, format!("HOST_HAS_RESIDENT_VMS [{}]", host.as_str().unwrap()));
    pair.there.ok("VM.hard_shutdown", &[vm]).await;
    pair.there.ok("pool.eject", std::slice::from_ref(&host)).await;
    assert!(
        pool.record("host", host.as_str().unwrap()).is_none() && pool.record("SR", &sr.reference).is_none()
    );
    logs_in(&mut pair.here, Ok(())).await;
    let alone = pair.spare.pool();
    let host = alone.records("host");
    assert_eq!((host.len(), host[0].text("name_label")), (1, "xen-spare-1"));
    assert_ne!(host[0].text("uuid"), uuid, "it was installed anew");
    assert_eq!(
        host[0].text("control_domain"),
        only(&pair.spare, "VM", "is_control_domain", &true.into()).reference
    );
    assert!(alone.records("VM").iter().all(|vm| !vm.text("name_label").starts_with("brought")));
    assert!(alone.records("VDI").is_empty() && alone.records("VBD").is_empty());
    assert_eq!(alone.records("pool")[0].text("master"), host[0].reference);
    assert_eq!(
        alone.records("pool")[0].text("default_SR"),
        named(&pair.spare, "SR", "Local storage").as_str().unwrap()
    );
    let all = pair.here.events(&["*"], "").await;
    assert!(all.events.iter().all(|told| told.operation == "add"), "a new pool begins anew");
    pair.joined().await;
}

/// What is done to a pair so that it does not fit, and what `pool.join` says then.
type Refused = (&'static str, fn(&Pair));

/// Changes a field of the only row of a class.
fn set(running: &Running, class: &str, field: &str, value: impl Into<Value>) {
    let pool = running.pool();
    let row = pool.records(class)[0].reference.clone();
    pool.set(class, &row, field, value).unwrap();
}

/// Changes one key of a map of the only row of a class.
fn set_key(running: &Running, (class, field): (&str, &str), key: &str, value: &str) {
    let row = running.pool().records(class).remove(0);
    let mut map = row.get(field).unwrap().as_struct().unwrap().clone();
    map.insert(key, value);
    set(running, class, field, Value::Struct(map));
}

/// Changes a field of the management card of the host that wants to join.
fn set_card(pair: &Pair, field: &str, value: impl Into<Value>) {
    let pif = only(&pair.spare, "PIF", "management", &true.into());
    pair.spare.pool().set("PIF", &pif.reference, field, value).unwrap();
}

fn vm(pair: &Pair) -> xapi::model::Record {
    only(&pair.spare, "VM", "name_label", &"Debian 13".into())
}

const MISFITS: &[Refused] = &[
    ("HA_IS_ENABLED", |pair| set(&pair.pool, "pool", "ha_enabled", true)),
    ("HA_IS_ENABLED", |pair| set(&pair.spare, "pool", "ha_enabled", true)),
    ("HOST_STILL_BOOTING", |pair| set_card(pair, "management", false)),
    ("OPERATION_NOT_ALLOWED [Host cannot become slave of itself]", |pair| {
        let pool = pair.pool.pool();
        let coordinator = pool.record("host", pool.records("pool")[0].text("master")).unwrap();
        set(&pair.spare, "host", "uuid", coordinator.text("uuid"));
    }),
    ("OPERATION_NOT_ALLOWED [the pool has a host of this uuid already]", |pair| {
        let pool = pair.pool.pool();
        let row = pool.records("pool").remove(0);
        let member = pool.records("host").into_iter().find(|host| host.reference != row.text("master"));
        set(&pair.spare, "host", "uuid", member.unwrap().text("uuid"));
    }),
    ("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS", |pair| {
        _ = pair.spare.pool().join_host("another", "10.20.0.99", 64 << 30);
    }),
    ("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS", |pair| {
        pair.spare.pool().set("VM", &vm(pair).reference, "power_state", "Running").map(drop).unwrap();
    }),
    ("JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS", |pair| {
        let operations = record([("OpaqueRef:task", "clone".into())]);
        pair.spare.pool().set("VM", &vm(pair).reference, "current_operations", operations).map(drop).unwrap();
    }),
    ("HOSTS_NOT_COMPATIBLE", |pair| {
        set_key(&pair.spare, ("host", "software_version"), "platform_version", "3.2.1");
    }),
    ("HOSTS_NOT_HOMOGENEOUS [Software version differs]", |pair| {
        set_key(&pair.spare, ("host", "software_version"), "git_id", "another");
    }),
    ("HOSTS_NOT_HOMOGENEOUS [CPUs differ]", |pair| {
        set_key(&pair.spare, ("host", "cpu_info"), "vendor", "AuthenticAMD");
    }),
    ("JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS", |pair| set(&pair.spare, "SR", "shared", true)),
    ("POOL_JOINING_HOST_HAS_BONDS", |pair| {
        pair.spare.pool().create("Bond", xapi::Struct::new()).map(drop).unwrap();
    }),
    ("POOL_JOINING_HOST_HAS_TUNNELS", |pair| {
        pair.spare.pool().create("tunnel", xapi::Struct::new()).map(drop).unwrap();
    }),
    ("POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS", |pair| {
        pair.spare.pool().create("VLAN", xapi::Struct::new()).map(drop).unwrap();
    }),
    ("POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH [7, -1]", |pair| set_card(pair, "VLAN", 7)),
    ("POOL_JOINING_EXTERNAL_AUTH_MISMATCH", |pair| set(&pair.spare, "host", "external_auth_type", "AD")),
    ("LICENSE_HOST_POOL_MISMATCH [host edition = \"free\", pool edition = \"xcp-ng\"]", |pair| {
        set(&pair.spare, "host", "edition", "free");
    }),
    ("OPERATION_NOT_ALLOWED [Network backends differ]", |pair| {
        set_key(&pair.spare, ("host", "software_version"), "network_backend", "openvswitch");
    }),
    ("POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION [2.1, 2.23]", |pair| {
        set(&pair.spare, "host", "API_version_minor", 1);
    }),
    ("POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA [5.1, ", |pair| {
        set_key(&pair.spare, ("host", "software_version"), "db_schema", "5.1");
    }),
    ("OPERATION_NOT_ALLOWED [Primary address type differs]", |pair| {
        set_card(pair, "primary_address_type", "IPv6");
    }),
    ("OPERATION_NOT_ALLOWED [Incompatible network purposes: nbd and insecure_nbd]", |pair| {
        set(&pair.spare, "network", "purpose", Value::Array(vec!["nbd".into()]));
        set(&pair.pool, "network", "purpose", Value::Array(vec!["insecure_nbd".into()]));
    }),
    ("POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH", |pair| {
        set(&pair.spare, "pool", "tls_verification_enabled", false);
    }),
];

#[tokio::test]
async fn what_does_not_fit_is_refused_and_leaves_nothing_behind() {
    for (refusal, misfit) in MISFITS {
        let mut pair = Pair::open().await;
        misfit(&pair);
        let before = pair.pool.pool().counts();
        let failure = pair.join().await.expect_err(refusal).to_string();
        assert!(failure.starts_with(refusal), "{failure} is not {refusal}");
        let closed = |_: &PoolHandle| pair.others() == 0;
        assert!(pair.pool.pool().wait_until(SOON, closed).await, "{refusal}: a session stays");
        assert_eq!(pair.pool.pool().counts(), before, "{refusal}");
        assert!(pair.spare.pool().records("task").is_empty());
        pair.here.log_in("root", "secret").await.unwrap();
    }
}

#[tokio::test]
async fn a_forced_join_minds_no_other_processor() {
    let mut pair = Pair::open().await;
    set_key(&pair.spare, ("host", "cpu_info"), "vendor", "AuthenticAMD");
    let arguments = [pair.address().into(), "root".into(), "secret".into()];
    pair.here.ok("Async.pool.join_force", &arguments).await;
    let host = joined(&pair.pool.pool(), "xen-spare-1").await;
    let vendor = pair.there.field("host", &host, "cpu_info").await;
    assert_eq!(vendor.as_struct().unwrap().get("vendor"), Some(&"AuthenticAMD".into()));
    let points = format!("HOST_IS_SLAVE [{}]", pair.address());
    logs_in(&mut pair.here, Err(&points)).await;
}

#[tokio::test]
async fn a_door_that_is_closed_wrong_or_for_others_is_told() {
    let mut pair = Pair::open().await;
    let pool = pair.pool.pool();
    let join = async |address: &str, user: &str, password: &str| {
        pair.here.refused("pool.join", &[address.into(), user.into(), password.into()]).await
    };
    let address = pair.address();
    let wrong = join(&address, "root", "wrong").await;
    assert_eq!(wrong, "SESSION_AUTHENTICATION_FAILED [root, Authentication failure]");
    pool.add_user("ada", "secret", role_named("vm-admin").unwrap());
    let denied = join(&address, "ada", "secret").await;
    assert!(denied.starts_with("RBAC_PERMISSION_DENIED ["), "{denied}");
    for nowhere in ["127.0.0.1:1", "no host", "127.0.0.1:1/jsonrpc", "", "ada@127.0.0.1:1"] {
        assert_eq!(join(nowhere, "root", "secret").await, "JOINING_HOST_CONNECTION_FAILED", "{nowhere:?}");
    }
    pool.answer_as_slave_of(Some("10.9.8.7"));
    assert_eq!(join(&address, "root", "secret").await, "HOST_IS_SLAVE [10.9.8.7]");
    pool.answer_as_slave_of(None);

    // A server that is no simulated pool, a real one for example, is told no password.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = heard.clone();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            hears.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    assert_eq!(join(&other, "root", "secret").await, "JOINING_HOST_SERVICE_FAILED");
    server.abort();
    let logins = pool.calls().logins.len();
    let heard = heard.lock().unwrap().clone();
    assert!(heard.starts_with("GET /simulated/member ") && !heard.contains("secret"), "{heard}");

    // Once is enough.
    pool.hold(true);
    let arguments = [address.as_str().into(), "root".into(), "secret".into()];
    pair.here.ok("Async.pool.join", &arguments).await;
    let begun = |pool: &PoolHandle| pool.calls().logins.len() > logins;
    assert!(pool.wait_until(SOON, begun).await);
    let again = pair.here.refused("pool.join", &arguments).await;
    assert_eq!(again, "OPERATION_NOT_ALLOWED [this host is joining a pool already]");
    pool.hold(false);
    joined(&pool, "xen-spare-1").await;
    logs_in(&mut pair.here, Err(&format!("HOST_IS_SLAVE [{address}]"))).await;
}

#[tokio::test]
async fn the_page_of_the_hand_over_is_for_those_who_may() {
    let pair = Pair::open().await;
    let page = format!("http://{}/simulated/member", pair.address());
    let http = client::plain();
    let state = pair.spare.pool().state_db();
    let said = async |request: reqwest::RequestBuilder| request.send().await.unwrap().text().await.unwrap();
    assert_eq!(said(http.get(&page)).await, r#"{"simulated_pool":1}"#);
    assert_eq!(said(http.get(&page).bearer_auth("guessed")).await, r#""stranger""#);
    assert_eq!(said(http.put(&page).body(state.clone())).await, r#"{"refused":["SESSION_INVALID",""]}"#);
    let session = pair.there.session.as_str().unwrap();
    let garbage =
        http.put(format!("{page}?session_id={session}")).body("certainly no state").send().await.unwrap();
    assert_eq!(garbage.status(), 500);
    pair.pool.pool().add_user("ada", "secret", role_named("vm-admin").unwrap());
    let mut ada = Client::new(client::plain(), format!("http://{}", pair.address()));
    ada.log_in("ada", "secret").await.unwrap();
    let hers = ada.session.as_str().unwrap();
    let denied = said(http.put(format!("{page}?session_id={hers}")).body(state.clone())).await;
    assert!(denied.starts_with(r#"{"refused":["RBAC_PERMISSION_DENIED","pool.join","#), "{denied}");
    assert_eq!(pair.pool.pool().records("host").len(), 2);
    let taken = said(http.put(format!("{page}?session_id={session}")).body(state)).await;
    assert!(taken.starts_with(r#"{"secret":""#), "{taken}");
    joined(&pair.pool.pool(), "xen-spare-1").await;
}

#[tokio::test]
async fn a_joined_host_follows_its_pool() {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let here = Some(([127, 0, 0, 1], 0).into());
    let mut running = simulator.open(Doors { http: here, https: here, ..Doors::default() }).await.unwrap();
    running.open_members().await.unwrap();
    running.open_spare_hosts(2).await.unwrap();
    let pool = running.pool();
    let spare = &running.spare_hosts()[0];
    assert_eq!(spare.https_address().unwrap().ip().to_string(), "127.0.0.3");
    assert_eq!(spare.https_address().unwrap().port(), running.https_address().unwrap().port());
    let mut joiner = Client::new(client::plain(), format!("http://{}", spare.http_address().unwrap()));
    joiner.log_in("root", "secret").await.unwrap();
    joiner.ok("pool.join", &["127.0.0.1".into(), "root".into(), "secret".into()]).await;
    let host = joined(&pool, "xen-spare-1").await;
    let reference = host.as_str().unwrap();
    assert_eq!(pool.record("host", reference).unwrap().text("address"), "127.0.0.3");
    let certificate = only(&running, "Certificate", "host", &host);
    assert_eq!(certificate.text("fingerprint_sha256").replace(':', "").to_lowercase(), spare.fingerprint());
    logs_in(&mut joiner, Err("HOST_IS_SLAVE [127.0.0.1]")).await;

    // It leads nobody: its pool's database never comes to it.
    let mut client = Client::new(client::plain(), format!("http://{}", running.http_address().unwrap()));
    client.log_in("root", "secret").await.unwrap();
    let refused = client.refused("pool.designate_new_master", std::slice::from_ref(&host)).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED ["), "{refused}");
    assert!(pool.fail_over(reference).is_err());
    joiner.session = joiner
        .raw("session.slave_local_login_with_password", &["root".into(), "secret".into()])
        .await
        .unwrap();
    let refused = joiner.refused("pool.emergency_transition_to_master", &[]).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED ["), "{refused}");

    // Its door is closed while it boots.
    client.ok("host.disable", std::slice::from_ref(&host)).await;
    client.ok("host.reboot", std::slice::from_ref(&host)).await;
    let closed = async {
        while joiner.send("/", String::new(), &[]).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, closed).await.unwrap();
    logs_in(&mut joiner, Err("HOST_IS_SLAVE [127.0.0.1]")).await;

    // A new coordinator is followed.
    let member = running.members()[0].host.clone();
    pool.fail_over(&member).unwrap();
    logs_in(&mut joiner, Err("HOST_IS_SLAVE [127.0.0.2]")).await;

    // A host that its pool has forgotten waits for somebody to look after it.
    pool.delete("host", reference).unwrap();
    let unknown = async {
        while joiner.log_in("root", "secret").await.unwrap_err().code != "HOST_UNKNOWN_TO_MASTER" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, unknown).await.unwrap();
    assert_eq!(joiner.raw("host.is_in_emergency_mode", &["any".into()]).await.unwrap(), true.into());
}
