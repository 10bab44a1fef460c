//! Sets a field and starts a task, then is cut short; when it is run again it does the same and ends well.

use std::hint::black_box;
use std::time::Duration;

use xapiary_sdk::{Change, Event, Outcome, args, calls, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "unrecorded"
version = "0.1.0"
contract = "0.1.0"
description = "Sets a field and starts a task in two attempts"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified"]
fields = ["name_description"]

[[request]]
call = "VM.add_to_other_config"
reason = "the tests count the calls"

[[request]]
call = "VM.clone"
reason = "the tests count the copies"
"#)]
impl Guest {
    #[on("described")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        calls::call("VM.add_to_other_config", args![&change.reference, "note", "once"])?;
        let copy = calls::start("VM.clone", args![&change.reference, "copied once"])?;
        info!(attempt = event.attempt, "called");
        if event.attempt == 1 {
            loop {
                black_box(event);
            }
        }
        copy.wait(Duration::from_secs(60)).into_result()?;
        Ok(())
    }
}
