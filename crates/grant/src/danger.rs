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
    // They take a session or a password of another pool or service.
    "*.*recover*",
    "*.*wlb*",
    "*.configure_repository_proxy",
    "pool.sync_updates",
    // The result of anybody's task: a session, a URL that opens a console or an export.
    "task.get_result",
    "task.get_record",
    "task.get_all_records*",
    // They send what is here to an address that the caller names.
    "*.bugreport_upload",
    "*.upload",
    "pool.send_test_post",
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
    "VM.sysprep",
    "*.*_guest_agent_config",
    "host.send_debug_keys",
    // The pool itself.
    "pool.eject",
    "pool.join*",
    "pool.designate_new_master",
    "*.emergency_*",
    "host.destroy",
    "host.declare_dead",
    "host.shutdown_agent",
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
