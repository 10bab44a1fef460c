//! I9 and I10: it comes back by itself, and it starts with a whole journal.

use std::time::Duration;

use super::Evidence;
use crate::scene::RECOVERY;

/// From the start of the process to `ready`. The promise is two seconds; the program here is built without optimisation
/// and shares the machine with others like it.
const READY: Duration = Duration::from_secs(20);

pub(super) fn recovered(evidence: &Evidence<'_>) -> Vec<String> {
    let took = evidence.scene.slowest_recovery;
    let mut broken = Vec::new();
    if took.is_zero() {
        broken.push("nothing was waited for: this shows nothing".to_owned());
    }
    if took > RECOVERY {
        broken.push(format!("it took {took:?} to be where the pool is"));
    }
    broken
}

pub(super) fn starts(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    if evidence.scene.slowest_start > READY {
        broken.push(format!("a start took {:?}", evidence.scene.slowest_start));
    }
    let sqlite = evidence.rows("SELECT quick_check FROM pragma_quick_check");
    if sqlite != ["ok"] {
        broken.push(format!("SQLite finds the journal damaged: {sqlite:?}"));
    }
    // A configuration that names this folder, in a place where no daemon reads it.
    let place = evidence.scene.world.folder().join("check");
    std::fs::create_dir_all(&place).expect("a folder can be made");
    let config =
        e2e::Config { state: evidence.folder.to_owned(), ..evidence.scene.config.clone() }.write(&place);
    let config = config.to_str().expect("a scenario's path is text");
    let checked = e2e::run(&["journal", "check", "--config", config]);
    if !checked.status.success() {
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        broken.push(format!("`xapiary journal check` ends with {:?}: {said}", checked.status.code()));
    }
    broken
}
