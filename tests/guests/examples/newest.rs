//! Wants only the newest of several changes that wait, says what it was told, and leaves one network in the pool for it.

use xapiary_sdk::{Change, Event, Object, Outcome, Value, calls, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "newest"
version = "0.1.0"
contract = "0.1.0"
description = "Wants only the newest change of each VM"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified", "deleted"]
fields = ["name_description", "tags"]
latest = true

[[request]]
call = "network.create"
reason = "the tests count the networks"
"#)]
impl Guest {
    #[on("described")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        let description = |object: &Option<Object>| match object {
            Some(object) => object.text("name_description"),
            None => Ok(String::new()),
        };
        info!(
            attempt = event.attempt,
            gap = event.gap,
            old = description(&change.old)?,
            new = description(&change.new)?,
            changed = change.changed.join(" "),
            "told {:?}",
            change.operation
        );
        let network = Value::Json(format!(r#"{{"name_label": "event {}"}}"#, event.sequence));
        calls::call("network.create", vec![network])?;
        info!("done");
        Ok(())
    }
}
