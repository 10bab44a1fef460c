//! The disk is full, files may not grow, power is cut, files are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Daemon, LIMIT, Line, SmallDisk, until};
use rand::RngExt as _;
use rusqlite::Connection;

use crate::invariants::{self, ALL};
use crate::scene::{Door, Scene};
use crate::table::Outcome;
use crate::trouble::Trouble;

/// F4: there is no room, so nothing is taken in; there is room, and it goes on without a restart.
pub(crate) async fn full(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let config = scene.config.write(scene.world.folder());
    let state = scene.state();
    let Some(disk) = SmallDisk::start(&config, &state, "size=24m", scene.world.folder()) else {
        return Outcome::Skipped("this machine does not let us mount a small disk".into());
    };
    let copy = scene.world.folder().join("copy");
    let plugins: Vec<String> = scene.config.grants.iter().map(|grant| grant.name.clone()).collect();
    disk.daemon().following().await;
    let pool = scene.pool();
    let stored = until(LIMIT, "the journal's picture is the pool's own", || {
        let stored = disk.stored(&copy);
        let found = e2e::differences(&pool, &stored);
        if found.is_empty() { Ok(stored) } else { Err(found.join("\n")) }
    })
    .await;
    let of = |it: xapi::model::Record| ((it.class.clone(), it.reference.clone()), it);
    scene.first = Some((stored.last(), stored.objects().into_iter().map(of).collect()));
    scene.note_sessions();
    disk.fill();
    let paused = |line: &Line| line.message().contains("the intake waits until there is room");
    until(LIMIT, "the intake pauses", || {
        scene.write(40);
        if disk.daemon().lines().iter().any(paused) { Ok(()) } else { Err("it goes on".to_owned()) }
    })
    .await;
    scene.write(100);
    let (code, status) = scene.world.operator().status();
    assert_eq!(code, 1, "no room, and all is said to be well: {status}");
    disk.empty();
    disk.daemon().wait_for("the intake goes on", |line| line.message().contains("there is room again")).await;
    settle_copied(&mut scene, &disk, &copy, &plugins).await;
    let ended = disk.into_daemon().terminate().await;
    assert!(ended.status.success(), "{:?}", ended.status);
    let compared = ended.lines.iter().filter(|line| line.message() == "compared the whole pool").count();
    assert_eq!((compared, scene.pool().calls().logins.len()), (1, 1), "it had to begin anew");
    scene.over(ended);
    Outcome::Held(format!("{}; no restart, one login", invariants::check_in(&scene, &copy, &ALL)))
}

/// Waits until the journal in the small disk is where the pool is, copying it each time.
async fn settle_copied(scene: &mut Scene, disk: &SmallDisk, copy: &Path, plugins: &[String]) {
    let pool = scene.pool();
    until(crate::scene::RECOVERY, "everything has arrived and is settled", || {
        let stored = disk.stored(copy);
        let found = e2e::differences(&pool, &stored);
        let behind: Vec<&String> =
            plugins.iter().filter(|plugin| stored.cursor(plugin) != Some(stored.last())).collect();
        if found.is_empty() && behind.is_empty() && stored.open_deliveries().is_empty() {
            Ok(())
        } else {
            Err(format!("{behind:?} behind; {}", found.join("\n")))
        }
    })
    .await;
    scene.settle_in(copy, plugins).await;
}

/// F5: files may not grow beyond a size: the process ends, and starts well once they may.
pub(crate) async fn file_size_limit(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.write(20);
    scene.settle().await;
    let daemon = scene.release();
    // As big as they are, and not a page more.
    let largest = largest_file(&scene.state());
    let set = Command::new("prlimit")
        .arg(format!("--pid={}", daemon.process()))
        .arg(format!("--fsize={}", largest.max(64 * 1024)))
        .output();
    match set {
        Ok(output) if output.status.success() => {}
        other => return Outcome::Skipped(format!("prlimit does not work here: {other:?}")),
    }
    let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(5));
    let ended = daemon.ended(LIMIT).await;
    trouble.end().await;
    assert!(!ended.status.success(), "it could not write and ended as if all were well");
    let how = format!("{}", ended.status);
    scene.over(ended);
    scene.start_ready().await;
    scene.settle().await;
    scene.stop().await;
    Outcome::Held(format!("{}; ended with {how}", invariants::check(&scene, &ALL)))
}

fn largest_file(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the journal's folder can be listed");
    let sizes = files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |data| data.len()));
    sizes.max().unwrap_or_default()
}

/// F6: damage that SQLite can see is named, and nothing is delivered from it; what a write-ahead log holds behind its last
/// whole commit is no damage.
pub(crate) async fn damaged(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    scene.begin().await;
    scene.write(50);
    scene.settle().await;
    scene.kill();
    let file = scene.state().join("journal.db");
    // All of it in one file, so that a damaged page is one that is read.
    let connection = Connection::open(&file).expect("the journal can be opened");
    let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
    assert_eq!(moved.expect("the log can be written back"), 0);
    drop(connection);
    let whole = fs::read(&file).expect("the journal can be read");
    let config = scene.config.write(scene.world.folder());
    let config = config.to_str().expect("a scenario's path is text").to_owned();
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let pages = whole.len() / page;
    let logins = scene.pool().calls().logins.len();

    let mut found = 0;
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("cut to half".into(), whole[..whole.len() / 2].to_vec()),
        ("another head".into(), [b"SQLite format 9\0", &whole[16..]].concat()),
    ];
    for _ in 0..8 {
        // The kind of the page and where its cells are: its first bytes.
        let number = scene.random.random_range(1..pages);
        let mut bytes = whole.clone();
        bytes[number * page] ^= 0x5a;
        cases.push((format!("page {number} of {pages}"), bytes));
    }
    let count = cases.len();
    for (name, bytes) in cases {
        fs::write(&file, bytes).expect("the journal can be damaged");
        let checked = e2e::run(&["journal", "check", "--config", &config]);
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        if checked.status.success() {
            // A page that nothing uses.
            continue;
        }
        found += 1;
        assert!(said.contains("journal"), "{name}: {said}");
        forget_log(&file);
    }
    assert!(found >= count / 2, "{found} of {count} damages were seen");
    assert_eq!(scene.pool().calls().logins.len(), logins, "a check asks nobody");

    // Nonsense behind the last commit in the log is what a torn write leaves.
    fs::write(&file, &whole).expect("the journal can be put back");
    forget_log(&file);
    fs::write(file.with_extension("db-wal"), vec![0x5a; 100_000]).expect("a log can be made");
    scene.start_ready().await;
    scene.write(20);
    scene.settle().await;
    scene.stop().await;
    Outcome::Held(format!("{}; {found} of {count} damages were seen", invariants::check(&scene, &ALL)))
}

fn forget_log(file: &Path) {
    for extension in ["db-wal", "db-shm"] {
        let path = file.with_extension(extension);
        if path.exists() {
            fs::remove_file(path).expect("a log can be removed");
        }
    }
}

/// F2: what was not flushed is gone. The journal lies on a file system in an image; the image is copied while the daemon
/// stands still, so that the copy holds what the disk would, and a daemon starts on the copy.
pub(crate) async fn power_cut(seed: u64) -> Outcome {
    const ROUNDS: usize = 3;
    let mut scene = Scene::new(seed, Door::Https).await;
    let folder = scene.world.folder().to_owned();
    let image = match Image::make(&folder) {
        Ok(image) => image,
        Err(why) => return Outcome::Skipped(why),
    };
    scene.config.state = image.mounted.join("state");
    fs::create_dir(&scene.config.state).expect("a folder for the journal can be made");
    let mut image = Some(image);
    scene.begin().await;
    for round in 0..ROUNDS {
        let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(5));
        let wait = Duration::from_millis(scene.random.random_range(500..2_000));
        tokio::time::sleep(wait).await;
        scene.daemon().freeze(true);
        let before = image.take().expect("there is always an image");
        let copy = before.copy(&folder.join(format!("cut-{round}")));
        scene.kill();
        trouble.end().await;
        drop(before);
        let copy = copy.expect("the copy can be mounted");
        scene.config.state = copy.mounted.join("state");
        image = Some(copy);
        scene.start_ready().await;
        scene.settle().await;
    }
    scene.stop().await;
    let checked = invariants::check(&scene, &ALL);
    drop(image);
    Outcome::Held(format!("{checked}; {ROUNDS} cuts"))
}

/// An image with a file system, mounted. It is unmounted when this is dropped.
struct Image {
    file: PathBuf,
    mounted: PathBuf,
}

impl Image {
    fn make(folder: &Path) -> Result<Image, String> {
        let file = folder.join("disk.img");
        let sized = fs::File::create(&file).and_then(|file| file.set_len(260 << 20));
        sized.expect("an image can be made");
        run(Command::new("mkfs.ext4").arg("-qF").arg(&file))?;
        Image::mount(file, folder.join("disk"))
    }

    fn mount(file: PathBuf, at: PathBuf) -> Result<Image, String> {
        fs::create_dir_all(&at).expect("a place for a mount can be made");
        // Only what is flushed by request reaches the image, not what the file system flushes now and then.
        run(Command::new("mount").args(["-o", "loop,commit=600"]).arg(&file).arg(&at))?;
        Ok(Image { file, mounted: at })
    }

    /// What the disk holds at this moment, mounted elsewhere.
    fn copy(&self, at: &Path) -> Result<Image, String> {
        let file = at.with_extension("img");
        run(Command::new("cp").arg("--sparse=always").arg(&self.file).arg(&file))?;
        Image::mount(file, at.to_owned())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg("--lazy").arg(&self.mounted)) {
            eprintln!("{why}");
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// F26: hardly any file may be opened: what exists goes on, and all goes on once it may.
pub(crate) async fn few_files(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Https).await;
    let config = scene.config.write(scene.world.folder());
    let mut command = Command::new("prlimit");
    command.arg("--nofile=48:1024").arg(e2e::xapiary()).arg("run").arg("--config").arg(config);
    let daemon = Daemon::start_as(command, scene.world.folder());
    scene.adopt(daemon);
    scene.daemon().wait_for_message("ready").await;
    scene.picture().await;
    // As many files as it has and one more: no new connection, no new file.
    let process = scene.daemon().process();
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("the process is there").count();
    let limit = |files: usize| {
        run(Command::new("prlimit").arg(format!("--pid={process}")).arg(format!("--nofile={files}:1024")))
    };
    limit(open).expect("a limit can be set");
    let trouble = Trouble::begin(scene.pool(), scene.random.random(), Duration::from_millis(20));
    scene.proxy.treat(crate::proxy::Treatment::Reset);
    let away = |line: &Line| line.message() == "the pool cannot be followed for now";
    scene.daemon().wait_for("its connections are gone", away).await;
    scene.proxy.treat(crate::proxy::Treatment::Forward);
    tokio::time::sleep(Duration::from_secs(3)).await;
    trouble.end().await;
    limit(1024).expect("a limit can be lifted");
    scene.settle().await;
    scene.stop().await;
    Outcome::Held(format!("{}; {open} files at the limit", invariants::check(&scene, &ALL)))
}
