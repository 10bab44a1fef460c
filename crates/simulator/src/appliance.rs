//! Appliances: VMs that start and stop together, one order after another.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::failures;
use crate::machine::Kind;
use crate::methods::Entry;
use crate::operation::{Mark, Operation, Stage};
use crate::pool::Pool;
use crate::tasks::Outcome;

/// Methods of appliances.
pub(crate) const METHODS: &[Entry] = &[
    ("VM_appliance", "start", |pool, a| begin(pool, a, &START)),
    ("VM_appliance", "clean_shutdown", |pool, a| begin(pool, a, &CLEAN_SHUTDOWN)),
    ("VM_appliance", "hard_shutdown", |pool, a| begin(pool, a, &HARD_SHUTDOWN)),
    ("VM_appliance", "shutdown", |pool, a| begin(pool, a, &SHUTDOWN)),
    ("VM_appliance", "destroy", destroy),
];

/// What an appliance can do as a whole.
struct Whole {
    word: &'static str,
    kind: Kind,
    /// VMs in these states take part.
    states: &'static [&'static str],
    /// The field that says how long to wait after each order, in seconds.
    delay: &'static str,
    /// Whether the highest order goes first.
    backwards: bool,
}

const START: Whole =
    Whole { word: "start", kind: Kind::Start, states: &["Halted"], delay: "start_delay", backwards: false };
const CLEAN_SHUTDOWN: Whole = Whole {
    word: "clean_shutdown",
    kind: Kind::CleanShutdown,
    states: &["Running"],
    delay: "shutdown_delay",
    backwards: true,
};
const HARD_SHUTDOWN: Whole = Whole {
    word: "hard_shutdown",
    kind: Kind::HardShutdown,
    states: &["Running", "Paused", "Suspended"],
    delay: "shutdown_delay",
    backwards: true,
};
const SHUTDOWN: Whole =
    Whole { word: "shutdown", kind: Kind::Shutdown, states: HARD_SHUTDOWN.states, ..CLEAN_SHUTDOWN };
const WHOLES: &[&Whole] = &[&START, &CLEAN_SHUTDOWN, &HARD_SHUTDOWN, &SHUTDOWN];

/// What may be done with an appliance now.
pub(crate) fn allowed(pool: &Pool, appliance: &str) -> Vec<&'static str> {
    let able = WHOLES.iter().rev().filter(|whole| refusal(pool, appliance, whole).is_none());
    able.map(|whole| whole.word).collect()
}

/// Orders one after another; in each, all VMs together.
fn begin(pool: &mut Pool, a: &Arguments, whole: &'static Whole) -> Result<Outcome, Failure> {
    let appliance = SmolStr::new(a.text(0));
    pool.known("VM_appliance", &appliance)?;
    if let Some(failure) = refusal(pool, &appliance, whole) {
        return Err(failure);
    }
    let paused = whole.kind == Kind::Start && a.truth(1);
    let mut orders = orders(pool, &appliance, whole);
    let all = orders.len();
    let mut moving: Vec<(SmolStr, Option<SmolStr>)> = Vec::new();
    // Whether the present stage is the wait after an order.
    let mut waited = true;
    let mut failed = false;
    let operation = Operation::staged(move |pool: &mut Pool, _: &str| {
        let mut delay = 0i64;
        for (vm, host) in std::mem::take(&mut moving) {
            failed |= pool.finish_now(whole.kind, &vm, host, paused).is_err();
            delay = delay.max(pool.database.int("VM", &vm, whole.delay));
            waited = false;
        }
        let done = all.saturating_sub(orders.len());
        let progress = f64::from(u32::try_from(done).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(all.max(1)).unwrap_or(u32::MAX));
        if !waited && delay > 0 && !orders.is_empty() {
            waited = true;
            // A delay beyond what fits is as good as for ever.
            let seconds = f64::from(u32::try_from(delay).unwrap_or(u32::MAX));
            return Stage::Next { seconds, progress, marks: Vec::new() };
        }
        while !orders.is_empty() {
            let mut marks = Vec::new();
            for vm in orders.remove(0) {
                match pool.begin_now(whole.kind, &vm) {
                    Ok(host) => {
                        marks.push(Mark { class: "VM", reference: vm.clone(), word: whole.kind.word() });
                        moving.push((vm, host));
                    }
                    Err(_) => failed = true,
                }
            }
            if !moving.is_empty() {
                return Stage::Next { seconds: whole.kind.seconds(), progress, marks };
            }
        }
        Stage::Done(if failed {
            Err(Failure::new("OPERATION_PARTIALLY_FAILED", [whole.word]))
        } else {
            Ok(Value::VOID)
        })
    });
    Ok(operation.on("VM_appliance", &appliance, whole.word).into())
}

/// `VM_appliance.destroy`: its VMs stay.
fn destroy(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let appliance = a.text(0);
    pool.known("VM_appliance", appliance)?;
    if let Some((task, word)) = pool.current("VM_appliance", appliance).first() {
        return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM_appliance", appliance, word, task]));
    }
    for vm in pool.database.words("VM_appliance", appliance, "VMs") {
        pool.database.write("VM", &vm, "appliance", NULL_REF);
    }
    pool.database.delete("VM_appliance", appliance);
    Ok(Value::VOID.into())
}

fn refusal(pool: &Pool, appliance: &str, whole: &Whole) -> Option<Failure> {
    if let Some((task, word)) = pool.current("VM_appliance", appliance).first() {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM_appliance", appliance, word, task]));
    }
    let vms = pool.database.words("VM_appliance", appliance, "VMs");
    if vms.is_empty() {
        return Some(failures::not_allowed("Appliance has no VMs."));
    }
    let able = vms.iter().any(|vm| whole.states.contains(&pool.database.text("VM", vm, "power_state")));
    (!able).then(|| failures::not_allowed("No VM of the appliance is in a state for this."))
}

/// The VMs that take part, those of one order together.
fn orders(pool: &Pool, appliance: &str, whole: &Whole) -> Vec<Vec<SmolStr>> {
    let mut vms: Vec<(i64, SmolStr)> = pool
        .database
        .words("VM_appliance", appliance, "VMs")
        .into_iter()
        .filter(|vm| whole.states.contains(&pool.database.text("VM", vm, "power_state")))
        .map(|vm| (pool.database.int("VM", &vm, "order"), vm))
        .collect();
    vms.sort();
    let mut orders: Vec<Vec<SmolStr>> = Vec::new();
    let mut last = None;
    for (order, vm) in vms {
        match orders.last_mut() {
            Some(together) if last == Some(order) => together.push(vm),
            _ => orders.push(vec![vm]),
        }
        last = Some(order);
    }
    if whole.backwards {
        orders.reverse();
    }
    orders
}
