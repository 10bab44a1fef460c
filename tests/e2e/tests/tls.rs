//! Whom the daemon believes, tried with servers that lie and with one as old as pools are.

use e2e::{Authority, Line, TlsFront, World, key_pair, other_key, own_certificate, tls12_secp384r1};

fn no_answer(line: &Line) -> bool {
    line.message() == "the pool cannot be followed for now"
}

fn pin(fingerprint: &str) -> Option<String> {
    Some(format!("{{ pin = [\"{fingerprint}\"] }}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_certificate_with_another_key_is_not_believed() {
    for only_tls12 in [false, true] {
        let world = World::builtin().await;
        let (certificate, fingerprint) = own_certificate(&key_pair());
        let front = TlsFront::open(other_key(certificate, &key_pair(), only_tls12), world.http()).await;
        let mut config = world.config();
        config.pools[0].url = format!("https://{}", front.address());
        config.pools[0].trust = pin(&fingerprint);
        let daemon = world.start(&config);
        let told = daemon.wait_for("the server is not believed", no_answer).await;
        assert!(told.text("error").contains("does not hold the certificate's key"), "{}", told.raw);
        assert!(told.number("again_in_s").unwrap() >= 40, "it is no matter of a moment: {}", told.raw);
        assert!(daemon.terminate().await.status.success());
        assert_eq!(front.handshakes(), 1);
        assert_eq!(front.bytes(), 0, "something was said to it");
        assert!(world.pool().calls().by_method.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_server_as_old_as_pools_are_is_followed() {
    let world = World::builtin().await;
    let key = key_pair();
    let (certificate, fingerprint) = own_certificate(&key);
    let front = TlsFront::open(tls12_secp384r1(certificate, &key), world.http()).await;
    let mut config = world.config();
    config.pools[0].url = format!("https://{}", front.address());
    // One of several pins is enough, in whatever form it was copied.
    let pairs: Vec<String> =
        fingerprint.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    let colons = pairs.join(":");
    config.pools[0].trust = Some(format!("{{ pin = [\"{}\", \"{colons}\"] }}", "00".repeat(32)));
    let daemon = world.start(&config);
    daemon.following().await;
    world.alike().await;
    assert!(front.bytes() > 0);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_believed_for_the_name_that_it_signed() {
    let world = World::builtin().await;
    let authority = Authority::new("the pools' authority");
    let file = world.folder().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let front = TlsFront::open(authority.server("127.0.0.1"), world.http()).await;
    let mut config = world.config();
    config.pools[0].url = format!("https://{}", front.address());
    config.pools[0].trust = Some("{ ca = \"authority.pem\" }".into());
    let daemon = world.start(&config);
    daemon.following().await;
    world.alike().await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_not_believed_for_others() {
    let trusted = Authority::new("the pools' authority");
    let cases = [
        (Authority::new("somebody else").server("127.0.0.1"), "no trusted authority signed it"),
        (Authority::new("the pools' authority").server("127.0.0.1"), "the authority did not sign it"),
        (trusted.server("10.9.8.7"), "not valid for"),
    ];
    for (server, words) in cases {
        let world = World::builtin().await;
        std::fs::write(world.folder().join("authority.pem"), trusted.pem()).unwrap();
        let front = TlsFront::open(server, world.http()).await;
        let mut config = world.config();
        config.pools[0].url = format!("https://{}", front.address());
        config.pools[0].trust = Some("{ ca = \"authority.pem\" }".into());
        let daemon = world.start(&config);
        let told = daemon.wait_for("the server is not believed", no_answer).await;
        assert!(told.text("error").contains(words), "{}", told.raw);
        assert!(daemon.terminate().await.status.success());
        assert_eq!(front.bytes(), 0, "something was said to it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_do_not_know_a_pools_own_certificate() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.pools[0].trust = Some("\"system\"".into());
    let daemon = world.start(&config);
    let told =
        daemon.wait_for("the server is not believed", |line| no_answer(line) || line.level() == "").await;
    // A machine without authorities says so before it connects anywhere.
    let said = if no_answer(&told) { told.text("error") } else { told.message() };
    assert!(
        said.contains("no trusted authority signed it") || said.contains("no trusted authorities"),
        "{}",
        told.raw
    );
    assert!(world.pool().calls().by_method.is_empty());
}
