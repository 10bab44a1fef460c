//! `xapiary demo`: the daemon with a plugin on a simulated pool, told step by step.

mod cast;
mod screen;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use plugin_host::report::Source;
use simulator::{PoolHandle, Simulator};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use xapi::Value;
use xapi::events::{Change, Event};
use xapi::model::Record;

use super::Answer;
use super::stage::{self, Stage};
use crate::event::{PoolEvent, Told};
use crate::feed::{LivePool, PoolState};
use crate::service::{Service, Summary};
use crate::story::Moment;
use screen::{Screen, Who, short};

/// No step of the demo takes longer; then something is wrong and it says so.
const STEP: Duration = Duration::from_secs(30);
/// The name of the pool.
const POOL: &str = "demo";
/// Operations take a fifth of their natural time, so that the demo fits into a minute.
const SPEED: f64 = 5.0;
/// How many VMs are shown of the pool.
const SHOWN: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Play on a copy in memory of a real pool: its state database (`/var/lib/xcp/state.db`)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The component of vm-keepalive, if it is not where an installation has it
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
}

pub(super) async fn demo(arguments: &Arguments) -> Result<Answer> {
    let component = cast::find_component(arguments.plugin.as_deref())?;
    let stage = Stage::set(&simulator(arguments.state.as_deref())?, POOL).await?;
    std::fs::write(stage.plugins().join("vm-keepalive.toml"), cast::grant(&component, POOL))
        .context("writing the plugin's grant")?;
    let mut play = Play { screen: Screen::new(), calls: 0, refused: 0, again: Vec::new() };

    play.screen.scene("A pool, simulated; nothing of it is real but its protocol");
    let service = Service::start(&stage.config()?).await?;
    let pool = service.pools().first().cloned().context("the demo has no pool")?;
    let mut moments = service.story().listen();
    let outcome = play.perform(&stage, &pool, &mut moments).await;
    let summary = service.stop(Duration::from_secs(5)).await?;
    if outcome.is_ok() {
        play.summary(&summary);
    }
    stage.strike().await?;
    outcome.map(|()| Answer::Done)
}

/// A made-up pool, or a copy of a real one.
fn simulator(state: Option<&Path>) -> Result<Simulator> {
    let options = stage::options(SPEED, 1);
    match state {
        None => Simulator::builtin(options).context("making up a pool"),
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Simulator::from_state_db(&bytes, options).with_context(|| format!("loading {}", path.display()))
        }
    }
}

struct Play {
    screen: Screen,
    calls: u32,
    refused: u32,
    /// From crash to running again.
    again: Vec<Duration>,
}

impl Play {
    async fn perform(
        &mut self,
        stage: &Stage,
        pool: &LivePool,
        moments: &mut broadcast::Receiver<Moment>,
    ) -> Result<()> {
        let began = Instant::now();
        following(pool).await?;
        let took = began.elapsed();
        let (hero, other) = cast::cast(pool.read().of("VM"))?;
        self.show_pool(&stage.running.pool(), pool, &hero, &other);
        let objects = pool.read().len();
        self.screen.line(Who::Pool, format!("{}, certificate pinned", pool.client().endpoint()));
        self.screen.line(
            Who::Pool,
            format!(
                "{objects} objects read, compared and journaled in {}, of the classes that matter to the plugin",
                short(took)
            ),
        );

        let (hero_name, other_name) = (hero.text("name_label"), other.text("name_label"));
        self.screen.scene(format!(
            "The administrator tags {hero_name} and {other_name}, and grants one plugin one call"
        ));
        for (vm, tags) in [(&hero, &["keepalive"][..]), (&other, &["keepalive", "hands-off"])] {
            prepare(&stage.admin, pool, vm, tags).await?;
            self.screen.line(Who::Pool, format!("{} is tagged {}", vm.text("name_label"), tags.join(", ")));
        }
        for line in cast::ALLOWED.lines() {
            self.screen.remark(format!("  {line}"));
        }

        self.screen.scene(format!("{hero_name} crashes"));
        skip(moments);
        let crashed = Instant::now();
        stage.running.pool().crash(&hero.reference).context("crashing the VM")?;
        self.screen.line(Who::Pool, format!("{hero_name} is gone without being asked to"));
        self.follow(pool, &hero, moments).await?;
        running(pool, &hero).await?;
        self.again.push(crashed.elapsed());
        self.screen
            .line(Who::Pool, format!("{hero_name} runs again, {} after the crash", short(crashed.elapsed())));

        self.screen.scene(format!("{other_name} crashes too, and the grant does not cover it"));
        skip(moments);
        stage.running.pool().crash(&other.reference).context("crashing the VM")?;
        self.screen.line(Who::Pool, format!("{other_name} is gone without being asked to"));
        self.follow(pool, &other, moments).await?;
        let state = pool.read().get("VM", &other.reference).map(|vm| vm.text("power_state").to_owned());
        self.screen.line(Who::Pool, format!("{other_name} stays {}", state.unwrap_or_default()));
        Ok(())
    }

    /// The pool as it is, and its VMs as the daemon sees them.
    fn show_pool(&self, whole: &PoolHandle, pool: &LivePool, hero: &Record, other: &Record) {
        let world = pool.read();
        let count = |class: &str| whole.records(class).len();
        self.screen.remark(format!(
            "{} hosts, {} VMs, templates and snapshots, {} disks on {} storage repositories, {} networks",
            count("host"),
            count("VM"),
            count("VDI"),
            count("SR"),
            count("network")
        ));
        let mut vms: Vec<&Arc<Record>> = world
            .of("VM")
            .filter(|vm| {
                ["is_a_template", "is_control_domain"]
                    .iter()
                    .all(|field| vm.get(field).and_then(Value::as_bool) != Some(true))
            })
            .collect();
        let plays = |vm: &Record| vm.reference == hero.reference || vm.reference == other.reference;
        vms.sort_by_key(|vm| (!plays(vm), vm.text("name_label").to_owned()));
        let all = vms.len();
        self.screen.table(
            &["VM", "STATE", "MEMORY", "DISKS", "HOST"],
            vms.into_iter().take(SHOWN).map(|vm| {
                let memory = vm.get("memory_static_max").and_then(Value::as_int).unwrap_or_default();
                let disks = vm.get("VBDs").and_then(Value::as_array).unwrap_or_default().len();
                let host =
                    world.get("host", vm.text("resident_on")).map_or("-", |host| host.text("name_label"));
                let memory = format!("{} MiB", memory / (1024 * 1024));
                vec![
                    vm.text("name_label").to_owned(),
                    vm.text("power_state").to_owned(),
                    memory,
                    disks.to_string(),
                    host.to_owned(),
                ]
            }),
        );
        if all > SHOWN {
            self.screen.remark(format!("... and {} more", all - SHOWN));
        }
    }

    /// Tells what the daemon does about `vm` until the delivery of its stop ends.
    async fn follow(
        &mut self,
        pool: &LivePool,
        vm: &Record,
        moments: &mut broadcast::Receiver<Moment>,
    ) -> Result<()> {
        let mut following = None;
        tokio::time::timeout(STEP, async {
            loop {
                let moment = match moments.recv().await {
                    Ok(moment) => moment,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => bail!("the daemon stopped"),
                };
                match moment {
                    Moment::Delivery { plugin, event, attempt, waited } => {
                        let Some(change) = change_of(&event, vm) else { continue };
                        following = Some(event.sequence);
                        self.screen.line(Who::Event, words::told(&event, change, &pool.read()));
                        let waited =
                            waited.map(|waited| format!(" {} after the pool's answer", short(waited)));
                        self.screen.line(
                            Who::Plugin,
                            format!(
                                "{plugin} gets event {}, attempt {attempt},{}",
                                event.sequence,
                                waited.unwrap_or_default()
                            ),
                        );
                    }
                    Moment::Log { plugin, sequence, line } if following == Some(sequence) => {
                        let field = |name: &str| line.fields.iter().find(|(known, _)| known == name);
                        match (line.source, field("method"), field("advice")) {
                            (Source::Host, Some((_, method)), Some((_, advice))) => {
                                self.refused += 1;
                                let name = vm.text("name_label");
                                let text = format!(
                                    "{plugin} may not call {method} on {name}\n{}",
                                    advice.trim_end()
                                );
                                self.screen.line(Who::Refused, text);
                            }
                            _ => self.screen.line(Who::Plugin, format!("{plugin}: {}", line.message)),
                        }
                    }
                    Moment::Call { plugin, sequence, method, target } if following == Some(sequence) => {
                        self.calls += 1;
                        self.screen.line(
                            Who::Call,
                            format!(
                                "{plugin} calls {method} on {target}: allowed by the grant, recorded, sent"
                            ),
                        );
                    }
                    Moment::Called { sequence, method, outcome, took } if following == Some(sequence) => {
                        self.screen.line(Who::Call, format!("{method} {outcome} after {}", short(took)));
                    }
                    Moment::Finished { plugin, sequence, outcome, took } if following == Some(sequence) => {
                        let outcome = outcome.split([';', '\n']).next().unwrap_or_default();
                        let took = short(took);
                        self.screen.line(
                            Who::Plugin,
                            format!("{plugin} is done with event {sequence} after {took}: {outcome}"),
                        );
                        return Ok(());
                    }
                    _ => {}
                }
            }
        })
        .await
        .context("the plugin did not hear of the crash in time")?
    }

    fn summary(&mut self, summary: &Summary) {
        self.screen.scene("What it came to");
        let latency = summary.latency;
        let again: Vec<String> = self.again.iter().map(|took| short(*took)).collect();
        let row = |what: &str, figure: String| vec![what.to_owned(), figure];
        self.screen.table(
            &["FIGURE", "VALUE"],
            [
                row("events in the journal", summary.counts.events.to_string()),
                row("objects kept for the next start", summary.counts.objects.to_string()),
                row("deliveries", latency.count.to_string()),
                row("calls sent to the pool", self.calls.to_string()),
                row("calls refused by the grant", self.refused.to_string()),
                row("dead letters, kept for a person", summary.counts.dead.to_string()),
                row(
                    "pool's answer to plugin start, p50 / p99 / max",
                    format!("{} / {} / {}", short(latency.p50), short(latency.p99), short(latency.max)),
                ),
                row("crash to running again", again.join(", ")),
            ],
        );
    }
}

fn change_of<'e>(event: &'e PoolEvent, vm: &Record) -> Option<&'e Change> {
    match &event.told {
        Told::Stream(Event::Change(change)) if change.reference == vm.reference => Some(change),
        _ => None,
    }
}

async fn following(pool: &LivePool) -> Result<()> {
    let mut state = pool.state();
    let followed = tokio::time::timeout(STEP, state.wait_for(|state| *state == PoolState::Following)).await;
    followed.context("the daemon did not connect to the simulated pool in time")??;
    Ok(())
}

/// Tags the VM and makes sure that it runs.
async fn prepare(admin: &xapi::Client, pool: &LivePool, vm: &Record, tags: &[&str]) -> Result<()> {
    let tags: Vec<Value> = tags.iter().map(|tag| Value::from(*tag)).collect();
    admin.call("VM.set_tags", &[vm.reference.clone().into(), tags.clone().into()]).await?;
    match vm.text("power_state") {
        "Running" => {}
        "Suspended" => {
            admin.call("VM.resume", &[vm.reference.clone().into(), false.into(), true.into()]).await?;
        }
        "Paused" => {
            admin.call("VM.unpause", &[vm.reference.clone().into()]).await?;
        }
        _ => {
            admin.call("VM.start", &[vm.reference.clone().into(), false.into(), true.into()]).await?;
        }
    }
    seen(pool, vm, |now| {
        now.text("power_state") == "Running" && now.get("tags") == Some(&Value::Array(tags.clone()))
    })
    .await
}

async fn running(pool: &LivePool, vm: &Record) -> Result<()> {
    seen(pool, vm, |now| now.text("power_state") == "Running").await
}

/// Waits until the daemon sees the VM as described.
async fn seen(pool: &LivePool, vm: &Record, so: impl Fn(&Record) -> bool) -> Result<()> {
    let mut changed = pool.changed();
    let wait = async {
        loop {
            changed.borrow_and_update();
            if pool.read().get("VM", &vm.reference).is_some_and(|now| so(now)) {
                return;
            }
            // The pool lives as long as the demo.
            _ = changed.changed().await;
        }
    };
    tokio::time::timeout(STEP, wait)
        .await
        .with_context(|| format!("the daemon did not see the change of {} in time", vm.text("name_label")))
}

/// What happened before is not the story.
fn skip(moments: &mut broadcast::Receiver<Moment>) {
    while !matches!(
        moments.try_recv(),
        Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
    ) {}
}
