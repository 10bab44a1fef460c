//! From a transport to a logout, step by step, as XAPI's own documentation teaches it: choose how to connect, log in,
//! find references, call and wait, start and wait for a task, walk along references, log out.
//!
//! ```text
//! XAPI_PASSWORD=... cargo run -p xapi --example invocation_flow -- https://HOST VM --pin FINGERPRINT
//! XAPI_PASSWORD=... cargo run -p xapi --example invocation_flow -- http://127.0.0.1:PORT VM
//! cargo run -p xapi --example invocation_flow -- unix:/var/lib/xcp/xapi VM
//! ```
//!
//! The VM should be halted: it is started, and switched off again. A running one refuses, which is shown, and is left
//! alone. `xapiary simulate` opens a pool to try it on, with a halted VM of the name `lab`.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use xapi::codec::Limits;
use xapi::events::Ending;
use xapi::model::{Path, Record, World};
use xapi::query::field;
use xapi::transport::{Address, Endpoint, Trust};
use xapi::{CallOptions, Client, Mark, Settings, TaskState, Value, Wire};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Long enough for a VM to start.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let password = std::env::var("XAPI_PASSWORD").unwrap_or_default();
    let (address, vm, pin) =
        match arguments.as_slice() {
            [address, vm] => (address, vm, None),
            [address, vm, word, pin] if word == "--pin" => (address, vm, Some(pin.as_str())),
            _ => return Err(
                "usage: invocation_flow https://HOST|http://LOOPBACK:PORT|unix:/PATH VM [--pin FINGERPRINT]"
                    .into(),
            ),
        };
    flow(address, pin, password.into(), vm, &mut std::io::stdout()).await
}

/// The whole way.
pub(crate) async fn flow(
    address: &str,
    pin: Option<&str>,
    password: SecretString,
    vm: &str,
    out: &mut impl Write,
) -> Outcome {
    writeln!(out, "1. choose a transport")?;
    let endpoint = transport(address, pin, out)?;

    writeln!(out, "2. log in")?;
    let client = Client::new(Settings {
        endpoint,
        user: "root".into(),
        // On the local socket whoever may open it is root, and the password does not matter.
        password: Arc::new(password),
        members: Vec::new(),
        originator: "xapi-example".into(),
        user_agent: "xapi-example/0.1".into(),
        call_timeout: PATIENCE,
        limits: Limits::default(),
        // JSON-RPC where the pool speaks it, XML-RPC otherwise.
        wire: Wire::Auto,
        // Known from an earlier time, it keeps another pool at the same address from being taken for this one.
        pool_uuid: None,
    })?;
    // Nothing is sent before the first call; asking for the session logs in now.
    let lease = client.lease().await?;
    writeln!(out, "   session {} at {}", lease.number(), client.endpoint())?;

    // Whatever happens in between, the session is ended: sessions that are left behind count against everybody's.
    let outcome = with_session(&client, vm, out).await;
    client.logout().await;
    outcome?;
    writeln!(out, "7. logged out")?;
    Ok(())
}

fn transport(address: &str, pin: Option<&str>, out: &mut impl Write) -> Outcome<Endpoint> {
    let address: Address = address.parse()?;
    let (trust, words) = match (&address, pin) {
        (Address::Https { .. }, Some(pin)) => {
            (Trust::Pinned(vec![pin.parse()?]), "its certificate must be the pinned one")
        }
        (Address::Https { .. }, None) => (Trust::System, "an authority must vouch for its certificate"),
        (Address::Http { .. }, _) => (Trust::None, "plain text, to this machine only"),
        (Address::Unix(_), _) => (Trust::None, "whoever may open the socket is root"),
    };
    writeln!(out, "   {address}: {words}")?;
    Ok(Endpoint::new(address, trust)?)
}

async fn with_session(client: &Client, name: &str, out: &mut impl Write) -> Outcome {
    writeln!(out, "3. find references")?;
    let vm = find(client, name, out).await?;
    writeln!(out, "4. call and wait for the answer")?;
    call(client, &vm, out).await?;
    writeln!(out, "5. start a task and wait for its end")?;
    start(client, &vm, out).await?;
    writeln!(out, "6. walk along references")?;
    storage(client, &vm, out).await?;
    network(client, &vm, out).await
}

/// The ways to an object: its name, its uuid, all of its class with or without their fields, and a query.
async fn find(client: &Client, name: &str, out: &mut impl Write) -> Outcome<Arc<Record>> {
    let vms = client.find_class("VM")?;
    let named = vms.by_name_label(name).await?;
    writeln!(out, "   by name: {} named {name:?}", count(named.len(), "VM"))?;
    let mut found = None;
    for reference in &named {
        // Names are not unique, and templates and snapshots are VMs as well.
        if let Some(vm) = vms.record(reference).await?
            && !is(&vm, "is_a_template")
        {
            found = Some(vm);
        }
    }
    let vm = found.ok_or_else(|| format!("no VM is named {name:?}"))?;
    let uuid = vm.uuid().ok_or("a VM without uuid")?;
    let same = vms.by_uuid(uuid).await?;
    let same = same.is_some_and(|reference| reference.as_str() == vm.reference);
    writeln!(out, "   by uuid: {uuid} is {}", if same { "the same" } else { "another" })?;
    writeln!(out, "   all references: {}", count(vms.all().await?.len(), "VM"))?;
    let records = vms.all_records().await?;
    let templates = records.iter().filter(|vm| is(vm, "is_a_template")).count();
    writeln!(out, "   all records: {}, {templates} of them templates", count(records.len(), "VM"))?;
    let running = field("power_state").is("Running") & field("is_control_domain").is(false);
    let running = vms.records_where(&running).await?;
    writeln!(out, "   by a query: {} running", count(running.len(), "VM"))?;
    Ok(vm)
}

/// A call that answers when it is done: a getter, and a method that changes something.
async fn call(client: &Client, vm: &Record, out: &mut impl Write) -> Outcome {
    let reference = Value::String(vm.reference.clone());
    let state = client.call("VM.get_power_state", std::slice::from_ref(&reference)).await?;
    writeln!(out, "   VM.get_power_state: {}", state.as_str().unwrap_or_default())?;
    client.call("VM.add_tags", &[reference.clone(), "invocation-flow".into()]).await?;
    let tags = client.call("VM.get_tags", std::slice::from_ref(&reference)).await?;
    let tags: Vec<&str> = tags.as_array().unwrap_or_default().iter().filter_map(Value::as_str).collect();
    writeln!(out, "   VM.add_tags: the tags are now {}", tags.join(", "))?;
    client.call("VM.remove_tags", &[reference, "invocation-flow".into()]).await?;
    writeln!(out, "   VM.remove_tags: as before")?;
    Ok(())
}

/// A call that lasts: xapi gives a task, events tell how far it is, and its record tells how it ended.
async fn start(client: &Client, vm: &Record, out: &mut impl Write) -> Outcome {
    let arguments = [Value::String(vm.reference.clone()), false.into(), false.into()];
    let options = CallOptions::marked(Mark::new("invocation-flow", "start")?);
    let task = client.start("VM.start", &arguments, &options).await?;
    // The mark is on the task: another process could find it so.
    let marked = client.marked("invocation-flow").await?;
    writeln!(out, "   VM.start: {} with the mark invocation-flow", count(marked.len(), "task"))?;
    let mut written = Ok(());
    let show = |progress| {
        if written.is_ok() {
            written = writeln!(out, "   VM.start: {:3.0} %", progress * 100.0);
        }
    };
    let state = task.wait_and_show(PATIENCE, show).await?;
    written?;
    match state {
        TaskState::Ended(Ending::Succeeded(_)) => {
            writeln!(out, "   VM.start: done")?;
            client.call("VM.hard_shutdown", &[Value::String(vm.reference.clone())]).await?;
            writeln!(out, "   VM.hard_shutdown: off again")?;
        }
        TaskState::Ended(Ending::Failed(failure)) => writeln!(out, "   VM.start: refused, {}", failure.code)?,
        TaskState::Ended(Ending::Cancelled) => writeln!(out, "   VM.start: somebody cancelled it")?,
        // What came of it is not known: whoever cares looks at the VM.
        TaskState::Ended(Ending::Lost) => writeln!(out, "   VM.start: its task vanished")?,
        TaskState::Going(_) => writeln!(out, "   VM.start: it takes longer than expected")?,
    }
    Ok(())
}

/// VM - VBD - VDI - SR - PBD - host.
async fn storage(client: &Client, vm: &Arc<Record>, out: &mut impl Write) -> Outcome {
    let path = Path::parse(vm.schema().ok_or("a class that the schema knows")?, "VBDs.VDI.SR.PBDs.host")?;
    let fetched = client.follow(std::slice::from_ref(vm), &path).await?;
    for vbd in reached(&fetched, vm, "VBDs")? {
        let device = vbd.text("userdevice");
        let Some(vdi) = reached(&fetched, &vbd, "VDI")?.pop() else {
            writeln!(out, "   VBD {device}: an empty drive")?;
            continue;
        };
        let Some(sr) = reached(&fetched, &vdi, "SR")?.pop() else { continue };
        let mut hosts = Vec::new();
        for pbd in reached(&fetched, &sr, "PBDs")? {
            hosts.extend(reached(&fetched, &pbd, "host")?);
        }
        hosts.sort_by(|one, other| one.text("name_label").cmp(other.text("name_label")));
        let hosts: Vec<&str> = hosts.iter().map(|host| host.text("name_label")).collect();
        writeln!(
            out,
            "   VBD {device} - VDI {:?} - SR {:?} - {} to {}",
            vdi.text("name_label"),
            sr.text("name_label"),
            count(hosts.len(), "PBD"),
            hosts.join(" and ")
        )?;
    }
    Ok(())
}

/// VM - VIF - network - PIF - host.
async fn network(client: &Client, vm: &Arc<Record>, out: &mut impl Write) -> Outcome {
    let path = Path::parse(vm.schema().ok_or("a class that the schema knows")?, "VIFs.network.PIFs.host")?;
    let fetched = client.follow(std::slice::from_ref(vm), &path).await?;
    for vif in reached(&fetched, vm, "VIFs")? {
        let Some(network) = reached(&fetched, &vif, "network")?.pop() else { continue };
        let mut cards = Vec::new();
        for pif in reached(&fetched, &network, "PIFs")? {
            for host in reached(&fetched, &pif, "host")? {
                cards.push(format!("{} of {}", pif.text("device"), host.text("name_label")));
            }
        }
        cards.sort();
        writeln!(
            out,
            "   VIF {} - network {:?} - {}: {}",
            vif.text("device"),
            network.text("name_label"),
            count(cards.len(), "PIF"),
            cards.join(" and ")
        )?;
    }
    Ok(())
}

/// The objects to which a field of `from` refers, one or many, out of what was fetched. What is gone by now is left out.
fn reached(fetched: &World, from: &Arc<Record>, field: &str) -> Outcome<Vec<Arc<Record>>> {
    let path = Path::parse(from.schema().ok_or("a class that the schema knows")?, field)?;
    Ok(path.reached([from], |class, reference| fetched.get(class, reference).cloned())?)
}

fn is(record: &Record, field: &str) -> bool {
    record.get(field).and_then(Value::as_bool).unwrap_or_default()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
