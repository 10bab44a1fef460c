//! Plugins fail, and attack.

use std::time::Duration;

use e2e::{Daemon, Grant, KEEPALIVE_GRANT, LIMIT, until};

use crate::invariants::{self, ALL};
use crate::scene::{Door, Scene, WITNESS};
use crate::table::Outcome;

const LIMITS: &str = "[limits]\ncpu = \"200ms\"\nmemory = \"16MiB\"\nhost_calls = 1000\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";

/// The names of plugins that are bad on purpose begin so; they owe nothing.
pub(crate) fn bad(guest: &str) -> Grant {
    Grant { name: format!("bad_{guest}"), ..Grant::guest(guest, LIMITS) }
}

/// The plugins that owe everything.
pub(crate) fn good() -> Vec<String> {
    vec!["witness".into(), "vm-keepalive".into()]
}

/// F20: a plugin traps on each event. It is tried again with longer pauses, given up or left alone, and nobody else waits.
pub(crate) async fn poison(seed: u64) -> Outcome {
    const ATTEMPTS: u64 = 4;
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.config.grants.push(bad("panic"));
    scene.config.grants.push(bad("give_up"));
    scene.begin().await;
    let vm = scene.pool().find_vm("web-1").expect("the built-in pool has web-1");
    scene.pool().set("VM", &vm, "name_description", "poison").expect("a VM takes a description");
    let state = scene.state();
    let pauses = until(LIMIT, "it is tried again and again", || {
        let lines = scene.daemon().lines();
        let failed = lines
            .iter()
            .filter(|line| line.text("plugin") == "bad_panic" && line.message() == "the delivery failed");
        let pauses: Vec<(u64, u64)> =
            failed.filter_map(|line| Some((line.number("attempt")?, line.number("again_in_ms")?))).collect();
        if pauses.iter().any(|(attempt, _)| *attempt >= ATTEMPTS) {
            Ok(pauses)
        } else {
            Err(format!("{pauses:?}"))
        }
    })
    .await;
    for (attempt, pause) in &pauses {
        // One second, two, four and so on, with chance of a part of it.
        let expected = 1_000 << (attempt - 1);
        assert!((expected / 2..=expected * 2).contains(pause), "attempt {attempt} rests {pause} ms");
    }
    let told = until(LIMIT, "what was given up is a dead letter", || {
        let dead = scene.stored().dead();
        dead.iter().find(|dead| dead.0 == "bad_give_up").cloned().ok_or_else(|| format!("{dead:?}"))
    })
    .await;
    assert!(told.2.contains("on purpose"), "{told:?}");
    // Failing on one event after the other it is left alone for a while, and the others get all of them.
    scene.write(50);
    scene.settle_in(&state, &good()).await;
    let left_alone = scene.daemon().wait_for("it is left alone", |line| {
        line.text("plugin") == "bad_panic" && line.message().contains("keeps failing and gets no events")
    });
    left_alone.await;
    scene.write(50);
    scene.settle_in(&state, &good()).await;
    scene.stop().await;
    let attempts = pauses.len();
    Outcome::Held(format!("{}; {attempts} failed attempts, then left alone", invariants::check(&scene, &ALL)))
}

/// F21: computing without end, memory, recursion, logs, calls of the host. Each is stopped by its own limit, and others
/// work meanwhile.
pub(crate) async fn attack(seed: u64) -> Outcome {
    let attacks = [
        ("loop_forever", "computing time"),
        ("out_of_memory", "memory"),
        ("deep_recursion", "stack"),
        ("call_flood", "host calls"),
        ("panic", "a guest panics on purpose"),
        ("log_flood", ""),
    ];
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.config.grants = vec![Grant::guest("witness", WITNESS), Grant::keepalive(KEEPALIVE_GRANT)];
    scene.config.grants.extend(attacks.iter().map(|(guest, _)| bad(guest)));
    scene.begin().await;
    let state = scene.state();
    for _ in 0..5 {
        scene.write(20);
        scene.settle_in(&state, &good()).await;
    }
    for (guest, words) in attacks.iter().filter(|(_, words)| !words.is_empty()) {
        let what = format!("{guest} is stopped by its limit");
        let stopped = scene.daemon().wait_for(&what, |line| {
            line.text("plugin") == format!("bad_{guest}")
                && (line.text("why").contains(words) || line.message().contains(words))
        });
        stopped.await;
    }
    let logged: usize = scene.daemon().lines().iter().map(|line| line.raw.len()).sum();
    assert!(logged < 64 * 1024 * 1024, "{logged} bytes of log");
    let peak = super::answers::memory_peak(scene.daemon().process());
    assert!(peak < 600 * 1024, "the daemon took {peak} KiB of memory");
    let pace = scene.slowest_recovery;
    assert!(pace < Duration::from_secs(30), "the others waited for {pace:?}");
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!(
        "{checked}; {} attackers, the others waited {:.1} s at most",
        attacks.len(),
        pace.as_secs_f64()
    ))
}

/// F19: a plugin takes ten seconds for each event: its queue grows, on disk, and nobody else waits.
pub(crate) async fn slow(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let mut slow = bad("loop_forever");
    slow.rules = slow.rules.replace("200ms", "10s");
    scene.config.grants.push(slow);
    scene.begin().await;
    let state = scene.state();
    for _ in 0..20 {
        scene.write(20);
        scene.settle_in(&state, &good()).await;
    }
    let stored = scene.stored();
    let behind = stored.last() - stored.cursor("bad_loop_forever").unwrap_or_default();
    assert!(behind > 100, "the slow plugin is only {behind} behind: this shows nothing");
    let pace = scene.slowest_recovery;
    assert!(pace < Duration::from_secs(30), "the others waited for {pace:?}");
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; it was {behind} behind, the others {:.1} s", pace.as_secs_f64()))
}

/// F22: files that are no plugin are named and left out; one that is replaced while it runs goes on as it was.
pub(crate) async fn bad_binary(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let folder = scene.world.folder().to_owned();
    let good_bytes = std::fs::read(e2e::guest("witness")).expect("the guest is built");
    let own = folder.join("witness.wasm");
    std::fs::write(&own, &good_bytes).expect("a component can be copied");
    scene.config.grants[0].component = own.clone();
    let random: Vec<u8> = (0..100_000).map(|_| rand::RngExt::random(&mut scene.random)).collect();
    let mut headed = b"\0asm\x0d\0\x01\0".to_vec();
    headed.extend(&random);
    let half = good_bytes.iter().take(good_bytes.len() / 2).copied().collect();
    for (name, bytes) in [
        ("bad_random", random),
        ("bad_headed", headed),
        ("bad_half", half),
        ("bad_module", b"\0asm\x01\0\0\0".to_vec()),
        ("bad_empty", Vec::new()),
    ] {
        let component = folder.join(format!("{name}.wasm"));
        std::fs::write(&component, bytes).expect("a file can be written");
        scene.config.grants.push(Grant { name: name.into(), component, rules: String::new() });
    }
    let config = scene.config.write(&folder);
    let daemon = Daemon::start(&config, &folder);
    scene.adopt(daemon);
    for name in ["bad_random", "bad_headed", "bad_half", "bad_module", "bad_empty"] {
        let what = format!("{name} is left out");
        let told = scene
            .daemon()
            .wait_for(&what, |line| line.text("plugin") == name && line.message().contains("left out"));
        told.await;
    }
    scene.picture().await;
    scene.write(20);
    let state = scene.state();
    scene.settle_in(&state, &good()).await;
    std::fs::write(&own, b"replaced").expect("a file can be replaced");
    scene.write(20);
    scene.settle_in(&state, &good()).await;
    scene.stop().await;
    std::fs::write(&own, &good_bytes).expect("a file can be put back");
    scene.start_ready().await;
    scene.settle_in(&state, &good()).await;
    scene.stop().await;
    Outcome::Held(format!("{}; 5 files left out, 1 replaced while it ran", invariants::check(&scene, &ALL)))
}
