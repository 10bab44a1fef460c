//! Logs the alerts that it hears: crashes of VMs, and whatever else is pressing.

use xapiary_sdk::{Alert, Event, Outcome, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "herald"
version = "0.1.0"
contract = "0.1.0"
description = "Logs alerts"

[[subscribe]]
name = "crash"
alert = true
names = ["VM_CRASHED"]

[[subscribe]]
name = "pressing"
alert = true
priority_at_most = 1
"#)]
impl Guest {
    #[on("crash", "pressing")]
    fn alerted(event: &Event, alert: &Alert) -> Outcome {
        info!(
            subscription = event.subscription,
            priority = alert.priority,
            class = alert.class,
            uuid = alert.uuid,
            body = alert.body,
            "heard {}",
            alert.name
        );
        Ok(())
    }
}
