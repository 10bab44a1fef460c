//! What a host is asked and told without any work.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

pub(super) fn set_power_on_mode(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = a.text(0);
    pool.known("host", host)?;
    pool.database.write("host", host, "power_on_mode", a.value(1));
    pool.database.write("host", host, "power_on_config", a.value(2));
    Ok(Value::VOID.into())
}

pub(super) fn set_hostname(pool: &mut Pool, a: &Arguments) -> Answered {
    let (host, name) = (a.text(0), a.text(1));
    pool.known("host", host)?;
    pool.assert_live(host)?;
    let wrong = if name.is_empty() {
        Some("Host name cannot be empty")
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        Some("hostname contains characters that are not allowed")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(Failure::new("HOST_NAME_INVALID", [wrong]));
    }
    pool.database.write("host", host, "hostname", a.value(1));
    Ok(Value::VOID.into())
}

pub(super) fn compute_free_memory(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    Ok(Value::Int(pool.compute_free_memory(a.text(0)).unwrap_or_default()).into())
}

pub(super) fn compute_memory_overhead(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    Ok(Value::Int(pool.database.int("host", a.text(0), "memory_overhead")).into())
}

pub(super) fn management_interface(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    let pifs = pool.database.words("host", a.text(0), "PIFs");
    let found = pifs.into_iter().find(|pif| pool.database.truth("PIF", pif, "management"));
    Ok(Value::String(found.unwrap_or(SmolStr::new_static(NULL_REF))).into())
}

pub(super) fn time(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0)).map(|()| pool.clock.date().into())
}
