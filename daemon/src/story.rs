//! What the daemon does, told as it happens, for whoever watches: the demo, a test, later an operator.
//!
//! Nobody has to listen, and a listener that is too slow misses something; what must not be lost is in the journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::event::PoolEvent;

/// One moment.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    /// A plugin is given an event.
    Delivery {
        /// The plugin.
        plugin: String,
        /// The event.
        event: Arc<PoolEvent>,
        /// 1 for the first.
        attempt: u32,
        /// From the complete answer of the pool to here, for events that came in just now.
        waited: Option<Duration>,
    },
    /// A plugin logged something, or the host about it.
    Log {
        /// The plugin.
        plugin: String,
        /// The event's number.
        sequence: u64,
        /// What.
        line: plugin_host::report::LogLine,
    },
    /// A call of a plugin that changes something is about to be sent.
    Call {
        /// The plugin.
        plugin: String,
        /// The event's number.
        sequence: u64,
        /// `VM.start`.
        method: String,
        /// The object that it is called on, by name where there is one.
        target: String,
    },
    /// The call came back.
    Called {
        /// The event's number.
        sequence: u64,
        /// `VM.start`.
        method: String,
        /// What came of it, in words.
        outcome: String,
        /// How long it took.
        took: Duration,
    },
    /// A delivery ended.
    Finished {
        /// The plugin.
        plugin: String,
        /// The event's number.
        sequence: u64,
        /// How, in words.
        outcome: String,
        /// How long it took.
        took: Duration,
    },
}

/// Where moments are told.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    teller: broadcast::Sender<Moment>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Story { teller: broadcast::Sender::new(1024) }
    }

    /// Tells a moment to those who listen; it is made only when somebody does.
    pub(crate) fn tell(&self, moment: impl FnOnce() -> Moment) {
        if self.teller.receiver_count() > 0 {
            // All listeners may have left since.
            _ = self.teller.send(moment());
        }
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Moment> {
        self.teller.subscribe()
    }
}
