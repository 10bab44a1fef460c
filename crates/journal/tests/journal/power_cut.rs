//! The power goes: what was acknowledged is on the disk itself, not only in the system's memory.
//!
//! The journal lives on a file system in an image that writes to the image only when it is told to. Copying the image
//! while the writer is stopped gives what a disk would hold at that moment. It needs root, loop devices and ext4.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::killed;
use crate::skipped::skipped;

const ROUNDS: usize = 2;

/// A copy that was torn by a write of the file system itself cannot be mounted; then the round is played again.
const TORN_COPIES: usize = 5;

fn does(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

struct Mounted {
    folder: TempDir,
}

impl Mounted {
    fn new(image: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let (image, on) = (image.to_str()?, folder.path().to_str()?);
        // Made only when it is mounted: dropping it unmounts.
        if does("mount", &["-o", "loop,commit=600", image, on]) { Some(Self { folder }) } else { None }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.folder.path().display()
        );
    }
}

fn image(folder: &Path) -> Option<PathBuf> {
    let image = folder.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(64 * 1024 * 1024)).ok()?;
    does("mkfs.ext4", &["-qF", image.to_str()?]).then_some(image)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut rounds, mut torn) = (0, 0);
    while rounds < ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let disk = image(folder.path()).and_then(|image| Some((Mounted::new(&image)?, image)));
        let Some((disk, image)) = disk else {
            return skipped("a power cut needs root, loop devices and mkfs.ext4");
        };
        let cut = folder.path().join("cut");
        let acknowledged = killed::one_life(disk.folder.path(), 150 + 100 * rounds, |process| {
            assert!(does("kill", &["-STOP", &process.to_string()]));
            assert!(does("cp", &["--sparse=always", image.to_str().unwrap(), cut.to_str().unwrap()]));
        });
        match Mounted::new(&cut) {
            Some(after) => {
                runtime.block_on(killed::inspect(after.folder.path(), 1, &acknowledged));
                rounds += 1;
            }
            None => {
                torn += 1;
                assert!(torn < TORN_COPIES, "the copies cannot be mounted");
            }
        }
    }
}
