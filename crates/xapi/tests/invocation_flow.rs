//! The example `invocation_flow` says what it should, over each transport.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../examples/invocation_flow.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod example;

use std::net::SocketAddr;

use simulator::{Doors, Options, PoolHandle, Running, Simulator};
use xapi::Value;
use xapi::model::Record;

const LOOPBACK: Option<SocketAddr> =
    Some(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0));

async fn pool(doors: Doors) -> Running {
    let options = Options { password: "secret".into(), speed: 20.0, ..Options::default() };
    Simulator::builtin(options).unwrap().open(doors).await.unwrap()
}

/// What the example says, but for how far the task was in between, which is a matter of timing.
async fn said(running: &Running, address: &str, pin: Option<&str>, vm: &str) -> String {
    let mut out = Vec::new();
    example::flow(address, pin, "secret".to_owned().into(), vm, &mut out).await.unwrap();
    let pool = running.pool();
    assert_eq!(pool.sessions(), 0, "logged out");
    assert!(pool.records("task").is_empty(), "no task is left");
    let text = String::from_utf8(out).unwrap();
    let (going, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.ends_with(" %"));
    assert_eq!(going.is_empty(), text.contains("refused"), "what goes on is shown: {text}");
    rest.join("\n")
}

/// What it should say of a VM that is halted, with what the pool itself knows.
fn expected(pool: &PoolHandle, address: &str, trust: &str) -> String {
    let vms = pool.records("VM");
    let is = |vm: &&Record, field: &str| vm.get(field) == Some(&Value::Bool(true));
    let templates = vms.iter().filter(|vm| is(vm, "is_a_template")).count();
    let running = |vm: &&Record| vm.text("power_state") == "Running" && !is(vm, "is_control_domain");
    let lab = pool.record("VM", &pool.find_vm("lab").unwrap()).unwrap();
    format!(
        "\
1. choose a transport
   {address}: {trust}
2. log in
   session 1 at {address}
3. find references
   by name: 1 VM named \"lab\"
   by uuid: {uuid} is the same
   all references: {all} VMs
   all records: {all} VMs, {templates} of them templates
   by a query: {running} VMs running
4. call and wait for the answer
   VM.get_power_state: Halted
   VM.add_tags: the tags are now invocation-flow, development
   VM.remove_tags: as before
5. start a task and wait for its end
   VM.start: 1 task with the mark invocation-flow
   VM.start: done
   VM.hard_shutdown: off again
6. walk along references
   VBD 0 - VDI \"lab disk 0\" - SR \"Local storage\" - 1 PBD to xen-south
   VIF 0 - network \"Tenants\" - 2 PIFs: eth1 of xen-north and eth1 of xen-south
7. logged out",
        uuid = lab.uuid().unwrap(),
        all = vms.len(),
        running = vms.iter().filter(running).count(),
    )
}

#[tokio::test]
async fn over_https_with_a_pinned_certificate() {
    let running = pool(Doors { https: LOOPBACK, ..Doors::default() }).await;
    let address = format!("https://{}", running.https_address().unwrap());
    let said = said(&running, &address, Some(running.fingerprint()), "lab").await;
    assert_eq!(said, expected(&running.pool(), &address, "its certificate must be the pinned one"));

    // Any other certificate is not spoken to.
    let other = "00".repeat(32);
    let refused =
        example::flow(&address, Some(&other), "secret".to_owned().into(), "lab", &mut Vec::new()).await;
    let refused = refused.unwrap_err();
    assert!(refused.downcast_ref::<xapi::Error>().unwrap().untrusted(), "{refused}");
}

#[tokio::test]
async fn over_plain_http_to_this_machine() {
    let running = pool(Doors { http: LOOPBACK, ..Doors::default() }).await;
    let address = format!("http://{}", running.http_address().unwrap());
    let said = said(&running, &address, None, "lab").await;
    assert_eq!(said, expected(&running.pool(), &address, "plain text, to this machine only"));
}

#[tokio::test]
async fn over_the_local_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xapi");
    let running = pool(Doors { unix: Some(path.clone()), ..Doors::default() }).await;
    let address = format!("unix:{}", path.display());
    let said = said(&running, &address, None, "lab").await;
    assert_eq!(said, expected(&running.pool(), &address, "whoever may open the socket is root"));
}

#[tokio::test]
async fn a_vm_that_runs_is_left_alone() {
    let running = pool(Doors { http: LOOPBACK, ..Doors::default() }).await;
    let address = format!("http://{}", running.http_address().unwrap());
    let said = said(&running, &address, None, "web-1").await;
    assert!(said.contains("   VM.start: refused, VM_BAD_POWER_STATE\n6. walk"), "{said}");
    let pool = running.pool();
    let web = pool.record("VM", &pool.find_vm("web-1").unwrap()).unwrap();
    assert_eq!(web.text("power_state"), "Running");

    let missing = example::flow(&address, None, "secret".to_owned().into(), "nobody", &mut Vec::new()).await;
    assert_eq!(missing.unwrap_err().to_string(), "no VM is named \"nobody\"");
    assert_eq!(pool.sessions(), 0, "logged out all the same");
}
