//! Why something was not done.

use std::fmt;
use std::time::Duration;

use crate::Value;

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
/// `?` turns it into a [`Failure`](crate::Failure): a transport fault is tried again later, a budget that is used up when it has
/// [room again](Error::wait), everything else is given up.
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

/// The pool does not have the field, which is of a later release.
const FIELD_ABSENT: &str = "FIELD_ABSENT";

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

    /// How long to wait until a budget of the grant has room again; none for every other error, and for a budget that has
    /// none in this run.
    pub fn wait(&self) -> Option<Duration> {
        match (self.fault, self.params.as_slice()) {
            (Fault::Limit, [_, _, milliseconds]) => milliseconds.parse().ok().map(Duration::from_millis),
            _ => None,
        }
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

    /// A field or an answer that is of another type than was asked for, or that is not there.
    #[cold]
    pub(crate) fn of_another_type(what: &str, wanted: &str, found: &Value) -> Error {
        if *found == Value::Nothing {
            let mut error = Error::invalid(FIELD_ABSENT, &[what]);
            error.advice = "this pool does not have it: read it with `.if_there()?`".to_owned();
            return error;
        }
        Error::invalid("FIELD_TYPE", &[what, wanted, found.kind()])
    }
}

/// Reads what not every pool has: fields that came with a later release of XAPI.
pub trait IfThere<T> {
    /// `None` when this pool does not have the field; every other error stays one.
    ///
    /// ```no_run
    /// # fn blocked(vm: &xapiary_sdk::xapi::Vm) -> Result<(), xapiary_sdk::Error> {
    /// use xapiary_sdk::IfThere;
    /// let snapshot = vm.is_a_snapshot().if_there()?.unwrap_or_default();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// All but the absence of the field, such as a field that the grant hides.
    fn if_there(self) -> Result<Option<T>, Error>;
}

impl<T> IfThere<T> for Result<T, Error> {
    fn if_there(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.fault == Fault::Invalid && error.code == FIELD_ABSENT => Ok(None),
            Err(error) => Err(error),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_field_that_is_not_there_may_be_left_out() {
        let absent: Result<bool, Error> = Err(Error::of_another_type("VM.x", "truth", &Value::Nothing));
        assert_eq!(absent.if_there(), Ok(None));
        let other: Result<bool, Error> = Err(Error::of_another_type("VM.x", "truth", &Value::Whole(1)));
        assert_eq!(other.clone().if_there(), other.map(Some));
        assert_eq!(Ok(true).if_there(), Ok(Some(true)));
    }
}
