//! A VM's drives and network cards: put in, plugged, pulled, taken out.

mod cards;
mod drives;
mod rules;

pub(crate) use cards::is_mac;

use crate::methods::Entry;
use crate::pool::Pool;

/// Methods of VBDs and VIFs, and those of VMs that ask about them.
pub(crate) const METHODS: &[Entry] = &[
    ("VBD", "create", drives::create),
    ("VBD", "destroy", drives::destroy),
    ("VBD", "plug", drives::plug),
    ("VBD", "unplug", |pool, a| drives::unplug(pool, a, "unplug")),
    ("VBD", "unplug_force", |pool, a| drives::unplug(pool, a, "unplug_force")),
    ("VBD", "insert", drives::insert),
    ("VBD", "eject", drives::eject),
    ("VBD", "assert_attachable", drives::assert_attachable),
    ("VBD", "set_mode", drives::set_mode),
    ("VIF", "create", cards::create),
    ("VIF", "destroy", cards::destroy),
    ("VIF", "plug", cards::plug),
    ("VIF", "unplug", cards::unplug),
    ("VIF", "unplug_force", cards::unplug),
    ("VIF", "move", cards::move_to),
    ("VM", "get_allowed_VBD_devices", drives::free_devices),
    ("VM", "get_allowed_VIF_devices", cards::free_devices),
];

/// What may be done with a drive now.
pub(crate) fn vbd_allowed(pool: &Pool, vbd: &str) -> Vec<&'static str> {
    rules::allowed_on_drive(&pool.drive_facts(vbd, false))
}

/// What may be done with a network card now.
pub(crate) fn vif_allowed(pool: &Pool, vif: &str) -> Vec<&'static str> {
    rules::allowed_on_card(&pool.card_facts(vif))
}
