//! A VM's memory and processors, and what else is set by more than a write.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::rules;
use crate::arguments::Arguments;
use crate::failures;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// Limits of a VM's memory in bytes, which must be in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    static_min: i64,
    dynamic_min: i64,
    dynamic_max: i64,
    static_max: i64,
}

impl Memory {
    fn check(self) -> Result<Self, Failure> {
        let ordered = 0 <= self.static_min
            && self.static_min <= self.dynamic_min
            && self.dynamic_min <= self.dynamic_max
            && self.dynamic_max <= self.static_max;
        if ordered {
            return Ok(self);
        }
        let order = "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max";
        Err(Failure::new("MEMORY_CONSTRAINT_VIOLATION", [order]))
    }
}

/// Checks the record of a VM that is to be made.
pub(super) fn assert_sound(given: &Struct) -> Result<(), Failure> {
    let int = |field: &str| given.get(field).and_then(Value::as_int).unwrap_or_default();
    Memory {
        static_min: int("memory_static_min"),
        dynamic_min: int("memory_dynamic_min"),
        dynamic_max: int("memory_dynamic_max"),
        static_max: int("memory_static_max"),
    }
    .check()?;
    assert_processors(int("VCPUs_at_startup"), int("VCPUs_max"))
}

pub(super) fn set_memory(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_memory_limits", |memory, a| Memory {
        static_min: memory.static_min.min(a.int(1)),
        dynamic_min: a.int(1),
        dynamic_max: a.int(1),
        static_max: a.int(1),
    })
}

pub(super) fn set_memory_limits(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_memory_limits", |_, a| Memory {
        static_min: a.int(1),
        static_max: a.int(2),
        dynamic_min: a.int(3),
        dynamic_max: a.int(4),
    })
}

pub(super) fn set_dynamic_range(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_dynamic_range", |memory, a| Memory {
        dynamic_min: a.int(1),
        dynamic_max: a.int(2),
        ..memory
    })
}

pub(super) fn set_dynamic_max(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_dynamic_range", |memory, a| Memory { dynamic_max: a.int(1), ..memory })
}

pub(super) fn set_dynamic_min(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_dynamic_range", |memory, a| Memory { dynamic_min: a.int(1), ..memory })
}

pub(super) fn set_static_range(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_static_range", |memory, a| Memory {
        static_min: a.int(1),
        static_max: a.int(2),
        ..memory
    })
}

pub(super) fn set_static_max(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_static_range", |memory, a| Memory { static_max: a.int(1), ..memory })
}

pub(super) fn set_static_min(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.change_memory(a, "changing_static_range", |memory, a| Memory { static_min: a.int(1), ..memory })
}

pub(super) fn compute_overhead(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("VM", a.text(0))?;
    Ok(Value::Int(pool.database.int("VM", a.text(0), "memory_overhead")).into())
}

/// `VM.maximise_memory`: how much a VM could be given out of so much.
pub(super) fn maximise_memory(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("VM", a.text(0))?;
    let overhead = pool.database.int("VM", a.text(0), "memory_overhead");
    Ok(Value::Int(a.int(1).saturating_sub(overhead).max(0)).into())
}

pub(super) fn set_processors_max(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.assert_may(a.text(0), "changing_VCPUs")?;
    assert_processors(pool.database.int("VM", a.text(0), "VCPUs_at_startup"), a.int(1))?;
    pool.database.write("VM", a.text(0), "VCPUs_max", a.int(1));
    Ok(Value::VOID.into())
}

pub(super) fn set_processors_at_startup(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.assert_may(a.text(0), "changing_VCPUs")?;
    assert_processors(a.int(1), pool.database.int("VM", a.text(0), "VCPUs_max"))?;
    pool.database.write("VM", a.text(0), "VCPUs_at_startup", a.int(1));
    Ok(Value::VOID.into())
}

pub(super) fn set_processors_live(pool: &mut Pool, a: &Arguments) -> Answered {
    let vm = a.text(0);
    pool.assert_may(vm, "changing_VCPUs_live")?;
    assert_processors(a.int(1), pool.database.int("VM", vm, "VCPUs_max"))?;
    let metrics = pool.metrics_of(vm);
    pool.database.write("VM_metrics", &metrics, "VCPUs_number", a.int(1));
    Ok(Value::VOID.into())
}

pub(super) fn set_appliance(pool: &mut Pool, a: &Arguments) -> Answered {
    let (vm, appliance) = (a.text(0), a.text(1));
    pool.known("VM", vm)?;
    if appliance != NULL_REF {
        pool.known("VM_appliance", appliance)?;
    }
    if pool.database.truth("VM", vm, "is_control_domain") {
        return Err(failures::not_allowed("Control domains cannot be assigned to an appliance"));
    }
    if pool.database.truth("VM", vm, "is_a_template") {
        return Err(Failure::new("VM_IS_TEMPLATE", [vm]));
    }
    pool.database.write("VM", vm, "appliance", a.value(1));
    Ok(Value::VOID.into())
}

/// A VM becomes a template when nothing speaks against it; a template becomes a VM unless it came with the product.
pub(super) fn set_is_a_template(pool: &mut Pool, a: &Arguments) -> Answered {
    let (vm, template) = (a.text(0), a.truth(1));
    pool.known("VM", vm)?;
    let facts = pool.facts(vm);
    if template
        && !facts.template
        && let Some(failure) = rules::refusal(&facts, "make_into_template")
    {
        return Err(failure);
    }
    if !template && facts.snapshot {
        return Err(Failure::new("VM_IS_SNAPSHOT", [vm, "make_into_template"]));
    }
    if !template && facts.default_template {
        return Err(failures::not_allowed("a default template stays a template"));
    }
    pool.database.write("VM", vm, "is_a_template", template);
    Ok(Value::VOID.into())
}

fn assert_processors(at_startup: i64, max: i64) -> Result<(), Failure> {
    // A record may leave both out: then the VM cannot start before they are set.
    if (at_startup, max) == (0, 0) {
        return Ok(());
    }
    if max < 1 {
        return Err(failures::invalid_value("VCPUs_max", &format_smolstr!("{max}")));
    }
    if at_startup < 1 || at_startup > max {
        return Err(failures::invalid_value("VCPUs_at_startup", &format_smolstr!("{at_startup}")));
    }
    Ok(())
}

impl Pool {
    fn change_memory(
        &mut self,
        arguments: &Arguments,
        word: &str,
        change: fn(Memory, &Arguments) -> Memory,
    ) -> Answered {
        let vm = SmolStr::new(arguments.text(0));
        self.assert_may(&vm, word)?;
        let int = |field| self.database.int("VM", &vm, field);
        let before = Memory {
            static_min: int("memory_static_min"),
            dynamic_min: int("memory_dynamic_min"),
            dynamic_max: int("memory_dynamic_max"),
            static_max: int("memory_static_max"),
        };
        let now = change(before, arguments).check()?;
        let alive = self.database.text("VM", &vm, "power_state") == "Running";
        let host = SmolStr::new(self.database.text("VM", &vm, "resident_on"));
        let more = now.dynamic_max.saturating_sub(before.dynamic_max);
        if alive && let Some(free) = self.compute_free_memory(&host).filter(|free| *free < more) {
            return Err(Failure::new("HOST_NOT_ENOUGH_FREE_MEMORY", [more.to_string(), free.to_string()]));
        }
        if alive {
            self.take_memory(&vm, false);
        }
        for (field, value) in [
            ("memory_static_min", now.static_min),
            ("memory_dynamic_min", now.dynamic_min),
            ("memory_dynamic_max", now.dynamic_max),
            ("memory_static_max", now.static_max),
            ("memory_target", now.dynamic_max),
        ] {
            self.database.write("VM", &vm, field, value);
        }
        if alive {
            self.take_memory(&vm, true);
        }
        Ok(Value::VOID.into())
    }
}
