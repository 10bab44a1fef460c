//! One small client for all tests, and the pool that most of them use.

use std::time::Duration;

use serde_json::json;
use simulator::{Doors, Options, Running, Simulator};
use xapi::codec::{Failure, Limits, Reply, json as json_codec, xml};
use xapi::{Struct, Value};

/// A client of one door with one session.
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    pub(crate) session: Value,
}

/// The made-up pool, fast, with plain HTTP open.
pub(crate) async fn fast() -> (Running, Client) {
    open(Simulator::builtin(options()).unwrap()).await
}

/// Any pool with plain HTTP open, logged in.
pub(crate) async fn open(simulator: Simulator) -> (Running, Client) {
    let doors = Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() };
    let running = simulator.open(doors).await.unwrap();
    let mut client = Client::new(plain(), format!("http://{}", running.http_address().unwrap()));
    client.log_in("root", "secret").await.unwrap();
    (running, client)
}

/// A map or a record.
pub(crate) fn record<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::Struct(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// The reference of the only object of a class with this name.
pub(crate) fn named(running: &Running, class: &str, name: &str) -> Value {
    let records = running.pool().records(class);
    let found = records.iter().find(|record| record.text("name_label") == name);
    found.unwrap_or_else(|| panic!("no {class} {name}")).reference.as_str().into()
}

/// Waits until the guest agent of a VM has spoken, if the VM runs.
pub(crate) async fn agent(running: &Running, vm: &Value) {
    let vm = vm.as_str().unwrap();
    let spoken = |pool: &simulator::PoolHandle| {
        let record = pool.record("VM", vm).unwrap();
        record.text("power_state") != "Running" || record.text("guest_metrics") != xapi::NULL_REF
    };
    assert!(running.pool().wait_until(SOON, spoken).await);
}

/// An HTTP client without TLS. It takes a new connection for each call: no answer hangs on how an idle one ended, in a
/// restart or for its age.
pub(crate) fn plain() -> reqwest::Client {
    provider();
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

/// Gives reqwest its cryptography; another test of this process may have done so.
pub(crate) fn provider() {
    _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}

pub(crate) fn options() -> Options {
    Options { password: "secret".into(), speed: 100.0, ..Options::default() }
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, address: String) -> Self {
        Client { http, address, session: Value::VOID }
    }

    pub(crate) async fn log_in(&mut self, user: &str, password: &str) -> Result<(), Failure> {
        let arguments = [user.into(), password.into(), "2.23".into(), "test".into()];
        self.session = self.raw("session.login_with_password", &arguments).await?;
        Ok(())
    }

    /// Calls with the session in front, over XML-RPC.
    pub(crate) async fn call(&self, method: &str, arguments: &[Value]) -> Reply {
        let all: Vec<Value> =
            std::iter::once(self.session.clone()).chain(arguments.iter().cloned()).collect();
        self.raw(method, &all).await
    }

    /// Calls and expects success.
    pub(crate) async fn ok(&self, method: &str, arguments: &[Value]) -> Value {
        self.call(method, arguments).await.unwrap_or_else(|failure| panic!("{method}: {failure}"))
    }

    /// Calls and expects this failure, shown as text.
    pub(crate) async fn refused(&self, method: &str, arguments: &[Value]) -> String {
        match self.call(method, arguments).await {
            Ok(value) => panic!("{method} gave {value:?}"),
            Err(failure) => failure.to_string(),
        }
    }

    /// Calls with nothing but these arguments, over XML-RPC.
    pub(crate) async fn raw(&self, method: &str, arguments: &[Value]) -> Reply {
        let body = self.post("/", xml::encode_call(method, arguments), &[]).await;
        xml::decode_reply(body.as_bytes(), &Limits::default())
            .unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Calls with the session in front, over JSON-RPC.
    pub(crate) async fn json(&self, method: &str, arguments: &[Value]) -> Reply {
        let all: Vec<Value> =
            std::iter::once(self.session.clone()).chain(arguments.iter().cloned()).collect();
        let body = self.post("/jsonrpc", json_codec::encode_call(method, &all, 7), &[]).await;
        json_codec::decode_reply(body.as_bytes(), &Limits::default())
            .unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The body of a response that must be status 200.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: String,
        headers: &[(&'static str, &'static str)],
    ) -> String {
        let response = self.send(path, body, headers).await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        path: &str,
        body: String,
        headers: &[(&'static str, &'static str)],
    ) -> Result<reqwest::Response, reqwest::Error> {
        let mut request = self.http.post(format!("{}{path}", self.address)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    /// Waits until the pool answers at this door, whatever it answers.
    pub(crate) async fn answers(&self) {
        let come = async {
            while self.send("/", xml::encode_call("system.listMethods", &[]), &[]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, come).await.unwrap_or_else(|_| panic!("{} does not answer", self.address));
    }

    /// One field of one object.
    pub(crate) async fn field(&self, class: &str, reference: &Value, field: &str) -> Value {
        self.ok(&format!("{class}.get_{field}"), std::slice::from_ref(reference)).await
    }

    /// One integer field of one object.
    pub(crate) async fn int(&self, class: &str, reference: &Value, field: &str) -> i64 {
        self.field(class, reference, field).await.as_int().unwrap()
    }

    /// `event.from` for up to ten seconds: events and the next token.
    pub(crate) async fn events(&self, classes: &[&str], token: &str) -> Batch {
        self.events_within(classes, token, 10.0).await
    }

    pub(crate) async fn events_within(&self, classes: &[&str], token: &str, seconds: f64) -> Batch {
        let classes = classes.iter().map(|class| Value::from(*class)).collect();
        let answer = self.ok("event.from", &[Value::Array(classes), token.into(), seconds.into()]).await;
        Batch::new(&answer)
    }

    /// The reference of a VM.
    pub(crate) async fn vm(&self, name: &str) -> Value {
        let found = self.ok("VM.get_by_name_label", &[name.into()]).await;
        found.as_array().unwrap().first().unwrap_or_else(|| panic!("no VM {name}")).clone()
    }
}

/// One answer of `event.from`.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Told>,
    pub(crate) token: String,
    pub(crate) counts: Struct,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: i64,
    pub(crate) class: String,
    pub(crate) operation: String,
    pub(crate) reference: String,
    pub(crate) snapshot: Option<Struct>,
}

impl Batch {
    fn new(answer: &Value) -> Self {
        let answer = answer.as_struct().unwrap();
        let events = answer.get("events").unwrap().as_array().unwrap();
        Batch {
            events: events.iter().map(|event| Told::new(event.as_struct().unwrap())).collect(),
            token: answer.get("token").unwrap().as_str().unwrap().into(),
            counts: answer.get("valid_ref_counts").unwrap().as_struct().unwrap().clone(),
        }
    }

    /// Operations with names, in order: `add vm web-1`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |told: &Told| format!("{} {} {}", told.operation, told.class, told.name());
        self.events.iter().map(line).collect()
    }
}

impl Told {
    fn new(event: &Struct) -> Self {
        let text = |name: &str| event.get(name).unwrap().as_str().unwrap().to_owned();
        assert_eq!(text("timestamp"), "0.0");
        Told {
            id: text("id").parse().unwrap(),
            class: text("class"),
            operation: text("operation"),
            reference: text("ref"),
            snapshot: event.get("snapshot").map(|snapshot| snapshot.as_struct().unwrap().clone()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.get("name_label").and_then(Value::as_str).unwrap_or("-")
    }

    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.snapshot.as_ref()?.get(field)
    }
}

/// Long enough for anything, for conditions that should hold soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A JSON-RPC 1.0 body.
pub(crate) fn json_one(method: &str, arguments: &serde_json::Value) -> String {
    json!({ "method": method, "params": arguments, "id": "x" }).to_string()
}
