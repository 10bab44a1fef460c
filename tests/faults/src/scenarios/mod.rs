//! What is done to the daemon, one file a group.

pub(crate) mod answers;
pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod killed;
pub(crate) mod network;
pub(crate) mod plugins;
pub(crate) mod pool;
pub(crate) mod reload;
pub(crate) mod stop;
