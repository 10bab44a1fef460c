//! What one durable write of four kibibytes takes on the disk that the daemon writes to.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

const BLOCK: usize = 4096;
/// The magic number of file systems that lie in memory.
const TMPFS: u64 = 0x0102_1994;

/// Fails when the folder lies in memory, where nothing is durable and every figure is flattering.
pub(crate) fn must_be_real(folder: &Path) -> Result<()> {
    let system = rustix::fs::statfs(folder).with_context(|| format!("looking at {}", folder.display()))?;
    ensure!(
        system.f_type as u64 != TMPFS,
        "{} lies in memory: name a folder on a disk with --folder",
        folder.display()
    );
    Ok(())
}

/// Writes a block and waits until it is on the disk, so many times. The file has its size before, so that each wait
/// is for the data alone: no write could be cheaper.
pub(crate) fn durable_writes(folder: &Path, count: usize) -> Result<Vec<Duration>> {
    let path = folder.join("durable-writes");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let block = [0x58; BLOCK];
    for _ in 0..count {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(took)
}
