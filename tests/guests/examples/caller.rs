//! Calls the method that its settings name, with the event's object.

use std::time::Duration;

use xapiary_sdk::{Change, Error, Outcome, Value, calls, error, info, plugin, settings};

struct Guest;

#[plugin(manifest = r#"
name = "caller"
version = "0.1.0"
contract = "0.1.0"
description = "Calls the method that its settings name"

[[subscribe]]
name = "any"
class = "VM"
on = ["added", "modified", "deleted"]

[[request]]
call = "VM.start"
reason = "the tests call it"

[settings.method]
type = "string"
default = "VM.start"
description = "The method to call"

[settings.target]
type = "string"
default = ""
description = "Text to send in the place of the event's object"

[settings.arguments]
type = "strings"
default = []
description = "What to send after the object, as text"

[settings.asynchronous]
type = "boolean"
default = false
description = "Start a task instead of waiting for the answer"

[settings.wait_milliseconds]
type = "integer"
default = 60000
description = "How long to wait for the task"
"#)]
impl Guest {
    #[on("any")]
    fn changed(change: &Change) -> Outcome {
        let method: String = settings::get("method")?.unwrap_or_default();
        let target: String = settings::get("target")?.unwrap_or_default();
        let rest: Vec<String> = settings::get("arguments")?.unwrap_or_default();
        let first = if target.is_empty() { Value::from(&change.reference) } else { Value::from(target) };
        let arguments: Vec<Value> = std::iter::once(first).chain(rest.iter().map(Value::from)).collect();

        match ask(&method, arguments) {
            Ok(value) => {
                info!(method = method, kind = value.kind(), "answered {value:?}");
                Ok(())
            }
            Err(why) => {
                error!(
                    method = method,
                    fault = format!("{:?}", why.fault),
                    code = why.code,
                    params = why.params.join(","),
                    advice = why.advice,
                    "refused"
                );
                Err(why.into())
            }
        }
    }
}

fn ask(method: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    if settings::get::<bool>("asynchronous")? != Some(true) {
        return calls::call(method, arguments);
    }
    let wait = settings::get::<u64>("wait_milliseconds")?.unwrap_or(60_000);
    let task = calls::start(method, arguments)?;
    info!("started {method}");
    task.wait(Duration::from_millis(wait)).into_result()
}
