//! Every scenario that is shipped does what it says on the built-in pool, the same each time.

use std::path::{Path, PathBuf};

use simulator::{Doors, Happening, Options, PoolHandle, Scenario, Simulator};

use crate::client::SOON;
use crate::real::files;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios")
}

/// What a scenario does in the made-up pool of a seed, from its beginning to its end.
async fn done(text: &str, seed: u64) -> Vec<Happening> {
    let length = Scenario::parse(text).unwrap().length().unwrap();
    // A last step, to see by it that the others are over.
    let last = length.as_millis() + 1;
    let text = format!("{text}\n[[step]]\nat = \"{last}ms\"\ndo = \"drop-connections\"");
    let simulator = Simulator::builtin(Options { speed: 100.0, seed, ..Options::default() }).unwrap();
    let doors = Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() };
    let running = simulator.open(doors).await.unwrap();
    let pool = running.pool();
    pool.begin(&Scenario::parse(&text).unwrap());
    let over = |pool: &PoolHandle| pool.happenings(0).last().is_some_and(|happening| happening.at > length);
    assert!(pool.wait_until(SOON, over).await);
    let mut happened = pool.happenings(0);
    happened.retain(|happening| happening.at <= length);
    happened
}

#[tokio::test]
async fn each_does_what_it_says_and_the_same_for_the_same_seed() {
    let mut tried = 0;
    for file in files(&folder()) {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!scenario.about().is_empty(), "{name} says what it is for");
        let once = done(&text, 1).await;
        let steps = text.lines().filter(|line| *line == "[[step]]").count();
        assert!(once.iter().filter(|happening| !happening.load).count() >= steps, "{name}: {once:#?}");
        let idle = once.iter().find(|happening| happening.what.starts_with("nothing happens"));
        assert_eq!(idle, None, "{name}");
        assert_eq!(done(&text, 1).await, once, "{name}");
        tried += 1;
    }
    assert!(tried >= 6, "only {tried} scenarios");
}

#[tokio::test]
async fn another_seed_chooses_others() {
    let text = std::fs::read_to_string(folder().join("busy-morning.toml")).unwrap();
    let (one, other) = (done(&text, 1).await, done(&text, 2).await);
    assert!(one.iter().any(|happening| happening.load), "a load is in it");
    assert_ne!(one, other);
}
