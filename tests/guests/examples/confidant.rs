//! Is given a secret and is careless with it: says it in its log and in its reason for giving up.

use xapiary_sdk::{Change, Event, Failure, Outcome, Plugin, info, settings};

#[derive(Default)]
struct Guest;

impl Plugin for Guest {
    fn changed(&self, _event: &Event, _change: &Change) -> Outcome {
        let token = settings::secret("webhook_token")?;
        info!(token = token, length = token.len(), "it is {token}");
        Err(Failure::give_up(format!("{token} opens no door")))
    }
}

xapiary_sdk::plugin!(
    Guest,
    manifest = r#"
name = "confidant"
version = "0.1.0"
contract = "0.1.0"
description = "Tells everybody what it was told"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified"]
fields = ["name_description"]

[secrets.webhook_token]
description = "for the tests, which look for it everywhere"
"#
);
