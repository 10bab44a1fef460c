//! The wall clock is set while the daemon runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Daemon, LIMIT, Line, until};

use crate::invariants::{self, ALL};
use crate::scenarios::plugins::{bad, good};
use crate::scene::{Door, Scene};
use crate::table::Outcome;

/// Where distributions keep the library that lies to a process about the time.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// By how much the clock is off, one after the other, while a delivery rests.
const JUMPS: [&str; 3] = ["+1d", "-10y", "+10y"];

/// F7: a day and ten years forth and back.
pub(crate) async fn jumps(seed: u64) -> Outcome {
    let Some(library) = library() else {
        return Outcome::Skipped(format!("there is no {LIBRARY}; Debian has it in the package faketime"));
    };
    let mut scene = Scene::new(seed, Door::Https).await;
    let offset = scene.world.folder().join("clock");
    set(&offset, "+0");
    // One that rests between attempts whenever the clock jumps.
    scene.config.grants.push(bad("panic"));
    let config = scene.config.write(scene.world.folder());
    let mut command = e2e::command(&e2e::xapiary());
    command.arg("run").arg("--config").arg(config);
    lie(&mut command, &library, &offset);
    let daemon = Daemon::start_as(command, scene.world.folder());
    scene.adopt(daemon);
    scene.daemon().wait_for_message("ready").await;
    scene.picture().await;
    let state = scene.state();
    let vm = scene.pool().find_vm("web-1").expect("the built-in pool has web-1");
    scene.pool().set("VM", &vm, "name_description", "poison").expect("a VM takes a description");
    let mut attempts = 0;
    for jump in JUMPS {
        attempts = attempted(&scene, attempts + 1).await;
        set(&offset, jump);
        // Few enough that the failing plugin is not left alone.
        scene.write(1);
        scene.settle_in(&state, &good()).await;
    }
    attempts = attempted(&scene, attempts + 1).await;
    for jump in ["-1d", "+0"] {
        set(&offset, jump);
        scene.write(30);
        scene.settle_in(&state, &good()).await;
    }
    let times: Vec<i64> = years(&scene);
    let (earliest, latest) = (times.iter().min().copied(), times.iter().max().copied());
    let span = latest.zip(earliest).map_or(0, |(latest, earliest)| latest - earliest);
    assert!(span >= 19, "the clock that the daemon saw went over {span} years only: this shows nothing");
    let logins = scene.pool().calls().logins.len();
    assert_eq!(logins, 1, "a jump of the clock cost the session");
    let failed = |line: &&Line| line.message() == "the delivery failed" && line.text("plugin") != "bad_panic";
    let failed = scene.daemon().lines().iter().filter(failed).count();
    assert_eq!(failed, 0, "a jump of the clock made deliveries fail");
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    Outcome::Held(format!(
        "{checked}; one login over {} jumps, {attempts} attempts of a delivery that fails",
        JUMPS.len() + 2
    ))
}

/// Waits until the plugin that fails was tried at least so often with the first of its events, and gives how often it was.
async fn attempted(scene: &Scene, least: u64) -> u64 {
    until(LIMIT, "what rests is tried again in its time", || {
        let lines = scene.daemon().lines();
        let failed = lines.iter().filter(|line| line.text("plugin") == "bad_panic");
        let attempts = failed.filter_map(|line| line.number("attempt")).max().unwrap_or_default();
        if attempts >= least { Ok(attempts) } else { Err(format!("{attempts} attempts, wanted {least}")) }
    })
    .await
}

/// The years in which events were written down, by the daemon's clock.
fn years(scene: &Scene) -> Vec<i64> {
    let lines = scene.daemon().lines();
    let year = |line: &Line| line.text("timestamp").split('-').next()?.parse().ok();
    lines.iter().filter_map(year).collect()
}

fn set(file: &Path, offset: &str) {
    // In one step, since it is read at any moment.
    let beside = file.with_extension("new");
    std::fs::write(&beside, format!("{offset}\n")).expect("the offset can be written");
    std::fs::rename(&beside, file).expect("the offset can be put in place");
}

fn lie(command: &mut Command, library: &Path, offset: &Path) {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_NO_CACHE", "1")
        // A real clock is set without the time since the boot being touched.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

fn library() -> Option<PathBuf> {
    let machine = std::env::consts::ARCH;
    let folders = [format!("/usr/lib/{machine}-linux-gnu"), "/usr/lib64".into(), "/usr/lib".into()];
    folders.iter().map(|folder| Path::new(folder).join(LIBRARY)).find(|file| file.is_file())
}
