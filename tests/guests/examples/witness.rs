//! Says when it begins and ends, and leaves one network in the pool for each event: who looks from outside sees what was
//! delivered, in which order, how often, and what the pool was made to do for it.

use xapiary_sdk::{Event, Fault, Outcome, Value, calls, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "witness"
version = "0.1.0"
contract = "0.1.0"
description = "Leaves one network in the pool for each event"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified"]
fields = ["name_description"]

[[request]]
call = "network.create"
reason = "the tests count the networks"
"#)]
impl Guest {
    #[on("described")]
    fn changed(event: &Event) -> Outcome {
        info!("begins {}", event.attempt);
        let name = format!("event {}", event.sequence);
        let network = Value::Json(format!(r#"{{"name_label": "{name}"}}"#));
        match calls::call("network.create", vec![network]) {
            Ok(_) => info!("ends {}", event.attempt),
            // Nobody knows, and making a second one would be worse.
            Err(error) if error.fault == Fault::InDoubt => {
                info!("doubts {}", event.attempt);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
