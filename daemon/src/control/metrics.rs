//! The picture as metrics in Prometheus' text form.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::types::{PluginStatus, PoolStatus, Status};
use crate::latency::Latency;

pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Bounds of the histogram of times, in microseconds: an fsync of a good disk at one end, an ailing pool at the other.
const BOUNDS_MICROS: [u64; 12] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The whole page. Made anew each time, so nothing is counted twice and nothing stays of what is gone.
pub(super) fn text(status: &Status, latency: &Latency) -> Result<String, fmt::Error> {
    let mut page = Page { registry: Registry::with_prefix("xapiary") };
    let version = [(vec![("version", status.version.clone())], 1.0)];
    page.gauge("build_info", "The version that runs, always 1", None, version);
    page.gauge("uptime", "Time since the daemon started", Some(Unit::Seconds), one(status.running_for_s));
    page.gauge(
        "problems",
        "What a person should look at: `xapiary status` says what",
        None,
        one(number(status.problems.len())),
    );
    pools(&mut page, &status.pools);
    plugins(&mut page, &status.plugins);
    let journal = &status.journal;
    page.gauge("journal_last_sequence", "The number of the last event", None, one(wide(journal.last)));
    page.gauge("journal_events", "Events in the journal", None, one(wide(journal.events)));
    page.gauge(
        "journal_objects",
        "Objects in the kept pictures of all pools",
        None,
        one(wide(journal.objects)),
    );
    page.gauge(
        "journal_size",
        "Size of the journal's main file",
        Some(Unit::Bytes),
        one(wide(journal.bytes)),
    );
    page.gauge(
        "journal_free",
        "Part of the journal's main file that is free",
        Some(Unit::Bytes),
        one(wide(journal.free_bytes)),
    );
    page.gauge("effects", "Calls to pools on record", None, one(wide(journal.effects)));
    page.gauge(
        "effects_in_doubt",
        "Calls on record whose outcome nobody knows",
        None,
        one(wide(journal.effects_in_doubt)),
    );
    page.counter(
        "audit_rows",
        "Rows that were ever written to the audit",
        [(Vec::new(), journal.audit_rows)],
    );
    let (counts, sum) = latency.buckets(&BOUNDS_MICROS);
    page.registry.register_with_unit(
        "delivery_start",
        "From a pool's complete answer to the start of a plugin",
        Unit::Seconds,
        Buckets { counts, sum },
    );
    let mut text = String::new();
    prometheus_text::encode(&mut text, &page.registry)?;
    Ok(text)
}

fn pools(page: &mut Page, pools: &[PoolStatus]) {
    let each = |value: fn(&PoolStatus) -> Option<f64>| {
        pools.iter().filter_map(move |pool| Some((vec![("pool", pool.name.clone())], value(pool)?)))
    };
    let following = |pool: &PoolStatus| Some(if pool.state == "following" { 1.0 } else { 0.0 });
    page.gauge("pool_following", "Whether the pool's changes are followed", None, each(following));
    page.gauge(
        "pool_canary_age",
        "How long ago a change of our own was told by the pool",
        Some(Unit::Seconds),
        each(|pool| pool.canary_age_s),
    );
    page.gauge(
        "pool_lag",
        "How long the last change of our own took to be told by the pool",
        Some(Unit::Seconds),
        each(|pool| pool.lag_s),
    );
    page.gauge(
        "pool_objects",
        "Objects of the pool as last seen",
        None,
        each(|pool| Some(wide(pool.objects))),
    );
    let events = pools.iter().map(|pool| (vec![("pool", pool.name.clone())], pool.events));
    page.counter("events", "Events written to the journal since the start", events);
}

fn plugins(page: &mut Page, plugins: &[PluginStatus]) {
    let each = |value: fn(&PluginStatus) -> f64| {
        plugins.iter().map(move |plugin| (vec![("plugin", plugin.name.clone())], value(plugin)))
    };
    page.gauge(
        "plugin_on",
        "Whether deliveries to the plugin begin",
        None,
        each(|plugin| if plugin.state == "on" { 1.0 } else { 0.0 }),
    );
    page.gauge(
        "plugin_behind_events",
        "Events of the journal after the plugin's cursor",
        None,
        each(|plugin| wide(plugin.behind)),
    );
    page.gauge(
        "deliveries_waiting",
        "Deliveries that wait for their turn",
        None,
        each(|plugin| wide(plugin.waiting)),
    );
    page.gauge("deliveries_running", "Deliveries that run", None, each(|plugin| wide(plugin.running)));
    page.gauge(
        "deliveries_resting",
        "Objects whose delivery failed and rests until it is tried again",
        None,
        each(|plugin| wide(plugin.resting)),
    );
    page.gauge("dead_letters", "Dead letters that wait for a person", None, each(|plugin| wide(plugin.dead)));
    let attempts = plugins.iter().flat_map(|plugin| {
        let ended = [
            ("done", plugin.attempts_done),
            ("again", plugin.attempts_again),
            ("dead", plugin.attempts_dead),
        ];
        ended.map(|(outcome, count)| {
            (vec![("plugin", plugin.name.clone()), ("outcome", outcome.to_owned())], count)
        })
    });
    let folded = plugins.iter().map(|plugin| (vec![("plugin", plugin.name.clone())], plugin.folded));
    page.counter("events_folded", "Events told with a later one of the same object, since the start", folded);
    let lost = plugins.iter().map(|plugin| (vec![("plugin", plugin.name.clone())], plugin.lost));
    page.counter("events_lost", "Events that the plugin lost, since the journal may not hold more", lost);
    page.counter("attempts", "Attempts at deliveries by how they ended, since the start", attempts);
}

/// The page under way.
struct Page {
    registry: Registry,
}

impl Page {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let family = Gauges::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, family),
            None => self.registry.register(name, help, family),
        }
    }

    fn counter(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }
}

fn one(value: f64) -> [(Labels, f64); 1] {
    [(Labels::new(), value)]
}

fn number(count: usize) -> f64 {
    wide(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Exact up to 2^53; nothing that is counted here comes near.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
fn wide(count: u64) -> f64 {
    count as f64
}

/// Times that were measured elsewhere, as a histogram.
#[derive(Debug)]
struct Buckets {
    /// How many lie up to each bound and above the one before; the last has no bound.
    counts: Vec<u64>,
    /// In seconds.
    sum: f64,
}

impl EncodeMetric for Buckets {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds =
            BOUNDS_MICROS.iter().map(|&micros| std::time::Duration::from_micros(micros).as_secs_f64());
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::MAX]).zip(self.counts.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(self.sum, self.counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let latency = Latency::new();
        for millis in [1, 3, 3, 60_000] {
            latency.record(Duration::from_millis(millis));
        }
        let (counts, sum) = latency.buckets(&BOUNDS_MICROS);
        assert_eq!(counts, [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!((sum - 60.007).abs() < 0.1, "{sum}");
        let mut registry = Registry::with_prefix("xapiary");
        registry.register_with_unit("delivery_start", "Times", Unit::Seconds, Buckets { counts, sum });
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "xapiary_delivery_start_seconds_bucket{le=\"0.001\"} 1\n",
            "xapiary_delivery_start_seconds_bucket{le=\"0.005\"} 3\n",
            "xapiary_delivery_start_seconds_bucket{le=\"+Inf\"} 4\n",
            "xapiary_delivery_start_seconds_count 4\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
