//! What differs between two configurations beside grants and pools, key by key. Pure.

use super::Config;

/// Keys whose values differ, as paths such as `control.socket`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that a running daemon can take up.
    pub(crate) at_once: Vec<String>,
    /// Those that hold from the next start on.
    pub(crate) after_restart: Vec<String>,
}

/// What a configuration that was read anew changes.
pub(crate) fn changes(present: &Config, new: &Config) -> Changes {
    let named = |keys: &[(&str, bool)]| -> Vec<String> {
        keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect()
    };
    let (control, new_control) = (&present.control, &new.control);
    let at_once = named(&[
        ("journal.keep", present.retention.keep != new.retention.keep),
        ("journal.max_size", present.retention.max_size != new.retention.max_size),
        ("journal.max_events", present.retention.max_events != new.retention.max_events),
        ("log.level", present.log.level != new.log.level),
        ("stop.drain", present.drain != new.drain),
        ("control.observe", control.people.observe != new_control.people.observe),
        ("control.operate", control.people.operate != new_control.people.operate),
        ("control.administer", control.people.administer != new_control.people.administer),
    ]);
    let after_restart = named(&[
        ("state", present.state != new.state),
        ("log.format", present.log.format != new.log.format),
        ("control.socket", control.socket != new_control.socket),
        ("control.metrics", control.metrics != new_control.metrics),
    ]);
    Changes { at_once, after_restart }
}
