//! Signs of life of the daemon's parts, for the watchdog: who does not beat in time hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Where one part shows that it makes progress.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    began: Instant,
    /// Milliseconds since `began`.
    last: Arc<AtomicU64>,
}

/// All parts and how often each must beat.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulses {
    parts: Arc<Mutex<Vec<Part>>>,
}

/// A part that is to beat until it ends.
#[derive(Debug)]
struct Part {
    name: String,
    began: Instant,
    last: Weak<AtomicU64>,
    limit: Duration,
}

impl Pulse {
    /// Shows progress now.
    pub(crate) fn beat(&self) {
        self.last.store(millis(self.began.elapsed()), Ordering::Relaxed);
    }
}

impl Part {
    /// For how long it has not beaten; none when it has ended.
    fn silent_for(&self) -> Option<Duration> {
        let last = self.last.upgrade()?.load(Ordering::Relaxed);
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(last)))
    }
}

impl Pulses {
    /// A pulse for a part that must beat at least every `limit` for as long as it has it.
    pub(crate) fn part(&self, name: impl Into<String>, limit: Duration) -> Pulse {
        let pulse = Pulse { began: Instant::now(), last: Arc::default() };
        let (began, last) = (pulse.began, Arc::downgrade(&pulse.last));
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.silent_for().is_some());
        parts.push(Part { name: name.into(), began, last, limit });
        pulse
    }

    /// The parts that hang, in words.
    ///
    /// # Errors
    /// When there are any.
    pub(crate) fn check(&self) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = parts.iter().filter_map(|part| Some((part, part.silent_for()?)));
        let hung: Vec<String> = silent
            .filter(|(part, silent)| *silent > part.limit)
            .map(|(part, silent)| format!("{} is silent for {} s", part.name, silent.as_secs()))
            .collect();
        if hung.is_empty() { Ok(()) } else { Err(hung.join(", ")) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_too_long_is_named() {
        let pulses = Pulses::default();
        let quick = pulses.part("feed of lab", Duration::ZERO);
        let slow = pulses.part("deliveries of p", Duration::from_secs(3600));
        quick.beat();
        slow.beat();
        while quick.began.elapsed() <= Duration::from_millis(2) {
            std::thread::yield_now();
        }
        assert_eq!(pulses.check(), Err("feed of lab is silent for 0 s".to_owned()));
        drop(quick);
        assert_eq!(pulses.check(), Ok(()), "what has ended owes no beat");
    }
}
