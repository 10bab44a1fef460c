// A simulated pool and a client of it, for tests and for the examples in the documentation, which run against it (they
// include this file, hence no inner comments).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use simulator::{Doors, Options, PoolHandle, Running, Simulator};
use xapi::codec::Limits;
use xapi::transport::{Endpoint, Trust};
use xapi::{Client, Settings};

/// The made-up pool, open on loopback.
pub(crate) async fn pool() -> (Running, PoolHandle, Client) {
    let options = Options { password: "secret".into(), speed: 100.0, ..Options::default() };
    let simulator = Simulator::builtin(options).unwrap();
    let doors = Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() };
    let running = simulator.open(doors).await.unwrap();
    let client = client_of(&format!("http://{}", running.http_address().unwrap()), xapi::Wire::Auto);
    (running, simulator.pool(), client)
}

/// A client of whoever listens at that address.
pub(crate) fn client_of(address: &str, wire: xapi::Wire) -> Client {
    let endpoint = Endpoint::new(address.parse().unwrap(), Trust::None).unwrap();
    let client = Client::new(Settings {
        endpoint,
        user: "root".into(),
        password: Arc::new(secrecy::SecretString::from("secret")),
        members: Vec::new(),
        pool_uuid: None,
        originator: "tests".into(),
        user_agent: "xapi-tests/0".into(),
        call_timeout: Duration::from_secs(30),
        limits: Limits::default(),
        wire,
    });
    client.unwrap()
}

/// Runs an example of the documentation.
#[allow(dead_code, reason = "only examples use it")]
pub(crate) fn example<F: Future<Output = Result<(), Box<dyn std::error::Error>>>>(
    body: impl FnOnce(Client) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_running, _pool, client) = pool().await;
        body(client).await.unwrap();
    });
}
