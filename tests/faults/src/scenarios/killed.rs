//! The process is killed.

use std::time::Duration;

use rand::RngExt as _;

use crate::invariants::{self, ALL};
use crate::scene::{Door, Scene};
use crate::table::Outcome;
use crate::trouble::Trouble;

/// How many changes the run has in which it is killed.
const CHANGES: u64 = 2_000;
/// How many kills at random points, at two pools side by side.
const KILLS: usize = 200;

/// F1: killed every 50 to 500 ms after it follows its pool, while 2,000 changes are made.
pub(crate) async fn within_a_run(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    let (mut written, mut kills) = (0, 0);
    while written < CHANGES {
        let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(10));
        let wait = Duration::from_millis(scene.random.random_range(50..500));
        tokio::time::sleep(wait).await;
        scene.kill();
        kills += 1;
        scene.start_ready().await;
        scene.daemon().following().await;
        written += trouble.end().await;
    }
    scene.settle().await;
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; {kills} kills, {written} changes"))
}

/// 200 kills at points of which nothing is known: while it starts, compares, follows, delivers.
pub(crate) async fn two_hundred_times(seed: u64) -> Outcome {
    let half = KILLS / 2;
    let (one, other) =
        tokio::join!(killed_often(seed, half), killed_often(seed.wrapping_add(1), KILLS - half));
    Outcome::Held(format!("{one} + {other}; {KILLS} kills"))
}

async fn killed_often(seed: u64, kills: usize) -> String {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(20));
    for _ in 0..kills {
        // The moment itself is what is random.
        let wait = Duration::from_millis(scene.random.random_range(0..1_600));
        tokio::time::sleep(wait).await;
        scene.kill();
        scene.start();
    }
    scene.daemon().following().await;
    let written = trouble.end().await;
    scene.settle().await;
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    format!("{checked} of {written} changes")
}
