//! Reads the event's new record, follows a reference and searches, as its settings say.

use std::collections::BTreeMap;

use xapiary_sdk::{Change, Event, Failure, Outcome, info, objects, plugin, settings, store};

struct Guest;

#[plugin(manifest = r#"
name = "reader"
version = "0.1.0"
contract = "0.1.0"
description = "Reads what its settings say"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[settings.fields]
type = "strings"
default = []
description = "Fields to read; all of them, when empty"

[settings.follow]
type = "string"
default = ""
description = "A reference field to follow"

[settings.find_class]
type = "string"
default = ""
description = "A class to search"

[settings.find_filter]
type = "string"
default = ""
description = "What to search for"
"#)]
impl Guest {
    #[on("any")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        let object = change
            .new
            .as_ref()
            .or(change.old.as_ref())
            .ok_or_else(|| Failure::give_up("the change holds no record at all"))?;
        info!(
            class = change.class,
            operation = format!("{:?}", change.operation),
            changed = change.changed.join(","),
            subscription = event.subscription,
            "event {} of {} at {}",
            event.sequence,
            event.pool,
            event.at
        );

        let mut read = BTreeMap::new();
        let mut fields: Vec<String> = settings::get("fields")?.unwrap_or_default();
        if fields.is_empty() {
            fields = object.fields();
        }
        for field in fields {
            let value = object.get(&field)?;
            info!(kind = value.kind(), "{field} is {value:?}");
            read.insert(field, format!("{value:?}"));
        }

        let follow: String = settings::get("follow")?.unwrap_or_default();
        if !follow.is_empty() {
            for target in object.follow(&follow)? {
                info!(
                    class = target.class(),
                    uuid = target.uuid().unwrap_or_default(),
                    "{follow} leads here"
                );
                read.insert(format!("{follow}/{}", target.uuid().unwrap_or_default()), target.to_json());
            }
        }

        let class: String = settings::get("find_class")?.unwrap_or_default();
        if !class.is_empty() {
            let filter: String = settings::get("find_filter")?.unwrap_or_default();
            let mut found = 0;
            for object in objects::find(&class, &filter) {
                info!(uuid = object?.uuid().unwrap_or_default(), "found");
                found += 1;
            }
            read.insert("found".to_owned(), found.to_string());
        }
        store::set_json("read", &read)?;
        Ok(())
    }
}
