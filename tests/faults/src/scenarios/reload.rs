//! The configuration is read anew while the daemon is at work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::Grant;
use rand::RngExt as _;
use simulator::{Latency, Methods};

use crate::invariants::{self, ALL};
use crate::scene::{Door, Scene, WITNESS};
use crate::table::Outcome;
use crate::trouble::Trouble;

const RELOADS: usize = 40;
/// After so many reloads the daemon is killed once.
const KILL_AFTER: usize = 14;

/// F27: grants and components change at random points while deliveries are made without end: the same plugin as another file,
/// with another subscription, with another grant, taken away and given back, and with a mistake.
pub(crate) async fn under_load(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let folder = scene.world.folder().to_owned();
    let builds = builds(&folder);
    // So that there is always something that runs.
    scene.pool().slow_down(Latency {
        methods: Methods::of("network.create"),
        min: Duration::from_millis(20),
        max: Duration::from_millis(200),
    });
    scene.begin().await;
    let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(50));
    let [mut taken_up, mut refused, mut waited] = [0_usize; 3];
    for round in 1..=RELOADS {
        let wait = Duration::from_millis(scene.random.random_range(0..300));
        tokio::time::sleep(wait).await;
        let build = scene.random.random_range(0..builds.len());
        let concurrency = scene.random.random_range(1..=8);
        let mistake = if scene.random.random_ratio(1, 6) { "[limits]\nmemry = \"1MiB\"\n" } else { "" };
        let witness = Grant {
            component: builds[build].clone(),
            rules: format!("concurrency = {concurrency}\n{WITNESS}{mistake}"),
            ..Grant::guest("witness", "")
        };
        let away = mistake.is_empty() && scene.random.random_ratio(1, 6);
        scene.config.grants[0] = witness.clone();
        let mut config = scene.config.clone();
        if away {
            config.grants.remove(0);
        }
        let _ = config.write(&folder);
        if reload(&scene).await {
            taken_up += 1;
        } else {
            refused += 1;
        }
        if away {
            let _ = scene.config.write(&folder);
            assert!(reload(&scene).await, "what was good is good");
        }
        if !mistake.is_empty() {
            scene.config.grants[0].rules = WITNESS.into();
        }
        if round % KILL_AFTER == 0 {
            waited += waits(&scene);
            scene.kill();
            scene.start_ready().await;
        }
    }
    scene.config.grants[0].rules = format!("concurrency = 8\n{WITNESS}");
    let _ = scene.config.write(&folder);
    assert!(reload(&scene).await, "what was good is good");
    let written = trouble.end().await;
    waited += waits(&scene);
    scene.settle().await;
    scene.stop().await;
    assert!(refused > 0 && waited > 0, "{refused} refused, {waited} waited: this shows nothing");
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!(
        "{checked}; {taken_up} reloads taken up, {refused} refused, {waited} waited for what ran, {written} changes"
    ))
}

/// Asks by a signal and waits for the answer in the log; whether it was taken up.
async fn reload(scene: &Scene) -> bool {
    let heard = scene.daemon().heard();
    scene.daemon().ask_to_reload();
    let answer = scene.daemon().wait_after(heard, "the reload is answered", |line| {
        line.message() == "the configuration was taken up"
            || line.message().starts_with("nothing was taken up")
    });
    answer.await.level() == "INFO"
}

/// How often a version waited for what ran, in this life.
fn waits(scene: &Scene) -> usize {
    let lines = scene.daemon().lines();
    lines.iter().filter(|line| line.message() == "the new version waits for what runs").count()
}

/// The witness as it was built, as another file that does the same, and with another name for its subscription.
fn builds(folder: &Path) -> [PathBuf; 3] {
    let original = e2e::guest("witness");
    let bytes = std::fs::read(&original).expect("the guest is built");
    let (name, other_name) = (b"name = \"described\"", b"name = \"redescrib\"");
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    assert!(!places.is_empty(), "the manifest names it");
    let mut renamed = bytes.clone();
    for at in places {
        renamed[at..at + name.len()].copy_from_slice(other_name);
    }
    // A section of its own with a name and nothing else.
    let other = [bytes.as_slice(), &[0, 6, 5], b"other"].concat();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a component can be written");
        path
    };
    [write("witness-renamed.wasm", &renamed), write("witness-other.wasm", &other), original]
}
