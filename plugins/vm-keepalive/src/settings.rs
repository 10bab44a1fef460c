//! What the administrator set. The manifest describes each of it and has the defaults.

/// Keeps the VMs alive that carry the tag.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct VmKeepalive {
    /// VMs that carry this tag are kept alive.
    pub(crate) tag: String,
    /// How often one VM is started within the window.
    pub(crate) max_starts: u32,
    /// The window in which starts are counted.
    pub(crate) window_minutes: u32,
    /// How close to the stop a shutdown task counts as its cause.
    pub(crate) asked_within_seconds: u32,
    /// Whether a stop that happened unseen is undone too.
    pub(crate) start_after_gap: bool,
}
