//! XAPI's own error, as values see it.

mod kind;

use smol_str::SmolStr;

pub use kind::{Kind, NOT_READY};

/// XAPI's own error: a code and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", shown(.parameters))]
pub struct Failure {
    /// Such as `VM_BAD_POWER_STATE`.
    pub code: SmolStr,
    /// Such as the reference, the expected and the actual state. Their number is no contract.
    pub parameters: Vec<SmolStr>,
}

impl Failure {
    /// A failure from its parts.
    pub fn new<P: Into<SmolStr>>(code: &str, parameters: impl IntoIterator<Item = P>) -> Self {
        Failure { code: code.into(), parameters: parameters.into_iter().map(Into::into).collect() }
    }
}

fn shown(parameters: &[SmolStr]) -> String {
    if parameters.is_empty() { String::new() } else { format!(" [{}]", parameters.join(", ")) }
}
