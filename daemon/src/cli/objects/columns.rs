//! Which fields of a class are shown. Pure.

use smol_str::SmolStr;
use xapi::model::schema::Class;
use xapi::suggestion::{self, shown};

/// What is worth seeing of the classes that people meet, beside name and uuid.
const WORTH_SEEING: &[(&str, &[&str])] = &[
    ("Certificate", &["type", "host", "not_after", "fingerprint_sha256"]),
    ("PBD", &["SR", "host", "currently_attached"]),
    ("PIF", &["device", "host", "network", "IP", "currently_attached"]),
    ("SR", &["type", "physical_size", "physical_utilisation"]),
    ("VBD", &["VM", "VDI", "device", "type", "currently_attached"]),
    ("VDI", &["SR", "virtual_size"]),
    ("VIF", &["VM", "network", "device", "MAC", "currently_attached"]),
    ("VM", &["power_state", "resident_on", "memory_target", "VCPUs_max"]),
    ("VM_appliance", &["VMs"]),
    ("host", &["address", "enabled", "hostname"]),
    ("message", &["name", "priority", "timestamp", "cls", "obj_uuid"]),
    ("network", &["bridge"]),
    ("pool", &["master", "default_SR", "ha_enabled"]),
    ("task", &["status", "progress", "created"]),
];

/// A field that the class does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{class} has no field {field:?}{}; it has {known}", shown(.suggestion.as_deref()))]
pub(super) struct UnknownField {
    class: &'static str,
    field: String,
    suggestion: Option<SmolStr>,
    known: String,
}

/// The fields to show: those asked for, all of them, or those worth seeing.
pub(super) fn columns(class: &'static Class, asked: &[String]) -> Result<Vec<String>, UnknownField> {
    if let [all] = asked
        && all == "all"
    {
        return Ok(class.fields.iter().map(|field| field.name.to_owned()).collect());
    }
    if let Some(unknown) = asked.iter().find(|field| class.field(field).is_none()) {
        return Err(UnknownField::of(class, unknown));
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let (_, more) = WORTH_SEEING.iter().find(|(name, _)| *name == class.name).unwrap_or(&("", &[]));
    let always = ["name_label"].into_iter().chain(more.iter().copied()).chain(["uuid"]);
    Ok(always.filter(|field| class.field(field).is_some()).map(str::to_owned).collect())
}

impl UnknownField {
    fn of(class: &'static Class, field: &str) -> Self {
        let suggestion = suggestion::for_name(field, class.fields.iter().map(|field| field.name));
        let known: Vec<&str> = class.fields.iter().map(|field| field.name).collect();
        UnknownField { class: class.name, field: field.to_owned(), suggestion, known: known.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    #[test]
    fn what_is_worth_seeing_are_fields_of_their_class() {
        for (name, fields) in WORTH_SEEING {
            let class = schema::class(name).expect("a class");
            for field in *fields {
                assert!(class.field(field).is_some(), "{name}.{field}");
            }
        }
    }

    #[test]
    fn fields_are_those_asked_for_or_all_or_a_choice() {
        let vm = schema::class("VM").expect("a class");
        let names =
            |asked: &[&str]| columns(vm, &asked.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["uuid", "tags"]), Ok(vec!["uuid".to_owned(), "tags".to_owned()]));
        assert_eq!(names(&["all"]).map(|all| all.len()), Ok(vm.fields.len()));
        assert_eq!(names(&[]).map(|chosen| chosen.len()), Ok(6));
        let told = names(&["powerstate"]).expect_err("there is none").to_string();
        assert!(
            told.starts_with("VM has no field \"powerstate\", did you mean \"power_state\"?; it has uuid, "),
            "{told}"
        );
    }
}
