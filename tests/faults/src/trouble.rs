//! What the pool does meanwhile: VMs get new descriptions, and each description is one that no VM ever had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use simulator::PoolHandle;
use smol_str::{SmolStr, format_smolstr};
use tokio::task::JoinHandle;
use xapi::Value;

/// Somebody who changes the pool without end.
#[derive(Debug)]
pub(crate) struct Trouble {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

/// The VMs that are changed: all that are no templates.
///
/// # Panics
/// When the pool has none.
#[must_use]
pub(crate) fn vms(pool: &PoolHandle) -> Vec<SmolStr> {
    let template =
        |vm: &xapi::model::Record| vm.get("is_a_template").and_then(Value::as_bool).unwrap_or(true);
    let vms = pool.records("VM").into_iter().filter(|vm| !template(vm));
    let vms: Vec<SmolStr> = vms.map(|vm| vm.reference).collect();
    assert!(!vms.is_empty(), "the pool has no VMs");
    vms
}

/// Gives a VM that chance chooses a new description.
///
/// # Panics
/// When the pool does not take it.
pub(crate) fn write(pool: &PoolHandle, vms: &[SmolStr], random: &mut StdRng) {
    let vm = vms.get(random.random_range(0..vms.len())).expect("the range is that of the list");
    let text = format_smolstr!("{:016x}", random.random::<u64>());
    pool.set("VM", vm, "name_description", text).expect("a VM takes a description");
}

impl Trouble {
    /// Begins, with so much time between two changes.
    #[must_use]
    pub(crate) fn begin(pool: PoolHandle, seed: u64, pause: Duration) -> Trouble {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut pace = tokio::time::interval(pause);
            let vms = vms(&pool);
            let mut writes = 0;
            while !asked.load(Ordering::SeqCst) {
                pace.tick().await;
                write(&pool, &vms, &mut random);
                writes += 1;
            }
            writes
        });
        Trouble { stop, task }
    }

    /// Ends it; how many changes there were.
    ///
    /// # Panics
    /// When it failed before.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("the pool takes changes")
    }
}
