//! From the journal to plugins: one worker a plugin. Knows neither XML nor the sandbox's insides; which event goes
//! where and when is decided in pure code ([`queue`], [`replay`], [`retry`], [`translate`]).

mod absolute;
mod delivery;
mod delivery_pool;
mod installed;
mod orders;
mod quarantine;
mod queue;
mod replay;
mod retry;
mod scribe;
mod terms;
mod testimony;
mod translate;
mod worker;

pub(crate) use installed::{Installed, chain, compiled};
pub(crate) use orders::{Figures, Steering, Version, Waiting, steering};
pub(crate) use worker::{Shared, Worker};
