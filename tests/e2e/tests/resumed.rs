//! What an earlier run of the daemon left open: it goes on where it was, and does nothing twice.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{
    Config, Daemon, Grant, KEEPALIVE_GRANT, LIMIT, Stored, StoredChange, StoredEffect, World, guest, until,
    vm_keepalive,
};
use std::os::unix::fs::MetadataExt as _;

use simulator::PoolHandle;
use xapi::Value;
use xapi::codec::{Limits, json};

/// Makes networks, and may compute for longer than any test takes.
const CUT_SHORT: &str = r#"
[limits]
cpu = "10m"
[[read]]
class = ["VM", "network"]
fields = ["*"]
[[allow]]
call = ["network.create", "network.add_to_other_config"]
"#;

fn config(world: &World, grant: Grant) -> Config {
    Config { grants: vec![grant], ..world.config() }
}

/// One change of one VM: the number of its event.
async fn changed(pool: &PoolHandle, stored: &Stored) -> u64 {
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "another description").unwrap();
    until(LIMIT, "the change is in the journal", || match &stored.changes_of("VM", &vm)[..] {
        [] => Err(format!("{} events", stored.last())),
        [change] => Ok(change.sequence),
        more => panic!("{more:?}"),
    })
    .await
}

/// Waits until both calls of an attempt are in the journal with their outcomes.
async fn called(stored: &Stored, attempt: u64) {
    until(LIMIT, &format!("attempt {attempt} has called"), || {
        let effects = stored.all_effects();
        let tagged = effects.iter().find(|effect| effect.attempt == attempt && effect.index == 1);
        if tagged.is_some_and(StoredEffect::is_done) { Ok(()) } else { Err(format!("{effects:?}")) }
    })
    .await;
}

/// A daemon whose guest has made both calls of its first attempt and does not come to an end.
async fn in_the_first_attempt(world: &World, config: &Config) -> (Daemon, Stored, u64) {
    let daemon = world.start(config);
    daemon.following().await;
    let stored = world.stored();
    let sequence = changed(&world.pool(), &stored).await;
    called(&stored, 1).await;
    (daemon, stored, sequence)
}

/// Waits until the only open delivery is in this state, such as `retry`.
async fn open(stored: &Stored, state: &str) {
    until(LIMIT, &format!("a delivery is in state {state}"), || match &stored.open_deliveries()[..] {
        [open] if open.split(' ').nth(3) == Some(state) => Ok(()),
        others => Err(format!("{others:?}, dead: {:?}", stored.dead())),
    })
    .await;
}

/// Waits until the guest has ended well, and judges what its three attempts did, of which the first was killed.
async fn made_once(world: &World, daemon: Daemon, sequence: u64) {
    world.settled("cut_short").await;
    let (pool, stored) = (world.pool(), world.stored());
    assert_eq!(stored.dead(), []);
    let calls = pool.calls();
    assert_eq!(calls.of("network.create"), 1, "{calls:?}");
    assert_eq!(calls.of("network.add_to_other_config"), 3, "{calls:?}");

    let networks = pool.records("network").into_iter();
    let made: Vec<_> = networks.filter(|network| network.text("name_label") == "made once").collect();
    let [made] = &made[..] else { panic!("not one network: {made:#?}") };
    let notes = made.get("other_config").and_then(Value::as_struct).unwrap();
    for attempt in 1..=3 {
        let note = notes.get(&format!("attempt {attempt}")).and_then(Value::as_str);
        assert_eq!(note, Some("was here"), "attempt {attempt} was given another network: {notes:?}");
    }

    let effects = stored.all_effects();
    let seen: Vec<_> = effects
        .iter()
        .map(|effect| {
            (effect.sequence, effect.attempt, effect.index, effect.method.as_str(), effect.is_done())
        })
        .collect();
    let tag = "network.add_to_other_config";
    assert_eq!(
        seen,
        [
            (sequence, 1, 0, "network.create", true),
            (sequence, 1, 1, tag, true),
            (sequence, 2, 1, tag, true),
            (sequence, 3, 1, tag, true),
        ],
        "what was answered from the record is no effect of its own: {effects:?}"
    );
    for effect in effects.iter().filter(|effect| effect.method == tag) {
        let arguments = json::decode_value(effect.arguments.as_bytes(), &Limits::default()).unwrap();
        let target = arguments.as_array().and_then(|arguments| arguments.first()).and_then(Value::as_str);
        assert_eq!(target, Some(made.reference.as_str()), "attempt {}", effect.attempt);
    }

    let answered = daemon.lines();
    let answered = answered.iter().filter(|line| line.message() == "delivered");
    let answered: Vec<_> = answered.map(|line| (line.number("sequence"), line.number("attempt"))).collect();
    assert_eq!(answered, [(Some(sequence), Some(3))]);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_did_answers_every_later_attempt() {
    let world = World::builtin().await;
    let config = config(&world, Grant::guest("cut_short", CUT_SHORT));
    let (daemon, stored, sequence) = in_the_first_attempt(&world, &config).await;
    daemon.kill();
    assert_eq!(stored.unfinished(), [("cut_short".to_owned(), sequence, 1)]);

    let daemon = world.start(&config);
    made_once(&world, daemon, sequence).await;
}

/// A stop waits for what runs, but not for ever: what does not end in time is cut off, and goes on after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cuts_off_what_does_not_end_in_time_and_it_goes_on_after_the_next_start() {
    let world = World::builtin().await;
    let config = config(&world, Grant::guest("cut_short", CUT_SHORT));
    let (daemon, stored, sequence) = in_the_first_attempt(&world, &config).await;
    let ended = daemon.terminate().await;
    assert!(ended.status.success(), "{:?}", ended.status);
    let stopped = ended.lines.iter().find(|line| line.message() == "stopped").unwrap();
    assert_eq!(stopped.truth("drained"), Some(false), "{}", stopped.raw);
    assert_eq!(world.pool().sessions(), 0, "the session was closed all the same");
    assert_eq!(stored.unfinished(), [("cut_short".to_owned(), sequence, 1)]);

    let daemon = world.start(&config);
    made_once(&world, daemon, sequence).await;
}

/// That an attempt was cut short must outlive the end of the next daemon too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_did_answers_after_a_second_kill_too() {
    let world = World::builtin().await;
    // Long enough for the kill to come before attempt 3; the assertion after it says so if it was not.
    let rules = format!("{CUT_SHORT}\n[settings]\npause_milliseconds = 3000\n");
    let config = config(&world, Grant::guest("cut_short", &rules));
    let (daemon, stored, sequence) = in_the_first_attempt(&world, &config).await;
    daemon.kill();

    let daemon = world.start(&config);
    called(&stored, 2).await;
    open(&stored, "retry").await;
    daemon.kill();
    open(&stored, "retry").await;

    let daemon = world.start(&config);
    made_once(&world, daemon, sequence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_delivery_that_nothing_wants_any_more_becomes_a_dead_letter() {
    let world = World::builtin().await;
    let pool = world.pool();
    // Fails each time, and rests for longer and longer in between.
    let before = Grant { name: "exchanged".into(), component: guest("panic"), rules: String::new() };
    let daemon = world.start(&config(&world, before));
    daemon.following().await;
    let stored = world.stored();
    let sequence = changed(&pool, &stored).await;
    open(&stored, "retry").await;
    assert!(daemon.terminate().await.status.success());
    open(&stored, "retry").await;

    // This one hears of power states only, not of descriptions.
    let rules = KEEPALIVE_GRANT.to_owned();
    let after = Grant { name: "exchanged".into(), component: vm_keepalive(), rules };
    let mut daemon = world.start(&config(&world, after));
    daemon.following().await;
    let (plugin, dead, why) = until(LIMIT, "the delivery is given up", || {
        stored.dead().pop().ok_or_else(|| format!("{:?}", stored.open_deliveries()))
    })
    .await;
    assert_eq!((plugin.as_str(), dead), ("exchanged", sequence));
    assert!(why.contains("subscribe"), "{why}");
    world.settled("exchanged").await;

    // It works on.
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    let runs = |pool: &PoolHandle| pool.record("VM", &vm).unwrap().text("power_state") == "Running";
    assert!(pool.wait_until(LIMIT, runs).await, "the VM is not started");
    world.alike().await;
    world.settled("exchanged").await;
    assert!(daemon.runs());
    assert!(daemon.terminate().await.status.success());
    assert_eq!(stored.cursor("exchanged"), Some(stored.last()));
    assert_eq!(stored.dead().len(), 1, "{:?}", stored.dead());
}

/// What follows from a grant that was widened and narrowed again between runs.
#[tokio::test(flavor = "multi_thread")]
async fn classes_that_come_and_go_with_grants_are_no_news() {
    let world = World::builtin().await;
    let pool = world.pool();
    let narrow = config(&world, Grant::keepalive(KEEPALIVE_GRANT));
    let wider = format!("{KEEPALIVE_GRANT}\n[[read]]\nclass = [\"network\"]\nfields = [\"*\"]\n");
    let wide = config(&world, Grant::keepalive(&wider));
    let networks =
        |world: &World| world.stored().objects().iter().filter(|object| object.class == "network").count();
    let daemon = world.start(&narrow);
    daemon.following().await;
    world.alike().await;
    assert_eq!(networks(&world), 0, "nobody wants them");
    assert!(daemon.terminate().await.status.success());

    // One that is there already is no news, what happens from now on is.
    let daemon = world.start(&wide);
    let there = pool.records("network").len();
    until(LIMIT, "networks are in the picture", || match networks(&world) {
        count if count == there => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    world.alike().await;
    let network = pool.records("network").remove(0).reference;
    pool.set("network", &network, "name_description", "another description").unwrap();
    world.alike().await;
    assert!(daemon.terminate().await.status.success());

    let daemon = world.start(&narrow);
    until(LIMIT, "networks have left the picture", || match networks(&world) {
        0 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    assert!(daemon.terminate().await.status.success());
    let stored = world.stored();
    let of_networks = |change: &StoredChange| {
        change.new.as_ref().or(change.old.as_ref()).is_some_and(|record| record.class == "network")
    };
    let told = stored.changes().into_iter().filter(of_networks);
    assert_eq!(told.map(|change| change.operation).collect::<Vec<_>>(), ["modified"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_compiled_once_and_again_when_its_code_is_damaged() {
    let world = World::builtin().await;
    let config = config(&world, Grant::guest("no_op", ""));
    let started = |config: &Config| {
        let daemon = world.start(config);
        let code = world.state().join("compiled");
        async move {
            daemon.following().await;
            daemon.terminate().await;
            let files: Vec<_> = std::fs::read_dir(code).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            (files[0].clone(), std::fs::metadata(&files[0]).unwrap().ino())
        }
    };
    let (file, first) = started(&config).await;
    assert_eq!(
        started(&config).await,
        (file.clone(), first),
        "the second start reads what the first one made"
    );

    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let (_, mended) = started(&config).await;
    assert_ne!(mended, first, "half a file is replaced");
    assert!(std::fs::read(&file).unwrap() == whole);
}
