//! Machine code that is kept between two starts, and when it is not believed.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use plugin_host::{CodeCache, compile, inspect};

use crate::stage::{component, host};

struct Room {
    folder: tempfile::TempDir,
    compiled: Cell<u32>,
}

impl Room {
    fn new() -> Self {
        Room { folder: tempfile::tempdir().unwrap(), compiled: Cell::new(0) }
    }

    /// Loads as a process that has just started, and says how often something has been compiled by now.
    fn load(&self, name: &str) -> u32 {
        let cache = CodeCache::new(self.folder.path().join("code"));
        let (plugin, not_kept) = cache
            .load(&host(), &component(name), |bytes| {
                self.compiled.set(self.compiled.get() + 1);
                compile(bytes).map_err(|error| error.to_string())
            })
            .unwrap();
        assert!(not_kept.is_none(), "{not_kept:?}");
        assert_eq!(plugin.manifest(), &inspect(&component(name)).unwrap().manifest);
        self.compiled.get()
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.path().join("code")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn a_component_is_compiled_once() {
    let room = Room::new();
    assert_eq!(room.load("no_op"), 1);
    assert_eq!(room.load("no_op"), 1, "the second start finds the code");
    assert_eq!(room.load("echo"), 2, "another component has its own");
    assert_eq!(room.files().len(), 2);
}

#[test]
fn what_somebody_else_may_have_written_is_not_run() {
    let room = Room::new();
    room.load("no_op");
    let file = room.files().remove(0);
    let whole = fs::read(&file).unwrap();

    fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap();
    assert_eq!(room.load("no_op"), 2, "the group can write to it");

    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, why) in
        [(&damaged[..], "a bit is different"), (&whole[..5], "most is missing"), (&[], "all is")]
    {
        fs::write(&file, bytes).unwrap();
        let before = room.compiled.get();
        assert_eq!(room.load("no_op"), before + 1, "{why}");
        assert!(fs::read(&file).unwrap() == whole, "it is whole again");
    }

    let elsewhere = room.folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let before = room.compiled.get();
    assert_eq!(room.load("no_op"), before + 1, "a link leads where others may write");

    fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(room.load("no_op"), before + 2, "everybody can put files there");
}

#[test]
fn what_is_not_loaded_any_more_is_forgotten() {
    let room = Room::new();
    room.load("no_op");
    let cache = CodeCache::new(room.folder.path().join("code"));
    cache.forget_others().unwrap();
    assert!(room.files().is_empty());
    CodeCache::new(room.folder.path().join("nowhere")).forget_others().unwrap();
}

#[test]
fn a_place_that_takes_nothing_costs_time_only() {
    let room = Room::new();
    let blocked = room.folder.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let cache = CodeCache::new(blocked);
    let made = |bytes: &[u8]| compile(bytes).map_err(|error| error.to_string());
    let (_plugin, not_kept) = cache.load(&host(), &component("no_op"), made).unwrap();
    assert!(not_kept.unwrap().to_string().contains("blocked"));
    let refused = cache.load(&host(), &component("no_op"), |_| Err("no time".to_owned())).unwrap_err();
    assert_eq!(refused.to_string(), "the component cannot be compiled: no time");
}
