//! The pool restarts, ends sessions, forgets.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::{Grant, KEEPALIVE_GRANT, LIMIT, World, until};
use rand::RngExt as _;
use xapi::Struct;

use crate::invariants::{self, ALL};
use crate::proxy::Treatment;
use crate::scene::{Door, Scene};
use crate::table::Outcome;
use crate::trouble::Trouble;

/// More deletions than a table of the pool remembers.
const DELETIONS: usize = 600;

/// F10: sessions, tasks and remembered deletions are gone, and the counter of changes goes back.
pub(crate) async fn toolstack_restarts(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    invariants::plant(&scene.pool());
    scene.begin().await;
    for lost in [0_u32, 50, 5_000] {
        scene.write(20);
        let heard = scene.daemon().heard();
        if lost == 0 {
            scene.pool().restart_toolstack();
        } else {
            scene.pool().restart_toolstack_losing(lost);
        }
        scene.write(20);
        let compared = scene
            .daemon()
            .wait_after(heard, "everything is read anew", |line| line.message() == "compared the whole pool");
        compared.await;
        scene.settle().await;
    }
    let gaps = scene.stored().changes().iter().filter(|change| change.gap).count();
    assert!(gaps > 0, "nothing was told as a difference, although nobody could see the changes");
    scene.stop().await;
    Outcome::Held(format!("{}; {gaps} after a gap", invariants::check(&scene, &ALL)))
}

/// F11: sessions end in the middle of polls and calls; each is replaced by one login.
pub(crate) async fn sessions_end(seed: u64) -> Outcome {
    const ENDS: usize = 20;
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(10));
    for ends in 0..ENDS {
        let wait = Duration::from_millis(scene.random.random_range(0..300));
        tokio::time::sleep(wait).await;
        scene.note_sessions();
        scene.pool().end_sessions();
        // Whoever had a call under way comes for a new session, and they share one.
        let pool = scene.pool();
        let again = pool.wait_until(LIMIT, |pool| pool.calls().logins.len() > ends + 1).await;
        assert!(again, "no new login after end {ends}");
    }
    trouble.end().await;
    scene.settle().await;
    let seen = scene.pool().calls().logins.len();
    assert!(seen <= ENDS + 1, "{ENDS} ended sessions took {seen} logins: they do not share one");
    scene.stop().await;
    assert_eq!(scene.pool().sessions(), 0, "the last session was not closed");
    Outcome::Held(format!("{}; {seen} logins for {ENDS} ends", invariants::check(&scene, &ALL)))
}

/// F17: the task of a started call is gone with the toolstack: the plugin is told that nobody knows, and the call is not
/// made again.
pub(crate) async fn task_lost(seed: u64) -> Outcome {
    let rules = "[[allow]]\ncall = [\"VM.clone\"]\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    // Slow enough that the copy is still being made when its toolstack goes.
    let mut scene = Scene::at(World::at_speed(0.5).await, seed, Door::Https).await;
    scene.config.grants = vec![Grant::guest("witness", crate::scene::WITNESS), Grant::guest("copier", rules)];
    scene.begin().await;
    let pool = scene.pool();
    // One that is halted, since others cannot be copied.
    let vm = pool.find_vm("lab").expect("the built-in pool has lab");
    pool.set("VM", &vm, "name_description", "to be copied").expect("a VM takes a description");
    let asked = |pool: &simulator::PoolHandle| pool.calls().of("Async.VM.clone") == 1;
    assert!(pool.wait_until(LIMIT, asked).await, "the plugin did not call: {:?}", pool.calls());
    let stored = scene.stored();
    until(LIMIT, "that it was started is on record", || {
        let effects = stored.all_effects();
        let started = effects.iter().any(|effect| effect.plugin == "copier" && effect.is_done());
        if started { Ok(()) } else { Err(format!("{effects:?}")) }
    })
    .await;
    pool.restart_toolstack_losing(1);
    let why = until(crate::scene::RECOVERY, "the plugin is told", || {
        let dead = stored.dead();
        let found = dead.iter().find(|dead| dead.0 == "copier");
        found.map(|dead| dead.2.clone()).ok_or_else(|| format!("{:?}", stored.open_deliveries()))
    })
    .await;
    assert!(why.contains("not known whether it was done"), "{why}");
    scene.settle().await;
    let calls = pool.calls().of("Async.VM.clone");
    assert_eq!(calls, 1, "the call was made again, although nobody knows what became of the first one");
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; one call, and the plugin was told that nobody knows"))
}

/// F18: the pool forgets deletions while nobody can ask it.
pub(crate) async fn many_deletions(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let networks = format!("{KEEPALIVE_GRANT}\n[[read]]\nclass = [\"network\"]\nfields = [\"*\"]\n");
    scene.config.grants = vec![Grant::guest("witness", crate::scene::WITNESS), Grant::keepalive(&networks)];
    let pool = scene.pool();
    let mut made = Vec::new();
    for number in 0..DELETIONS {
        let mut fields = Struct::new();
        fields.insert("name_label", format!("doomed {number}"));
        made.push(pool.create("network", fields).expect("the pool takes a network"));
    }
    scene.begin().await;
    scene.write(20);
    scene.settle().await;
    scene.proxy.treat(Treatment::Reset);
    let heard = scene.daemon().heard();
    scene
        .daemon()
        .wait_after(heard, "the pool is away", |line| line.message().contains("cannot be followed"))
        .await;
    for network in &made {
        pool.delete("network", network).expect("the network is there");
    }
    scene.write(20);
    scene.proxy.treat(Treatment::Forward);
    scene.settle().await;
    let changes = scene.stored().changes();
    for network in &made {
        let told = changes.iter().filter(|change| {
            change.operation == "deleted" && change.old.as_ref().is_some_and(|old| old.reference == *network)
        });
        assert_eq!(told.count(), 1, "the deletion of {network} was not told once");
    }
    scene.stop().await;
    Outcome::Held(format!("{}; {DELETIONS} deletions, each told once", invariants::check(&scene, &ALL)))
}

/// F9: the coordinator goes, a member takes over; its database is older.
pub(crate) async fn failover(seed: u64) -> Outcome {
    // Two doors of one pool: the same port on two addresses of this machine, each with its own certificate.
    let mut coordinator = World::builtin().await;
    let mut scene = Scene::new(seed, Door::Https).await;
    coordinator.close().await;
    let port = scene.world.https().port();
    coordinator.open(Some(SocketAddr::from(([127, 0, 0, 2], port)))).await;
    scene.pool().answer_as_slave_of(Some("127.0.0.2"));
    for pool in &mut scene.config.pools {
        pool.url = format!("https://{}", scene.world.https());
        pool.trust = Some(format!(
            "{{ pin = [\"{}\", \"{}\"] }}",
            scene.world.fingerprint(),
            coordinator.fingerprint()
        ));
    }
    scene.start_ready().await;
    scene.daemon().following().await;
    let (old, stored) = (coordinator.pool(), scene.stored());
    until(LIMIT, "the journal's picture is the coordinator's", || {
        let found = e2e::differences(&old, &stored);
        if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
    })
    .await;
    scene.remember_picture();
    assert_eq!(old.sessions(), 1, "it does not follow the coordinator");
    coordinator.close().await;
    scene.pool().answer_as_slave_of(None);
    scene.write(20);
    scene.settle().await;
    scene.write(20);
    scene.settle().await;
    scene.stop().await;
    assert_eq!(scene.pool().sessions(), 0, "the session is closed at the stop");
    Outcome::Held(invariants::check(&scene, &ALL))
}

/// F16: logins are refused: hardly any try, so that no account is locked; status says why; then it goes on by itself.
pub(crate) async fn login_refused(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.pool().refuse_logins(1);
    let logins = scene.pool().calls().logins.len();
    let heard = scene.daemon().heard();
    scene.pool().end_sessions();
    let refused = scene.daemon().wait_after(heard, "it is refused", |line| {
        line.text("error").contains("SESSION_AUTHENTICATION_FAILED")
    });
    let again = refused.await.number("again_in_s").unwrap_or_default();
    assert!((40..=120).contains(&again), "the next try is in {again} s");
    let (code, status) = scene.world.operator().status();
    assert!(code == 1 && status.to_string().contains("SESSION_AUTHENTICATION_FAILED"), "{code}: {status}");
    scene.write(20);
    scene.settle().await;
    let tried = scene.pool().calls().logins.len() - logins;
    assert_eq!(tried, 2, "one refused, one good");
    scene.stop().await;
    Outcome::Held(format!("{}; tried again after {again} s", invariants::check(&scene, &ALL)))
}
