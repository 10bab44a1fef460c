//! A host's certificate is changed while clients are there.

use std::time::Duration;

use sha2::{Digest, Sha256};
use simulator::{Doors, Running, Simulator};
use xapi::Value;

use crate::client::{self, Client, SOON};

/// The fingerprint of the certificate that a new connection to the HTTPS door meets.
async fn served(running: &Running) -> String {
    client::provider();
    let http =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
    let response = http.get(format!("https://{}/", running.https_address().unwrap())).send().await.unwrap();
    let info = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    hex::encode(Sha256::digest(info.peer_certificate().unwrap()))
}

/// The fingerprint in a record, as the door's are written.
fn plain(text: &str) -> String {
    text.replace(':', "").to_lowercase()
}

#[tokio::test]
async fn a_certificate_is_announced_and_then_served() {
    let here = ([127, 0, 0, 1], 0).into();
    let simulator = Simulator::builtin(client::options()).unwrap();
    let running = simulator.open(Doors { http: Some(here), https: Some(here), unix: None }).await.unwrap();
    let pool = running.pool();
    let mut client = Client::new(client::plain(), format!("http://{}", running.http_address().unwrap()));
    client.log_in("root", "secret").await.unwrap();
    let host = pool.records("pool")[0].text("master").to_owned();
    let first = running.fingerprint().to_owned();
    assert_eq!(served(&running).await, first);

    // The record comes by an event, while the door still has the old one.
    let before = client.events(&["certificate"], "").await;
    let second = pool.rotate_certificate(&host, Some(Duration::from_secs(3600))).unwrap();
    assert_ne!(second, first);
    let told = client.events(&["certificate"], &before.token).await;
    let operations: Vec<&str> = told.events.iter().map(|event| event.operation.as_str()).collect();
    assert_eq!(operations, ["add", "del"]);
    let all = client.ok("Certificate.get_all_records", &[]).await;
    let announced: Vec<String> = all
        .as_struct()
        .unwrap()
        .iter()
        .map(|(_, record)| record.as_struct().unwrap())
        .filter(|record| record.get("host").and_then(Value::as_str) == Some(&host))
        .map(|record| plain(record.get("fingerprint_sha256").unwrap().as_str().unwrap()))
        .collect();
    assert_eq!(announced, [second.as_str()]);
    assert_eq!(served(&running).await, first);

    // Another one, at short notice, is served in its time.
    let third = pool.rotate_certificate(&host, Some(Duration::from_millis(20))).unwrap();
    assert!(pool.wait_until(SOON, |pool| pool.fingerprint(&host).as_deref() == Some(&third)).await);
    assert_eq!(served(&running).await, third);

    // And one that nobody announced: the record still names the one before.
    let fourth = pool.rotate_certificate(&host, None).unwrap();
    assert_eq!(served(&running).await, fourth);
    let records = pool.records("Certificate");
    assert!(records.iter().any(|record| plain(record.text("fingerprint_sha256")) == third));
    assert!(pool.rotate_certificate("OpaqueRef:nobody", None).is_err());
}
