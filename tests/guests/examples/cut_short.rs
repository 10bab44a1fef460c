//! Changes something and is cut short, fails after it, and ends well: three attempts that must have one effect.

use std::hint::black_box;
use std::time::Duration;

use xapiary_sdk::{Event, Failure, Outcome, Value, args, calls, info, plugin, settings};

struct Guest;

#[plugin(manifest = r#"
name = "cut_short"
version = "0.1.0"
contract = "0.1.0"
description = "Makes one network in three attempts"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[[request]]
call = "network.create"
reason = "the tests count the networks"

[[request]]
call = "network.add_to_other_config"
reason = "the tests look at which network each attempt was given"

[settings.pause_milliseconds]
type = "integer"
default = 10
description = "How long to wait before attempt 3"
"#)]
impl Guest {
    #[on("any")]
    fn any(event: &Event) -> Outcome {
        let network = Value::Json(r#"{"name_label": "made once"}"#.to_owned());
        let made = calls::call("network.create", vec![network])?;
        // Another key on each attempt, so that this is another call; its object shows which network the attempt was given.
        let key = format!("attempt {}", event.attempt);
        calls::call("network.add_to_other_config", args![made, key, "was here"])?;
        info!(attempt = event.attempt, "called");
        match event.attempt {
            1 => loop {
                black_box(event);
            },
            2 => {
                let pause = settings::get::<u64>("pause_milliseconds")?.unwrap_or_default();
                Err(Failure::retry(Duration::from_millis(pause), "attempt 2 fails on purpose"))
            }
            _ => Ok(()),
        }
    }
}
