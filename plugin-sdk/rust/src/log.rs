//! The plugin's voice. Lines go to the daemon's log, which adds plugin, pool, event and attempt.
//!
//! The macros [`error!`](crate::error!), [`warn!`](crate::warn!), [`info!`](crate::info!), [`debug!`](crate::debug!) and
//! [`trace!`](crate::trace!) take fields first, then a format string:
//!
//! ```no_run
//! let uuid = "6b6d1d8e";
//! xapiary_sdk::info!(vm = uuid, starts = 2, "started {uuid} again");
//! xapiary_sdk::warn!("nothing to do");
//! ```

use std::fmt;

use crate::host;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Every step, for the author.
    Trace,
    /// Why a decision was made.
    Debug,
    /// What was done.
    Info,
    /// Something is odd, and work goes on.
    Warn,
    /// Something was not done, and a person should look.
    Error,
}

/// Writes one line with its fields. Lines beyond the delivery's limit are counted by the daemon and dropped. The macros are
/// the comfortable way to call this.
#[inline(never)]
pub fn write(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, &dyn fmt::Display)]) {
    // The texts are made here and not in the macros, so that a line in a plugin costs few bytes of code.
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::write(level, &message.to_string(), &fields);
}

/// Writes one line at a [`Level`](crate::log::Level) that is given as the first argument.
#[macro_export]
macro_rules! log {
    ($level:expr, $($key:ident = $field:expr,)* $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::log::write(
            $level,
            ::core::format_args!($format $(, $argument)*),
            &[$((::core::stringify!($key), &$field)),*],
        )
    };
}

/// Writes a line for the author: every step.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Trace, $($line)+) };
}

/// Writes a line that says why a decision was made.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) };
}

/// Writes a line that says what was done.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) };
}

/// Writes a line that says that something is odd, and that work goes on.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) };
}

/// Writes a line that says that something was not done, and that a person should look.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) };
}
