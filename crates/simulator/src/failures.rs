//! XAPI's errors as the pool raises them, one function a code, so that their parameters are written once.

use std::fmt::Display;

use xapi::codec::Failure;

/// An error that says all by its code.
pub(crate) fn bare(code: &'static str) -> Failure {
    Failure::new::<&str>(code, [])
}

pub(crate) fn handle_invalid(class: &str, reference: &str) -> Failure {
    Failure::new("HANDLE_INVALID", [class, reference])
}

pub(crate) fn uuid_invalid(class: &str, uuid: &str) -> Failure {
    Failure::new("UUID_INVALID", [class, uuid])
}

pub(crate) fn session_invalid(reference: &str) -> Failure {
    Failure::new("SESSION_INVALID", [reference])
}

pub(crate) fn method_unknown(method: &str) -> Failure {
    Failure::new("MESSAGE_METHOD_UNKNOWN", [method])
}

pub(crate) fn parameter_count(method: &str, expected: usize, received: i64) -> Failure {
    Failure::new(
        "MESSAGE_PARAMETER_COUNT_MISMATCH",
        [method.to_owned(), expected.to_string(), received.to_string()],
    )
}

pub(crate) fn internal(text: impl Display) -> Failure {
    Failure::new("INTERNAL_ERROR", [text.to_string()])
}

/// How xapi's server shows a failed conversion.
pub(crate) fn ill_typed(expected: &str, parameter: &str) -> Failure {
    internal(format_args!("Failure(\"Expected {expected} for parameter {parameter}\")"))
}

pub(crate) fn invalid_value(field: &str, value: &str) -> Failure {
    Failure::new("INVALID_VALUE", [field, value])
}

pub(crate) fn duplicate_key(class: &str, field: &str, reference: &str, key: &str) -> Failure {
    Failure::new("MAP_DUPLICATE_KEY", [class, field, reference, key])
}

pub(crate) fn no_async(method: &str) -> Failure {
    Failure::new("Fault", [format!("No async mode for this operation (rpc: {method})")])
}

pub(crate) fn bad_power_state(vm: &str, expected: &str, actual: &str) -> Failure {
    Failure::new("VM_BAD_POWER_STATE", [vm, expected, actual])
}

pub(crate) fn task_cancelled(task: &str) -> Failure {
    Failure::new("TASK_CANCELLED", [task])
}

pub(crate) fn not_allowed(reason: &str) -> Failure {
    Failure::new("OPERATION_NOT_ALLOWED", [reason])
}
