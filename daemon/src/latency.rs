//! How long things take, kept as histograms of microseconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// One measured time. Values above an hour count as an hour.
#[derive(Debug)]
pub(crate) struct Latency {
    histogram: Mutex<Histogram<u64>>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentiles {
    /// How many.
    pub(crate) count: u64,
    /// Half took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 took no longer.
    pub(crate) p99: Duration,
    /// None took longer.
    pub(crate) max: Duration,
}

const HOUR_MICROS: u64 = 3_600_000_000;

impl Latency {
    pub(crate) fn new() -> Self {
        // Three digits between a microsecond and an hour are valid bounds, always.
        let histogram = Histogram::new_with_bounds(1, HOUR_MICROS, 3)
            .unwrap_or_else(|error| unreachable!("the histogram's bounds: {error}"));
        Latency { histogram: Mutex::new(histogram) }
    }

    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, HOUR_MICROS);
        self.histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }

    /// How many lie up to each bound (microseconds, rising) and above the one before, at last those above all, and the sum
    /// of all in seconds.
    pub(crate) fn buckets(&self, bounds: &[u64]) -> (Vec<u64>, f64) {
        let histogram = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = 0;
        let mut counts = Vec::with_capacity(bounds.len() + 1);
        for bound in bounds.iter().copied().chain([HOUR_MICROS]) {
            let up_to = histogram.count_between(0, bound);
            counts.push(up_to - below);
            below = up_to;
        }
        #[expect(clippy::cast_precision_loss, reason = "a sum of times is a floating point number")]
        let sum = histogram.mean() * histogram.len() as f64 / 1e6;
        (counts, sum)
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let histogram = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        Percentiles {
            count: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            max: Duration::from_micros(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_what_was_recorded() {
        let latency = Latency::new();
        for millis in 1..=100 {
            latency.record(Duration::from_millis(millis));
        }
        let measured = latency.percentiles();
        assert_eq!(measured.count, 100);
        assert_eq!(
            (measured.p50.as_millis(), measured.p99.as_millis(), measured.max.as_millis()),
            (50, 99, 100)
        );
    }
}
