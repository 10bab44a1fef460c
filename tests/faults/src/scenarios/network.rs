//! What lies between the daemon and the pool fails.

use std::time::{Duration, Instant};

use e2e::{LIMIT, Line, TlsFront, World, key_pair, own_certificate, tls12_secp384r1, until};
use xapi::Struct;

use crate::invariants::{self, ALL};
use crate::proxy::Treatment;
use crate::scene::{Door, Scene};
use crate::table::Outcome;

/// A poll of 30 s may take 15 s more; then it is given up, and the next one goes out.
const POLL_MAX: Duration = Duration::from_secs(45);

fn away(line: &Line) -> bool {
    line.message() == "the pool cannot be followed for now"
}

/// F8: a certificate that the pool announced is believed; one that nobody announced gets no byte of a request.
pub(crate) async fn certificate_replaced(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.write(10);
    scene.settle().await;

    // Announced: the pool tells it over the connection that is believed.
    let key = key_pair();
    let (certificate, fingerprint) = own_certificate(&key);
    let announced = TlsFront::open(tls12_secp384r1(certificate, &key), scene.world.http()).await;
    let pool = scene.pool();
    let host = pool.records("host").into_iter().next().expect("the pool has hosts").reference;
    let mut fields = Struct::new();
    fields.insert("host", host);
    fields.insert("type", "host");
    fields.insert("fingerprint", colons(&fingerprint));
    fields.insert("fingerprint_sha256", colons(&fingerprint));
    pool.create("Certificate", fields).expect("the pool takes a certificate");
    scene.settle().await;
    scene.proxy.point_to(announced.address());
    scene.proxy.treat(Treatment::Reset);
    scene.daemon().wait_for("the connection is lost", away).await;
    scene.proxy.treat(Treatment::Forward);
    scene.write(10);
    scene.settle().await;
    assert!(announced.bytes() > 0, "the announced certificate was not used");

    // Unannounced: untrusted, and nothing is said there.
    let key = key_pair();
    let (certificate, fingerprint) = own_certificate(&key);
    let stranger = TlsFront::open(tls12_secp384r1(certificate, &key), scene.world.http()).await;
    scene.proxy.point_to(stranger.address());
    let heard = scene.daemon().heard();
    scene.proxy.treat(Treatment::Reset);
    scene.daemon().wait_after(heard, "the connection is lost", away).await;
    scene.proxy.treat(Treatment::Forward);
    let told = scene.daemon().wait_after(heard, "it is not believed", |line| {
        away(line) && line.text("error").replace(':', "").to_lowercase().contains(&fingerprint)
    });
    told.await;
    let (code, status) = scene.world.operator().status();
    assert_eq!(code, 1, "{status}");
    assert!(status.to_string().contains("untrusted"), "{status}");
    assert!(stranger.handshakes() > 0 && stranger.bytes() == 0, "something was said to a stranger");
    scene.stop().await;

    // A person puts it into the configuration, and what happened meanwhile is told.
    scene.write(10);
    for pool in &mut scene.config.pools {
        pool.trust = Some(format!("{{ pin = [\"{fingerprint}\"] }}"));
    }
    scene.start_ready().await;
    scene.settle().await;
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; {} handshakes with a stranger, no byte", stranger.handshakes()))
}

fn colons(fingerprint: &str) -> String {
    let pairs = fingerprint.as_bytes().chunks(2);
    let pairs: Vec<String> = pairs.map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    pairs.join(":")
}

/// F12: whatever is sent is taken and never answered, and nothing is closed: the poll ends by its own deadline.
pub(crate) async fn half_open(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.write(20);
    scene.settle().await;
    let heard = scene.daemon().heard();
    let begun = Instant::now();
    scene.proxy.treat(Treatment::Blackhole);
    scene.write(20);
    let told = e2e::until(POLL_MAX + Duration::from_secs(15), "the poll is given up", || {
        let lines = scene.daemon().lines();
        lines
            .iter()
            .skip(heard)
            .find(|line| away(line))
            .cloned()
            .ok_or_else(|| format!("{} lines", lines.len()))
    });
    told.await;
    let took = begun.elapsed();
    scene.proxy.treat(Treatment::Forward);
    scene.settle().await;
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; given up after {:.0} s", took.as_secs_f64()))
}

/// F3: the process stands still for longer than a connection's patience, then goes on.
pub(crate) async fn frozen(seed: u64) -> Outcome {
    const STILL: Duration = Duration::from_secs(40);
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.write(20);
    scene.settle().await;
    scene.daemon().freeze(true);
    scene.write(20);
    tokio::time::sleep(STILL).await;
    scene.daemon().freeze(false);
    scene.write(20);
    scene.settle().await;
    scene.stop().await;
    Outcome::Held(format!("{}; frozen for {} s", invariants::check(&scene, &ALL), STILL.as_secs()))
}

/// F13: answers drip at 100 bytes a second; another pool does not notice.
pub(crate) async fn drip(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let other = World::builtin().await;
    let mut second = other.config().pools.remove(0);
    second.name = "other".into();
    scene.config.pools.push(second);
    scene.start_ready().await;
    let both = |scene: &Scene| {
        let lines = scene.daemon().lines();
        lines.iter().filter(|line| line.message() == "compared the whole pool").count() >= 2
    };
    until(LIMIT, "both pools are followed", || if both(&scene) { Ok(()) } else { Err("one".to_owned()) })
        .await;
    scene.world.alike().await;
    scene.remember_picture();
    scene.proxy.treat(Treatment::Throttle(100));
    scene.write(20);
    // What happens in the other pool is acted on at once, again and again.
    let mut longest = Duration::ZERO;
    for name in ["web-1", "web-2", "web-3"] {
        let pool = other.pool();
        let vm = pool.find_vm(name).expect("the built-in pool has it");
        let runs = |pool: &simulator::PoolHandle| {
            pool.record("VM", &vm).is_some_and(|vm| vm.text("power_state") == "Running")
        };
        assert!(pool.wait_until(LIMIT, runs).await, "{name} did not run");
        let begun = Instant::now();
        pool.crash(&vm).expect("a running VM can crash");
        assert!(pool.wait_until(LIMIT, runs).await, "the other pool waits for the slow one");
        longest = longest.max(begun.elapsed());
    }
    scene.proxy.treat(Treatment::Forward);
    scene.settle().await;
    scene.stop().await;
    let held = [
        invariants::Invariant::I3,
        invariants::Invariant::I4,
        invariants::Invariant::I5,
        invariants::Invariant::I8,
        invariants::Invariant::I9,
        invariants::Invariant::I10,
    ];
    let checked = invariants::check(&scene, &held);
    Outcome::Held(format!("{checked}; the other pool was served in {:.1} s at most", longest.as_secs_f64()))
}
