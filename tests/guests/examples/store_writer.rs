//! Counts deliveries in the store, and checks that it reads its own writes.

use xapiary_sdk::{Event, Failure, Outcome, plugin, settings, store};

struct Guest;

#[plugin(manifest = r#"
name = "store_writer"
version = "0.1.0"
contract = "0.1.0"
description = "Counts deliveries in the store"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[settings.fail]
type = "boolean"
default = false
description = "Give up after writing"
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        let count = store::get_json::<u64>("count")?.unwrap_or(0) + 1;
        store::set_json("count", &count)?;
        store::set("last", event.sequence.to_string())?;

        store::set("passing", "here")?;
        expect(store::get_text("passing")?.as_deref() == Some("here"), "a key just set is read back")?;
        expect(store::keys("pass")? == ["passing"], "a key just set is listed")?;
        store::delete("passing")?;
        expect(store::get("passing")?.is_none(), "a key just deleted is gone")?;
        expect(store::keys("")? == ["count", "last"], "all keys are listed in order")?;

        if settings::get::<bool>("fail")? == Some(true) {
            return Err(Failure::give_up("failed on purpose after writing"));
        }
        Ok(())
    }
}

fn expect(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::give_up(format!("it does not hold that {what}"))) }
}
