//! A small disk for the journal, in a mount namespace of the daemon's own: it goes away with the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::Daemon;
use crate::programs;
use crate::skipped::skipped;
use crate::stored::Stored;

/// A daemon whose state folder is a file system in memory of a few megabytes.
#[derive(Debug)]
pub struct SmallDisk {
    daemon: Daemon,
    /// The folder as we see it, through the daemon's process.
    folder: PathBuf,
}

impl SmallDisk {
    /// Starts `xapiary run` with `state` mounted as such a file system with these mount options, such as `size=8m`;
    /// `None` after saying so when this machine does not let us mount.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(config: &Path, state: &Path, options: &str, folder: &Path) -> Option<SmallDisk> {
        let namespace = ["--map-root-user", "--mount"];
        let try_out = Command::new("unshare")
            .args(namespace)
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(state)
            .output();
        if !try_out.as_ref().is_ok_and(|output| output.status.success()) {
            skipped("this machine does not let us mount a small disk");
            return None;
        }
        let mut command = programs::command(Path::new("unshare"));
        command.args(namespace).args(["sh", "-c"]);
        command.arg("mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\" run --config \"$4\"").arg("sh");
        command.arg(options).arg(state).arg(programs::xapiary()).arg(config);
        let daemon = Daemon::start_as(command, folder);
        let inside = state.strip_prefix("/").expect("a state folder's path is whole");
        let seen = PathBuf::from(format!("/proc/{}/root", daemon.process())).join(inside);
        Some(SmallDisk { daemon, folder: seen })
    }

    /// The daemon.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The state folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies the journal to where it can be read: SQLite does not follow the way through another process.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn stored(&self, copy: &Path) -> Stored {
        fs::create_dir_all(copy).expect("a folder for the copy can be made");
        for name in ["journal.db-shm", "journal.db-wal", "journal.db"] {
            let to = copy.join(name);
            // What an earlier copy left would not fit to this one.
            if to.exists() {
                fs::remove_file(&to).expect("an older copy can be removed");
            }
            if name != "journal.db-shm" {
                fs::copy(self.folder.join(name), to).expect("the journal can be copied");
            }
        }
        Stored::open(copy)
    }

    /// Takes all room that is left.
    ///
    /// # Panics
    /// When there is no end to it.
    pub fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = fs::File::create(self.folder.join("ballast")).expect("a file can be made");
        let piece = vec![b'x'; 4096];
        let fitted = (0..100_000).take_while(|_| ballast.write_all(&piece).is_ok()).count();
        assert!(fitted < 100_000, "the disk is not small");
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn empty(&self) {
        fs::remove_file(self.folder.join("ballast")).expect("the ballast is there");
    }

    /// Gives up the disk for its daemon.
    #[must_use]
    pub fn into_daemon(self) -> Daemon {
        self.daemon
    }
}
