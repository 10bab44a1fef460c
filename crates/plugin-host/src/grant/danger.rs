//! Methods that no pattern can allow: they hand out identity, trust or passwords, run code on a host, or lay a pool waste.

use std::sync::LazyLock;

/// Patterns of methods that a grant must name letter by letter.
pub const DANGEROUS: &[&str] = &[
    // Identity and trust.
    "session.*",
    "secret.*",
    "user.*",
    "subject.*",
    "role.*",
    "auth.*",
    "*.*password*",
    "*.*secret*",
    "*.*external_auth*",
    "*.*_ssh*",
    "*.*certificate*",
    "*.*tls*",
    "*.*crl*",
    "*.*_https_only",
    "Certificate.*",
    // A storage's passwords lie in `device_config`, and a call's answer is not redacted as records are.
    "PBD.get_device_config",
    "PBD.get_record",
    "PBD.get_all_records*",
    // Code on a host, or whole machines from outside.
    "*.call_plugin",
    "*.call_host_plugin",
    "*.call_extension",
    "VM.import*",
    "Repository.*",
    "*.apply_updates",
    // The pool itself.
    "pool.eject",
    "pool.join*",
    "pool.designate_new_master",
    "pool.recover_slaves",
    "*.emergency_*",
    "host.destroy",
    "host.declare_dead",
    "*.*management*",
    "Cluster.*destroy",
    // Data that does not come back.
    "SR.destroy",
    "SR.create",
    "SR.make",
    "VDI.data_destroy",
    // The daemon's own stream.
    "event.*",
];

static PATTERNS: LazyLock<Vec<super::Pattern>> =
    LazyLock::new(|| DANGEROUS.iter().filter_map(|pattern| super::Pattern::parse(pattern).ok()).collect());

/// Whether a method (`CLASS.METHOD`) must be named letter by letter.
#[must_use]
pub fn is_dangerous(name: &str) -> bool {
    PATTERNS.iter().any(|pattern| pattern.matches(name))
}
