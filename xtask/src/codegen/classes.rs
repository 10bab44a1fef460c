//! What is said of classes: which of them get accessors, and since when they are there.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::{array, text};

/// The classes with accessors, and what their objects are.
pub(super) const WITH_ACCESSORS: &[(&str, &str)] = &[
    ("Certificate", "An X.509 certificate that the pool knows: of a host, or of an authority"),
    ("PBD", "How one host reaches one storage repository"),
    ("PIF", "A network interface of a host: a card, a VLAN, a bond or a tunnel"),
    ("SM", "A storage driver"),
    ("SR", "A storage repository: where disks are kept"),
    ("VBD", "The place of a disk in a virtual machine"),
    ("VDI", "A virtual disk, or a snapshot of one (`is_a_snapshot`)"),
    ("VIF", "A network interface of a virtual machine"),
    ("VM", "A virtual machine, a template, a snapshot of one or a host's control domain"),
    ("VM_appliance", "Virtual machines that are started and stopped together"),
    ("VM_guest_metrics", "What the guest says of itself"),
    ("VM_metrics", "What a host measures of a virtual machine"),
    ("host", "A member of the pool"),
    ("host_metrics", "What is measured of a host"),
    ("message", "An alert"),
    ("network", "A network that interfaces of virtual machines and of hosts are on"),
    ("pool", "The pool; there is one"),
    ("session", "A session of somebody. Its reference is a secret"),
    ("task", "An operation that runs or has run"),
];

/// Since when there is something, and until when.
pub(super) fn told(table: &Value, since: &Value, flags: &Value) -> Result<String> {
    Ok(format!("since {}", release(table, since)?) + &ended(table, flags)?)
}

/// Whether its objects have references: what is neither kept in the database nor has one comes as a value only.
pub(super) fn has_reference(class: &Value) -> Result<bool> {
    Ok(array(&class["messages"])?.iter().any(|method| method[0] == "get_record"))
}

/// A release for people.
fn release(table: &Value, code: &Value) -> Result<String> {
    let code = text(code)?;
    Ok(match table["releases"][code].as_str() {
        Some(product) => product.to_owned(),
        None if code.starts_with(|letter: char| letter.is_ascii_digit()) => format!("xapi {code}"),
        None => format!("the release {code}"),
    })
}

fn ended(table: &Value, flags: &Value) -> Result<String> {
    let mut told = String::new();
    for word in ["deprecated", "removed"] {
        if flags[word].is_string() {
            write!(told, ", {word} in {}", release(table, &flags[word])?)?;
        }
    }
    Ok(told)
}
