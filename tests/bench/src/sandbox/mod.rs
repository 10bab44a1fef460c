//! What running a plugin costs by itself: the host alone, with a grant, without pool, journal and router.

mod surroundings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plugin_host::event::{Change, Operation, Origin, Subject};
use plugin_host::grant::{RawAllow, RawGrant, RawRead};
use plugin_host::{Delivery, Event, Grant, Host, Limits, Options, Outcome, Plugin, Spending, Terms};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use xapi::model::Record;

use crate::memory::Memory;
use crate::recorded;
use crate::row::{Goal, Row};
use crate::stage::POOL;
use crate::timing::Rounds;
use surroundings::{Nothing, Silence};

/// How long all instances may take to come to where they wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the components `no_op`, and `repeater` beside it.
pub(crate) fn measure(no_op: &Path, rounds: Rounds, quick: bool) -> Result<Vec<Row>> {
    let (deliveries, times, waiting) = if quick { (5_u32, 10_u32, 20_u32) } else { (100, 10_000, 1000) };
    let host = Host::new(Options { instances: waiting, ..Options::default() });
    let host = host.context("preparing the sandbox")?;
    let load = |path: &Path| -> Result<Plugin> {
        let component = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        host.load(&component).with_context(|| format!("loading {}", path.display()))
    };
    let nothing = Scene::of(load(no_op)?, &json!({}))?;
    let repeater = load(&no_op.with_file_name("repeater.wasm"))?;
    let repeating = |what: &str, times: u32| Scene::of(repeater.clone(), &json!({ what: times }));

    let runtime = Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    let whole = nothing.took(&runtime, rounds, deliveries)?;
    let once = repeating("reads", 0)?.took(&runtime, rounds.few(), deliveries)?;
    let each = |what: &str| -> Result<f64> {
        let all = repeating(what, times)?.took(&runtime, rounds.few(), 1)?;
        Ok(micros(all.saturating_sub(once)) / f64::from(times))
    };
    let mut rows = vec![
        Row::new("a fresh instance, a first call, and its end", micros(whole), "CPU us"),
        Row::new(
            "deliveries to a no-op plugin, by the host alone",
            1.0 / whole.as_secs_f64(),
            "deliveries/CPU s",
        )
        .goal(Goal::AtLeast(10_000.0)),
        Row::new("a field of an object, read by a plugin", each("reads")?, "CPU us"),
        Row::new("a call that the grant refuses", each("refusals")?, "CPU us"),
    ];
    rows.push(repeating("calls", 1)?.waiting(&runtime, waiting)?);
    Ok(rows)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A plugin with an event for it, and all that it reaches.
struct Scene {
    plugin: Plugin,
    pool: Arc<Silence>,
    delivery: Delivery,
}

impl Scene {
    /// The recorded pool, of which a VM changed.
    fn of(plugin: Plugin, settings: &serde_json::Value) -> Result<Self> {
        let pool = Arc::new(Silence::default());
        let records = recorded::batch()?.events.into_iter().filter_map(|event| event.snapshot);
        let mut vm = None;
        if let Ok(mut world) = pool.world.write() {
            for record in records {
                vm = vm.or_else(|| (record.class == "VM").then(|| Arc::clone(&record)));
                world.insert(record);
            }
        }
        let event = changed(&vm.context("the recorded pool has no VM")?);
        let settings = settings.as_object().context("settings are no object")?;
        let settings = plugin.manifest().settle(settings);
        let terms = Terms {
            grant: grant()?,
            spending: Spending::default(),
            settings: settings.map_err(|wrong| anyhow::anyhow!("settling the settings: {wrong:?}"))?,
            secrets: BTreeMap::new(),
            limits: Limits { pool_calls: u32::MAX, cpu: PATIENCE, ..Limits::default() },
            dry_run: false,
        };
        let (ledger, state, log) = (Arc::new(Nothing), Arc::new(Nothing), Arc::new(Nothing));
        let delivery = Delivery { event, pool: pool.clone(), ledger, state, log, terms: Arc::new(terms) };
        Ok(Scene { plugin, pool, delivery })
    }

    /// What one delivery takes, the quickest of many rounds of some.
    fn took(&self, runtime: &Runtime, rounds: Rounds, deliveries: u32) -> Result<Duration> {
        let deliver = || runtime.block_on(self.plugin.deliver(self.delivery.clone())).outcome;
        let outcome = deliver();
        ensure!(outcome == Outcome::Done, "a delivery ended with {outcome:?}");
        let whole = rounds.quickest(|| (), |()| (0..deliveries).for_each(|_| drop(deliver())));
        Ok(whole / deliveries)
    }

    /// By how much this process is larger with so many deliveries that wait for an answer of the pool.
    fn waiting(&self, runtime: &Runtime, instances: u32) -> Result<Row> {
        let memory = || Memory::of(std::process::id());
        let before = memory()?.now;
        let grown = runtime.block_on(async {
            let mut running = JoinSet::new();
            for _ in 0..instances {
                let (plugin, delivery) = (self.plugin.clone(), self.delivery.clone());
                running.spawn(async move { plugin.deliver(delivery).await });
            }
            let begun = Instant::now();
            while self.pool.asked() < instances as usize {
                ensure!(begun.elapsed() < PATIENCE, "of {instances} instances {} wait", self.pool.asked());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(memory()?.now - before)
        })?;
        Ok(Row::new(format!("{instances} instances that wait for the pool"), grown, "MB"))
    }
}

fn changed(vm: &Arc<Record>) -> Event {
    Event {
        sequence: 7,
        pool: POOL.into(),
        at: "2026-11-24T06:00:00Z".into(),
        origin: Origin::Live,
        gap: false,
        attempt: 1,
        subscription: "any".into(),
        subject: Subject::Change(Change {
            class: vm.class.clone(),
            reference: vm.reference.clone(),
            uuid: vm.uuid().map(Into::into),
            operation: Operation::Modified,
            old: Some(Arc::clone(vm)),
            new: Some(Arc::clone(vm)),
            changed: vec!["power_state".into()],
            caused_by: None,
        }),
    }
}

/// One as an administrator writes it: classes to read, calls on some objects only.
fn grant() -> Result<Grant> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let allow = |call: &[&str], on: Option<&str>| RawAllow {
        call: texts(call),
        on: on.map(str::to_owned),
        ..RawAllow::default()
    };
    let raw = RawGrant {
        file: "plugins/bench.toml".to_owned(),
        allow: vec![
            allow(&["VM.start", "VM.clean_*"], Some("\"keepalive\" in self.tags")),
            allow(&["VM.get_record"], Some("!self.is_a_snapshot")),
        ],
        read: vec![RawRead { class: texts(&["VM", "host", "SR"]), fields: texts(&["*"]) }],
    };
    Grant::compile(&raw).map_err(|wrong| anyhow::anyhow!("compiling the grant: {wrong:?}"))
}
