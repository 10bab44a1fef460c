//! Signs of life of the daemon's parts, for the watchdog: who does not beat in time hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    parts: Arc<Mutex<Vec<(String, Pulse, Duration)>>>,
}

impl Pulse {
    /// Shows progress now.
    pub(crate) fn beat(&self) {
        self.last.store(millis(self.began.elapsed()), Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

impl Pulses {
    /// A pulse for a part that must beat at least every `limit`.
    pub(crate) fn part(&self, name: impl Into<String>, limit: Duration) -> Pulse {
        let pulse = Pulse { began: Instant::now(), last: Arc::default() };
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push((name.into(), pulse.clone(), limit));
        pulse
    }

    /// The parts that hang, in words.
    ///
    /// # Errors
    /// When there are any.
    pub(crate) fn check(&self) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let hung = parts.iter().filter(|(_, pulse, limit)| pulse.silent_for() > *limit);
        let hung: Vec<String> = hung
            .map(|(name, pulse, _)| format!("{name} is silent for {} s", pulse.silent_for().as_secs()))
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
        while quick.silent_for() <= Duration::from_millis(1) {
            std::thread::yield_now();
        }
        assert_eq!(pulses.check(), Err("feed of lab is silent for 0 s".to_owned()));
    }
}
