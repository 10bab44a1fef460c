//! Is given a secret and is careless with it: says it in its log and in its reason for giving up.

use xapiary_sdk::{Failure, Outcome, info, plugin, settings};

struct Guest;

#[plugin(manifest = r#"
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
"#)]
impl Guest {
    #[on("described")]
    fn changed() -> Outcome {
        let token = settings::secret("webhook_token")?;
        info!(token = token, length = token.len(), "it is {token}");
        Err(Failure::give_up(format!("{token} opens no door")))
    }
}
