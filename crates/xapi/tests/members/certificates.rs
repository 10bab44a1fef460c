//! Whose certificate is believed: pinned ones, and those that the pool announced over a connection that was believed.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair, date_time_ymd};
use xapi::model::Record;
use xapi::transport::{Endpoint, Trust};
use xapi::{Client, Struct, Value};

use super::pool::{Certificate, Member, Pool, settings};

/// Two members on one port of two addresses of this machine, as hosts are; the first is the coordinator.
async fn two_members(certificates: [&Certificate; 2]) -> (Pool, Member, Member) {
    let pool = Pool::new();
    let (one, other) = loop {
        let one = pool.https("127.0.0.1:0", certificates[0]).await;
        // The port must be free there too.
        let beside = format!("127.0.0.2:{}", one.address.port());
        if tokio::net::TcpListener::bind(&beside).await.is_ok() {
            break (one, pool.https(&beside, certificates[1]).await);
        }
    };
    pool.change(|known| {
        known.coordinator = "127.0.0.1".into();
        known.hosts = vec!["127.0.0.1".into(), "127.0.0.2".into()];
    });
    (pool, one, other)
}

/// What the pool's events tell of a host certificate.
fn announced(certificate: &Certificate) -> Record {
    let fields: Struct =
        [("type", Value::from("host")), ("fingerprint_sha256", certificate.pin.to_string().into())]
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
    Record::new("Certificate", "OpaqueRef:c", fields)
}

#[tokio::test]
async fn a_member_whose_certificate_the_pool_told_of_is_believed_after_a_failover() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (pool, one, other) = two_members([&first, &second]).await;
    pool.change(|known| known.certificates = vec![first.pin, second.pin]);
    let client = Client::new(settings(one.pinned(&[&first]))).unwrap();
    let lease = client.lease().await.unwrap();
    drop(one);
    pool.change(|known| known.coordinator = "127.0.0.2".into());
    client.abandon(lease.number()).await;
    client.lease().await.unwrap();
    assert_eq!(client.endpoint().to_string(), format!("https://{}", other.address));
}

#[tokio::test]
async fn a_member_that_nobody_told_of_is_not_and_hears_nothing() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (pool, one, other) = two_members([&first, &second]).await;
    pool.change(|known| known.certificates = vec![first.pin]);
    let client = Client::new(settings(one.pinned(&[&first]))).unwrap();
    let lease = client.lease().await.unwrap();
    drop(one);
    pool.change(|known| known.coordinator = "127.0.0.2".into());
    client.abandon(lease.number()).await;
    let error = client.lease().await.unwrap_err();
    assert!(error.untrusted(), "{}", error.chain());
    assert!(error.chain().contains(&second.pin.to_string()), "{}", error.chain());
    assert_eq!(other.requests(), 0, "no password, nothing");
    assert!(client.login_due().await > Duration::from_secs(40), "not tried over and over");
}

/// A member with a client that follows it, then the same member with another certificate; the client has lost its
/// session. `told` is what the client heard in between.
async fn renewed(told: impl FnOnce(&Client, &Certificate)) -> (Client, Member) {
    let (old, new) = (Certificate::new(), Certificate::new());
    let (pool, one, _other) = two_members([&old, &old]).await;
    let client = Client::new(settings(one.pinned(&[&old]))).unwrap();
    let lease = client.lease().await.unwrap();
    told(&client, &new);
    let address = one.address.to_string();
    drop(one);
    pool.change(|known| known.sessions.clear());
    let one = loop {
        // The old door may need a moment to close.
        if tokio::net::TcpListener::bind(&address).await.is_ok() {
            break pool.https(&address, &new).await;
        }
        tokio::task::yield_now().await;
    };
    client.abandon(lease.number()).await;
    (client, one)
}

#[tokio::test]
async fn a_new_certificate_that_was_announced_is_believed() {
    // As whoever follows the pool's events hears of it over the session that is open.
    let (client, _one) = renewed(|client, new| client.learn_certificates([&announced(new)])).await;
    assert_eq!(client.lease().await.unwrap().number(), 2);
    assert_eq!(client.call("VM.get_all", &[]).await.unwrap(), "VM.get_all".into());
}

#[tokio::test]
async fn a_new_certificate_that_was_not_announced_is_not() {
    let (client, one) = renewed(|_, _| ()).await;
    let error = client.lease().await.unwrap_err();
    assert!(error.untrusted(), "{}", error.chain());
    assert_eq!(one.requests(), 0, "no password, nothing");
}

/// An authority of the administrator's, and a certificate that it signed for a while and a name.
fn signed(name: &str, from: i32, until: i32) -> (Certificate, Trust) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&signing_key, &issuer).unwrap();
    (Certificate::of(CertifiedKey { cert, signing_key }), Trust::Authority(pem.into_bytes()))
}

#[tokio::test]
async fn what_an_authority_signed_counts_for_its_name_and_its_time() {
    for (name, from, until, why) in [
        ("127.0.0.1", 2000, 2200, None),
        ("127.0.0.1", 2000, 2001, Some("expired")),
        ("127.0.0.1", 2190, 2200, Some("not valid yet")),
        ("other.example", 2000, 2200, Some("not valid for name")),
    ] {
        let (certificate, trust) = signed(name, from, until);
        let pool = Pool::new();
        let one = pool.https("127.0.0.1:0", &certificate).await;
        pool.change(|known| known.coordinator = "127.0.0.1".into());
        let address = format!("https://{}", one.address).parse().unwrap();
        let client = Client::new(settings(Endpoint::new(address, trust).unwrap())).unwrap();
        match (client.lease().await, why) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => {
                assert!(error.untrusted() && error.chain().contains(why), "{name}: {}", error.chain());
                assert_eq!(one.requests(), 0, "no password, nothing");
            }
            (outcome, why) => panic!("{name}, {from} to {until}: {outcome:?}, expected {why:?}"),
        }
    }
}
