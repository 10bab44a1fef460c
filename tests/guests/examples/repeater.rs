//! Does one thing as often as its settings say, so that one time of it can be told from the rest.

use xapiary_sdk::{Change, Failure, Outcome, Value, calls, plugin, settings};

struct Guest;

#[plugin(manifest = r#"
name = "repeater"
version = "0.1.0"
contract = "0.1.0"
description = "Reads a field, asks for a refused call, or calls and waits"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[[request]]
call = "VM.get_record"
reason = "it waits for the answer"

[settings.reads]
type = "integer"
default = 0
description = "How often to read a field of the object"

[settings.refusals]
type = "integer"
default = 0
description = "How often to ask for a call that no grant allows"

[settings.calls]
type = "integer"
default = 0
description = "How often to call the pool and wait"
"#)]
impl Guest {
    #[on("any")]
    fn any(change: &Change) -> Outcome {
        let object = change.new.as_ref().ok_or_else(|| Failure::give_up("the change holds no record"))?;
        for _ in 0..settings::get::<u32>("reads")?.unwrap_or_default() {
            object.get("power_state")?;
        }
        for _ in 0..settings::get::<u32>("refusals")?.unwrap_or_default() {
            if calls::call("VM.destroy", vec![Value::from(&change.reference)]).is_ok() {
                return Err(Failure::give_up("the grant allows the call that it is to refuse"));
            }
        }
        for _ in 0..settings::get::<u32>("calls")?.unwrap_or_default() {
            calls::call("VM.get_record", vec![Value::from(&change.reference)])?;
        }
        Ok(())
    }
}
