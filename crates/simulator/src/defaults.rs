//! What a field holds when nobody says: by its type, and by name where the datamodel says otherwise.

use smol_str::SmolStr;
use xapi::model::schema::{self, Field, Type};
use xapi::{NULL_REF, Struct, Value};

/// The beginning of time, as xapi writes it.
pub(crate) const NEVER: &str = "19700101T00:00:00Z";

/// Words of enumerations and numbers that are not the type's plain default.
const NAMED: &[(&str, &str, &str)] = &[
    ("task", "status", "pending"),
    ("task", "type", "<none/>"),
    ("task", "backtrace", "()"),
    ("pool", "telemetry_frequency", "weekly"),
    ("pool", "update_sync_frequency", "weekly"),
    ("pool", "coordinator_bias", "true"),
    ("VM", "power_state", "Halted"),
    ("VM", "domid", "-1"),
    ("VM", "actions_after_softreboot", "soft_reboot"),
    ("VM", "actions_after_shutdown", "destroy"),
    ("VM", "actions_after_reboot", "restart"),
    ("VM", "actions_after_crash", "restart"),
    ("VM", "domain_type", "unspecified"),
    ("VM", "secureboot_certificates_state", "ok"),
    ("VM", "HVM_shadow_multiplier", "1.0"),
    ("VM", "generation_id", "0:0"),
    ("VM_metrics", "current_domain_type", "unspecified"),
    ("VM_guest_metrics", "can_use_hotplug_vbd", "unspecified"),
    ("VM_guest_metrics", "can_use_hotplug_vif", "unspecified"),
    ("VMPP", "backup_type", "snapshot"),
    ("VMPP", "backup_frequency", "daily"),
    ("VMPP", "archive_target_type", "none"),
    ("VMPP", "archive_frequency", "never"),
    ("VMSS", "type", "snapshot"),
    ("VMSS", "frequency", "daily"),
    ("host", "display", "enabled"),
    ("host", "latest_synced_updates_applied", "unknown"),
    ("host", "numa_affinity_policy", "default_policy"),
    ("network", "MTU", "1500"),
    ("network", "managed", "true"),
    ("network", "default_locking_mode", "unlocked"),
    ("VIF", "locking_mode", "network_default"),
    ("VIF", "ipv4_configuration_mode", "None"),
    ("VIF", "ipv6_configuration_mode", "None"),
    ("PIF", "ip_configuration_mode", "None"),
    ("PIF", "ipv6_configuration_mode", "None"),
    ("PIF", "primary_address_type", "IPv4"),
    ("PIF", "igmp_snooping_status", "unknown"),
    ("PIF", "managed", "true"),
    ("Bond", "mode", "balance-slb"),
    ("VDI", "type", "user"),
    ("VDI", "managed", "true"),
    ("VDI", "on_boot", "persist"),
    ("VDI", "allow_caching", "true"),
    ("VBD", "mode", "RW"),
    ("VBD", "unpluggable", "true"),
    ("VBD", "type", "Disk"),
    ("console", "protocol", "rfb"),
    ("Certificate", "type", "host"),
];

/// What a field of a class holds when nobody says.
pub(crate) fn of(class: &str, field: &Field) -> Value {
    let named = NAMED.iter().find(|(of, name, _)| *of == class && *name == field.name);
    match named {
        Some((_, _, text)) => from_text(&field.kind, text),
        None => plain(&field.kind),
    }
}

/// What the type alone says.
pub(crate) fn plain(kind: &Type) -> Value {
    match kind {
        Type::String | Type::Void | Type::Record(_) => Value::VOID,
        Type::Int => Value::Int(0),
        Type::Float => Value::Float(0.0),
        Type::Bool => Value::Bool(false),
        Type::DateTime => Value::DateTime(SmolStr::new_static(NEVER)),
        Type::Ref(_) => Value::String(SmolStr::new_static(NULL_REF)),
        Type::Enum(name) => {
            let word = schema::enumeration(name).and_then(|declared| declared.words.first());
            Value::String(SmolStr::new_static(word.copied().unwrap_or_default()))
        }
        Type::Set(_) => Value::Array(Vec::new()),
        Type::Map(_, _) => Value::Struct(Struct::new()),
        Type::Option(inner) => plain(inner),
    }
}

fn from_text(kind: &Type, text: &'static str) -> Value {
    match kind {
        Type::Int => text.parse().map_or_else(|_| plain(kind), Value::Int),
        Type::Float => text.parse().map_or_else(|_| plain(kind), Value::Float),
        Type::Bool => Value::Bool(text == "true"),
        _ => Value::String(SmolStr::new_static(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_default_fits_its_field() {
        for (class, name, text) in NAMED {
            let class = schema::class(class).unwrap_or_else(|| panic!("no class {class}"));
            let field = class.field(name).unwrap_or_else(|| panic!("no field {}.{name}", class.name));
            match field.kind {
                Type::Enum(words) => {
                    let words = schema::enumeration(words).unwrap().words;
                    assert!(words.contains(text), "{}.{name} knows {words:?}", class.name);
                }
                Type::Int => assert!(text.parse::<i64>().is_ok()),
                Type::Float => assert!(text.parse::<f64>().is_ok()),
                Type::Bool => assert!(["true", "false"].contains(text)),
                Type::String => {}
                ref other => panic!("{}.{name} is {other:?}", class.name),
            }
        }
    }
}
