//! Why something was not done.

use std::fmt;

use crate::bindings::xapiary::plugin::types as wire;

/// Whose fault it is, which decides whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The grant does not allow it; the error's advice holds the line that would.
    Denied,
    /// A limit of this plugin or of this delivery is used up.
    Limit,
    /// XAPI said no; code and params are XAPI's own.
    Xapi,
    /// The pool could not be reached; nothing was done.
    Transport,
    /// It may or may not have been done, and the daemon could not find out.
    InDoubt,
    /// The plugin runs in dry-run: it was planned, not done.
    DryRun,
    /// The arguments make no sense: unknown method, class, field or filter, or a value of another kind than expected.
    Invalid,
}

/// Why something was not done.
///
/// `?` turns it into a [`Failure`](crate::Failure): a transport fault is tried again later, everything else is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    /// A stable name for programs, such as `VM_BAD_POWER_STATE`.
    pub code: String,
    /// The details that belong to the code, in its order.
    pub params: Vec<String>,
    /// What a person can do about it; empty where there is nothing to say.
    pub advice: String,
}

impl Error {
    /// Whether XAPI answered with this code.
    ///
    /// ```
    /// use xapiary_sdk::{Error, Fault};
    /// let error = Error {
    ///     fault: Fault::Xapi,
    ///     code: "VM_BAD_POWER_STATE".into(),
    ///     params: vec!["ref:1".into(), "halted".into(), "running".into()],
    ///     advice: String::new(),
    /// };
    /// assert!(error.is_xapi("VM_BAD_POWER_STATE"));
    /// assert_eq!(error.to_string(), "the pool answered VM_BAD_POWER_STATE (ref:1, halted, running)");
    /// ```
    pub fn is_xapi(&self, code: &str) -> bool {
        self.fault == Fault::Xapi && self.code == code
    }

    /// An error of the plugin's own side: something is not as it must be.
    pub(crate) fn invalid(code: &str, params: &[&str]) -> Error {
        Error {
            fault: Fault::Invalid,
            code: code.to_owned(),
            params: params.iter().map(|&param| param.to_owned()).collect(),
            advice: String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.fault {
            Fault::Denied => "the grant does not allow it: ",
            Fault::Limit => "a limit is used up: ",
            Fault::Xapi => "the pool answered ",
            Fault::Transport => "the pool could not be reached: ",
            Fault::InDoubt => "it is not known whether it was done: ",
            Fault::DryRun => "planned only, this is a dry run: ",
            Fault::Invalid => "this makes no sense: ",
        })?;
        f.write_str(&self.code)?;
        if !self.params.is_empty() {
            write!(f, " ({})", self.params.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Error {
        let fault = match error.fault {
            wire::Fault::Denied => Fault::Denied,
            wire::Fault::Limit => Fault::Limit,
            wire::Fault::Xapi => Fault::Xapi,
            wire::Fault::Transport => Fault::Transport,
            wire::Fault::InDoubt => Fault::InDoubt,
            wire::Fault::DryRun => Fault::DryRun,
            wire::Fault::Invalid => Fault::Invalid,
        };
        Error { fault, code: error.code, params: error.params, advice: error.advice }
    }
}
