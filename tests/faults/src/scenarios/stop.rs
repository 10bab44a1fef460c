//! The daemon is asked to stop while it is at work.

use std::time::{Duration, Instant};

use e2e::{LIMIT, until};

use crate::invariants::{self, ALL};
use crate::proxy::Treatment;
use crate::scene::{Door, Scene};
use crate::table::Outcome;

/// The drain of the configuration is 5 s; what is beyond is for the end of everything else on a busy machine.
const STOP_MAX: Duration = Duration::from_secs(15);
const ROUNDS: usize = 3;

/// F25: SIGTERM while hundreds of deliveries wait and calls are slow: it ends in time, and what was not done comes again.
pub(crate) async fn under_load(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    let (mut longest, mut left) = (Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        // Each call takes a while, so that a queue builds up; many polls, since a poll folds changes of one VM.
        scene.proxy.treat(Treatment::Delay(Duration::from_millis(150)));
        let before = scene.stored().last();
        for _ in 0..20 {
            scene.write(50);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let stored = scene.stored();
        until(LIMIT, "a queue has built up", || {
            let (last, cursor) = (stored.last(), stored.cursor("witness").unwrap_or_default());
            if last > before && last > cursor + 20 { Ok(()) } else { Err(format!("{cursor} of {last}")) }
        })
        .await;
        let daemon = scene.release();
        let begun = Instant::now();
        let ended = daemon.terminate().await;
        longest = longest.max(begun.elapsed());
        assert!(ended.status.success(), "{:?}", ended.status);
        scene.over(ended);
        left += scene.stored().last() - scene.stored().cursor("witness").unwrap_or_default();
        scene.proxy.treat(Treatment::Forward);
        scene.start_ready().await;
    }
    assert!(longest < STOP_MAX, "a stop took {longest:?}");
    assert!(left > 0, "nothing was left to do at any stop: this shows nothing");
    scene.settle().await;
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!("{checked}; {ROUNDS} stops of at most {:.1} s, {left} left", longest.as_secs_f64()))
}
