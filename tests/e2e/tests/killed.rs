//! The daemon is killed again and again while the pool changes: nothing is lost, nothing is told twice as new,
//! nothing is done twice.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{
    Config, Grant, KEEPALIVE_GRANT, LIMIT, Line, Stored, StoredChange, StoredEffect, World, differences,
    until,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use simulator::{PoolHandle, Spoil};
use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::model::Record;

const KILLS: usize = 20;

/// Starts whatever is down without ever giving up, and counts every change of a VM, one delivery at a time.
fn config(world: &World) -> Config {
    let tireless = format!("{KEEPALIVE_GRANT}\n[settings]\nmax_starts = 100000\n");
    let counting = "concurrency = 1\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    Config {
        grants: vec![Grant::keepalive(&tireless), Grant::guest("store_writer", counting)],
        ..world.config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing() {
    let seed = std::env::var("XAPIARY_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("the same again: XAPIARY_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let world = World::builtin().await;
    let config = config(&world);
    let pool = world.pool();

    // The first picture, from which every later one must follow by the events.
    let mut daemon = world.start(&config);
    daemon.following().await;
    world.alike().await;
    let mut told: BTreeMap<(SmolStr, SmolStr), Record> = BTreeMap::new();
    for record in world.stored().objects() {
        told.insert((record.class.clone(), record.reference.clone()), record);
    }

    let mut interruptions = Interruptions::default();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(trouble(pool.clone(), world.stored(), random.random(), Arc::clone(&stop)));
    for _ in 0..KILLS {
        // The moment itself is what is random: while it starts, while it compares, while it follows.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..900))).await;
        interruptions.note(&daemon.kill().lines, &world.stored());
        daemon = world.start(&config);
    }
    daemon.following().await;
    stop.store(true, Ordering::SeqCst);
    let (writes, crashes) = writer.await.unwrap();

    let down = |pool: &PoolHandle| -> Vec<String> {
        let kept = pool.records("VM").into_iter().filter(|vm| is_kept(vm) && !is_running(vm));
        kept.map(|vm| vm.text("name_label").to_owned()).collect()
    };
    until(2 * LIMIT, "every VM that is kept alive runs", || match down(&pool) {
        down if down.is_empty() => Ok(()),
        down => Err(format!("{down:?}; {:?}", world.stored().open_deliveries())),
    })
    .await;
    world.alike().await;
    world.settled("vm-keepalive").await;
    world.settled("store_writer").await;
    let ended = daemon.terminate().await;
    assert!(ended.status.success(), "{:?}", ended.status);
    interruptions.look_at(&ended.lines);

    let stored = world.stored();
    let (first, last, count) = stored.span();
    assert_eq!((first, last), (1, count), "the numbers have holes");
    assert_eq!(last, stored.last());
    assert_eq!(stored.dead(), []);
    assert_eq!(stored.open_deliveries(), [] as [String; 0]);

    let changes = stored.changes();
    for change in &changes {
        apply(&mut told, change);
    }
    let kept: BTreeMap<(SmolStr, SmolStr), Record> = stored
        .objects()
        .into_iter()
        .map(|record| ((record.class.clone(), record.reference.clone()), record))
        .collect();
    for (key, record) in &kept {
        assert_eq!(told.get(key), Some(record), "the events of {key:?} do not lead to where it is");
    }
    assert_eq!(told.len(), kept.len(), "the events leave objects that are gone");
    assert_eq!(differences(&pool, &stored), [] as [String; 0]);

    // Whatever the pool was asked to do had been written down before.
    let effects = stored.effects_of("vm-keepalive");
    let asked = pool.calls().of("Async.VM.start");
    assert!(
        effects >= asked && asked > 5,
        "the pool was asked {asked} times, and {effects} intents are in the journal"
    );

    let resumed = once_each(&stored.all_effects(), &interruptions);

    // The guest's count is written with the end of each delivery, so it is the number of deliveries that were ended.
    let of_vms =
        changes.iter().filter(|change| change.new.as_ref().or(change.old.as_ref()).unwrap().class == "VM");
    let of_vms = of_vms.count();
    assert_eq!(stored.state("store_writer", "count").unwrap(), of_vms.to_string());
    let gaps = changes.iter().filter(|change| change.gap).count();
    println!(
        "{writes} writes and {crashes} crashes gave {} changes, {gaps} after a gap, {of_vms} of VMs; {asked} starts, {effects} intents; {resumed} deliveries were cut short after an effect",
        changes.len()
    );
    assert!(
        writes > 100 && crashes > 5 && gaps > 0,
        "{writes} writes, {crashes} crashes, {gaps} gaps are no trouble"
    );
}

/// A delivery: the plugin's name and the event's number.
type Delivery = (String, u64);

/// What was under way at each kill.
#[derive(Default)]
struct Interruptions {
    /// The highest attempt of each delivery that a kill cut short.
    cut: BTreeMap<Delivery, u64>,
    /// The same with what was recorded by then: delivery, attempt, number of effects in the journal.
    kills: Vec<(Delivery, u64, usize)>,
}

impl Interruptions {
    /// Takes in what a killed daemon said and left behind.
    fn note(&mut self, lines: &[Line], stored: &Stored) {
        self.look_at(lines);
        let recorded = stored.all_effects().len();
        for (plugin, sequence, attempt) in stored.unfinished() {
            let delivery = (plugin, sequence);
            let before = self.cut.insert(delivery.clone(), attempt);
            // The same again: a kill can come before the start of the next attempt is on disk, and any effect of it.
            assert!(
                before.is_none_or(|before| before <= attempt),
                "{delivery:?}: {before:?}, then {attempt}"
            );
            self.kills.push((delivery, attempt, recorded));
        }
    }

    /// Whatever ended in this life of the daemon and had been cut short before did so in a higher attempt.
    fn look_at(&self, lines: &[Line]) {
        for line in lines.iter().filter(|line| ["delivered", "the delivery failed"].contains(&line.message()))
        {
            let delivery = (line.text("plugin").to_owned(), line.number("sequence").unwrap());
            if let Some(cut) = self.cut.get(&delivery) {
                assert!(line.number("attempt").unwrap() > *cut, "attempt {cut} was cut short: {}", line.raw);
            }
        }
    }
}

/// No delivery did anything twice, and its attempts only rise; how many were cut short after something was recorded.
fn once_each(effects: &[StoredEffect], interruptions: &Interruptions) -> usize {
    let mut of: BTreeMap<Delivery, Vec<(usize, &StoredEffect)>> = BTreeMap::new();
    for (number, effect) in effects.iter().enumerate() {
        of.entry((effect.plugin.clone(), effect.sequence)).or_default().push((number, effect));
    }
    for (delivery, effects) in &of {
        let places: Vec<(u64, u64)> =
            effects.iter().map(|(_, effect)| (effect.attempt, effect.index)).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "{delivery:?} went back: {effects:?}");
        let mut done = BTreeSet::new();
        for (_, effect) in effects.iter().filter(|(_, effect)| effect.is_done()) {
            let new = done.insert((&effect.method, &effect.arguments));
            assert!(new, "{delivery:?} did the same twice: {effects:?}");
        }
    }
    let mut resumed = 0;
    for (delivery, attempt, recorded) in &interruptions.kills {
        let effects = of.get(delivery).map(Vec::as_slice).unwrap_or_default();
        let (before, after): (Vec<_>, Vec<_>) = effects.iter().partition(|(number, _)| number < recorded);
        resumed += usize::from(before.iter().any(|(_, effect)| effect.attempt == *attempt));
        assert!(
            before.iter().all(|(_, effect)| effect.attempt <= *attempt)
                && after.iter().all(|(_, effect)| effect.attempt > *attempt),
            "{delivery:?} was cut short in attempt {attempt}: {effects:?}"
        );
    }
    resumed
}

/// Follows one event; what it says of before must be what the events before it said.
fn apply(told: &mut BTreeMap<(SmolStr, SmolStr), Record>, change: &StoredChange) {
    let record = change.new.as_ref().or(change.old.as_ref()).unwrap();
    let key = (record.class.clone(), record.reference.clone());
    let before = match &change.new {
        Some(new) => told.insert(key.clone(), new.clone()),
        None => told.remove(&key),
    };
    assert_eq!(
        before, change.old,
        "event {} of {key:?} does not follow from the one before it",
        change.sequence
    );
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        assert_eq!(new.changed_since(old), change.changed, "event {}", change.sequence);
        assert!(!change.changed.is_empty(), "event {} tells no change", change.sequence);
    }
}

/// Changes VMs, makes and removes networks, and crashes what is kept alive, until told to stop; how much of it.
///
/// A VM crashes only after the journal has seen it run. Of one that starts and crashes while no daemon looks there is nothing
/// to tell: it was down before and is down after.
async fn trouble(pool: PoolHandle, stored: Stored, seed: u64, stop: Arc<AtomicBool>) -> (u64, u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut pace = tokio::time::interval(Duration::from_millis(8));
    let (mut writes, mut crashes) = (0, 0);
    let mut made: Vec<SmolStr> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let vms: Vec<Record> = pool.records("VM").into_iter().filter(|vm| !is_template(vm)).collect();
        let vm = &vms[random.random_range(0..vms.len())];
        match random.random_range(0..10) {
            0 if is_running(vm)
                && is_kept(vm)
                && stored.object("VM", &vm.reference).as_ref().is_some_and(is_running) =>
            {
                // Between the look and now it may have stopped.
                crashes += u64::from(pool.crash(&vm.reference).is_ok());
            }
            1 => {
                let mut fields = xapi::Struct::new();
                fields.insert("name_label", format_smolstr!("network {writes}"));
                made.push(pool.create("network", fields).unwrap());
                writes += 1;
            }
            2 if !made.is_empty() => {
                let network = made.swap_remove(random.random_range(0..made.len()));
                pool.delete("network", &network).unwrap();
                writes += 1;
            }
            _ => {
                pool.set("VM", &vm.reference, "name_description", format_smolstr!("write {writes}")).unwrap();
                writes += 1;
            }
        }
    }
    (writes, crashes)
}

fn is_template(vm: &Record) -> bool {
    vm.get("is_a_template").and_then(Value::as_bool) == Some(true)
}

fn is_running(vm: &Record) -> bool {
    vm.text("power_state") == "Running"
}

fn is_kept(vm: &Record) -> bool {
    let tags = vm.get("tags").and_then(Value::as_array).unwrap_or_default();
    !is_template(vm) && tags.iter().any(|tag| tag.as_str() == Some("keepalive"))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_first_picture_it_still_begins_with_it() {
    let world = World::builtin().await;
    let config = world.config();
    let pool = world.pool();
    // It gets its session and no picture, as often as it asks before it is killed.
    pool.spoil_next(3, Some("event.from"), Spoil::Close);
    let daemon = world.start(&config);
    daemon.wait_for_message("connected").await;
    daemon.wait_for_message("the pool cannot be followed for now").await;
    daemon.kill();

    let daemon = world.start(&config);
    let compared = daemon.following().await;
    assert_eq!(compared.truth("first"), Some(true), "{}", compared.raw);
    world.alike().await;
    let objects: usize = world.stored().followed().iter().map(|class| pool.records(class).len()).sum();
    assert_eq!(compared.number("objects"), Some(objects as u64));
    assert_eq!(world.stored().count("change"), 0, "what was there from the beginning is no change");
    assert!(daemon.terminate().await.status.success());
}
