//! Emptying a host: its VMs move to others, ten at a time.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use super::assert_host;
use crate::arguments::Arguments;
use crate::machine::Kind;
use crate::operation::{Mark, Operation, Stage};
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// How many VMs move at once when the call does not say.
const BATCH: usize = 10;

pub(super) fn evacuate(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    assert_host(pool, &host, "evacuate")?;
    pool.assert_live(&host)?;
    can_evacuate(pool, &host)?;
    let batch = usize::try_from(a.int(2)).ok().filter(|size| *size > 0).unwrap_or(BATCH);
    let all = pool.guests(&host).len().max(1);
    let mut moving: Vec<(SmolStr, SmolStr)> = Vec::new();
    let left = host.clone();
    let operation = Operation::staged(move |pool: &mut Pool, _: &str| {
        for (vm, target) in std::mem::take(&mut moving) {
            // A VM that was stopped meanwhile needs to move no more.
            if pool.database.text("VM", &vm, "resident_on") == left
                && let Err(failure) = pool.migrate_now(&vm, &target)
            {
                return Stage::Done(Err(failure));
            }
        }
        let rest = pool.guests(&left);
        let mut marks = Vec::new();
        for vm in rest.iter().take(batch) {
            match pool.begin_to_move(vm, &left) {
                Ok(target) => {
                    marks.push(Mark { class: "VM", reference: vm.clone(), word: "pool_migrate" });
                    moving.push((vm.clone(), target));
                }
                Err(failure) => {
                    for (vm, _) in &moving {
                        pool.database.write("VM", vm, "scheduled_to_be_resident_on", xapi::NULL_REF);
                    }
                    return Stage::Done(Err(failure));
                }
            }
        }
        if moving.is_empty() {
            return Stage::Done(Ok(Value::VOID));
        }
        let done = all.saturating_sub(rest.len());
        Stage::Next { seconds: Kind::PoolMigrate.seconds(), progress: share(done, all), marks }
    });
    Ok(operation.on("host", &host, "evacuate").into())
}

pub(super) fn assert_can_evacuate(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    can_evacuate(pool, a.text(0)).map(|()| Value::VOID.into())
}

/// `host.get_vms_which_prevent_evacuation`: VMs with the error that moving them would bring.
pub(super) fn preventing(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    let preventing = obstacles(pool, a.text(0)).into_iter().map(|(vm, failure)| {
        let words = words(&failure).into_iter().map(Value::String).collect();
        (vm, Value::Array(words))
    });
    Ok(Value::Struct(preventing.collect::<Struct>()).into())
}

/// `host.get_uncooperative_resident_VMs`: guests here give back memory when they are asked.
pub(super) fn uncooperative(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    Ok(Value::Array(Vec::new()).into())
}

fn can_evacuate(pool: &Pool, host: &str) -> Result<(), Failure> {
    let errors: Vec<String> =
        obstacles(pool, host).iter().map(|(_, failure)| words(failure).join(",")).collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::new("CANNOT_EVACUATE_HOST", [errors.join("|")])) }
}

/// What keeps VMs on a host: their own state, or that not all of them find a place elsewhere.
fn obstacles(pool: &Pool, host: &str) -> Vec<(SmolStr, Failure)> {
    let mut obstacles = Vec::new();
    let mut movable = Vec::new();
    for vm in pool.guests(host) {
        match pool.vm_refusal(&vm, Kind::PoolMigrate) {
            Some(failure) => obstacles.push((vm, failure)),
            None => movable.push(vm),
        }
    }
    let ways = pool.plan_moves(&movable, host);
    obstacles.extend(movable.into_iter().zip(ways).filter_map(|(vm, way)| way.err().map(|why| (vm, why))));
    obstacles
}

fn words(failure: &Failure) -> Vec<SmolStr> {
    std::iter::once(&failure.code).chain(&failure.parameters).cloned().collect()
}

fn share(part: usize, whole: usize) -> f64 {
    // No host has so many VMs that this would lose anything.
    let exact = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    exact(part) / exact(whole.max(1))
}

impl Pool {
    /// Keeps a place elsewhere for a VM that is about to move.
    fn begin_to_move(&mut self, vm: &str, host: &str) -> Result<SmolStr, Failure> {
        if let Some(failure) = self.vm_refusal(vm, Kind::PoolMigrate) {
            return Err(failure);
        }
        let target = self.choose_host_except(vm, Some(host))?;
        self.database.write("VM", vm, "scheduled_to_be_resident_on", Value::String(target.clone()));
        Ok(target)
    }
}
