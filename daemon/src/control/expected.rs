//! What a call makes of the object that it acts on, where the method's name says it. Pure.

use serde_json::Value as Json;

use crate::setter::{Setter, Way};

/// Methods that bring an object into a state.
const STATES: [(&str, &str); 27] = [
    ("VM.start", "power_state = Running"),
    ("VM.start_on", "power_state = Running"),
    ("VM.resume", "power_state = Running"),
    ("VM.resume_on", "power_state = Running"),
    ("VM.unpause", "power_state = Running"),
    ("VM.clean_reboot", "power_state = Running, after a reboot"),
    ("VM.hard_reboot", "power_state = Running, after a reboot"),
    ("VM.pause", "power_state = Paused"),
    ("VM.suspend", "power_state = Suspended"),
    ("VM.shutdown", "power_state = Halted"),
    ("VM.clean_shutdown", "power_state = Halted"),
    ("VM.hard_shutdown", "power_state = Halted"),
    ("VM.pool_migrate", "resident_on another host"),
    ("VM.migrate_send", "resident_on another host"),
    ("VM.snapshot", "a new snapshot of it"),
    ("VM.checkpoint", "a new snapshot of it"),
    ("VM.clone", "a new VM like it"),
    ("VM.copy", "a new VM like it"),
    ("VBD.plug", "currently_attached = true"),
    ("VBD.unplug", "currently_attached = false"),
    ("VIF.plug", "currently_attached = true"),
    ("VIF.unplug", "currently_attached = false"),
    ("PBD.plug", "currently_attached = true"),
    ("PBD.unplug", "currently_attached = false"),
    ("host.enable", "enabled = true"),
    ("host.disable", "enabled = false"),
    ("host.evacuate", "resident_VMs empty"),
];

/// What a method makes of its object; `arguments` is the list of its arguments in JSON, the object first.
pub(super) fn state(method: &str, arguments: &str) -> Option<String> {
    if let Some((_, state)) = STATES.iter().find(|(known, _)| *known == method) {
        return Some((*state).to_owned());
    }
    let (_, name) = method.split_once('.')?;
    match name {
        "destroy" => return Some("gone".to_owned()),
        "create" => return Some("a new object".to_owned()),
        _ => {}
    }
    let Setter { field, way, .. } = Setter::of(method)?;
    // Secret arguments are kept as a text, and are told by their field alone.
    let arguments: Vec<Json> = serde_json::from_str(arguments).unwrap_or_default();
    let one = arguments.get(1).map_or_else(|| "(secret)".to_owned(), Json::to_string);
    Some(match way {
        Way::Set => format!("{field} = {one}"),
        Way::AddToMap => {
            let value = arguments.get(2).map_or_else(|| "(secret)".to_owned(), Json::to_string);
            format!("{field}[{one}] = {value}")
        }
        Way::RemoveFromMap => format!("{field} without {one}"),
        Way::Add => format!("{field} with {one}"),
        Way::Remove => format!("{field} without {one}"),
    })
}

#[cfg(test)]
mod tests {
    use xapi::model::schema;

    use super::*;

    #[test]
    fn what_a_call_makes_of_its_object_is_told_where_its_name_says_it() {
        for (method, arguments, expected) in [
            ("VM.start", "[\"OpaqueRef:a\",false,false]", Some("power_state = Running")),
            ("VM.set_name_label", "[\"OpaqueRef:a\",\"web\"]", Some("name_label = \"web\"")),
            ("VM.add_to_other_config", "[\"OpaqueRef:a\",\"k\",\"v\"]", Some("other_config[\"k\"] = \"v\"")),
            ("VM.remove_from_other_config", "[\"OpaqueRef:a\",\"k\"]", Some("other_config without \"k\"")),
            ("VM.add_tags", "[\"OpaqueRef:a\",\"x\"]", Some("tags with \"x\"")),
            ("VM.remove_tags", "[\"OpaqueRef:a\",\"x\"]", Some("tags without \"x\"")),
            ("VDI.destroy", "[\"OpaqueRef:a\"]", Some("gone")),
            ("VM.set_name_label", "\"(secret)\"", Some("name_label = (secret)")),
            ("VM.query_services", "[\"OpaqueRef:a\"]", None),
        ] {
            assert_eq!(state(method, arguments).as_deref(), expected, "{method} {arguments}");
        }
    }

    #[test]
    fn every_method_named_here_is_one_of_xapi() {
        for (method, _) in STATES {
            assert!(schema::method(method).is_some(), "{method}");
        }
    }
}
