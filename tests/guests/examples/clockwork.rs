//! Logs each minute that it is woken for.

use xapiary_sdk::{Event, Outcome, Tick, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "clockwork"
version = "0.1.0"
contract = "0.1.0"
description = "Is woken each minute"

[[subscribe]]
name = "minute"
cron = "* * * * *"
time_zone = "Europe/Berlin"
"#)]
impl Guest {
    #[on("minute")]
    fn ticked(event: &Event, tick: &Tick) -> Outcome {
        info!(
            schedule = tick.schedule,
            due = tick.due,
            origin = format_args!("{:?}", event.origin),
            gap = event.gap,
            "ticked"
        );
        Ok(())
    }
}
