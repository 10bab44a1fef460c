//! Plays one scenario: a pool, a daemon with the plugin, and a look at what comes of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use simulator::Simulator;

use super::judging::{self, Known, judge};
use super::report::{Step, Verdict};
use super::scenario::{Expected, Story, What, When};
use super::watching::{Called, Heard, Watch, calls};
use crate::cli::call;
use crate::cli::plugin::grant::{Grant, Unusable};
use crate::cli::stage::{self, Stage};
use crate::control::PluginState;
use crate::feed::{LivePool, PoolState};
use crate::router::Steering;
use crate::service::Service;

/// How long the daemon may take to be there, and to catch up with what happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(20);
/// How long running deliveries may take at the end of a scenario.
const DRAIN: Duration = Duration::from_secs(2);
/// The field of the pool by which the test sees that the daemon has caught up with it.
const MARKER: &str = "xapiary-plugin-test";

/// What came of a scenario.
pub(super) struct Played {
    pub(super) steps: Vec<Step>,
    /// All calls of the plugin that were recorded.
    pub(super) calls: Vec<Called>,
    /// The methods that the grant refused, once for each time.
    pub(super) refused: Vec<String>,
    /// The calls that its grant allows.
    pub(super) rules: Vec<Rule>,
    /// The copy of the grant that the daemon read.
    pub(super) copy: PathBuf,
    pub(super) took: Duration,
}

/// A call that a grant allows: a method or a pattern.
pub(super) struct Rule {
    pub(super) call: String,
    /// Where it stands.
    pub(super) place: String,
}

/// Plays a scenario to its end.
///
/// # Errors
/// When the plugin cannot be loaded under this grant, or the stage cannot be set.
pub(super) async fn play(story: &Story, plugin: &str, component: &[u8], grant: &Grant) -> Result<Played> {
    let began = Instant::now();
    let simulator =
        Simulator::builtin(stage::options(story.speed, story.seed)).context("making up a pool")?;
    let stage = Stage::set(&simulator, &grant.pool).await?;
    for call in &story.given {
        administer(&stage, call).await?;
    }
    let file = stage.plugins().join(format!("{plugin}.toml"));
    std::fs::write(&file, &grant.text).context("writing the grant")?;
    std::fs::write(stage.plugins().join(&grant.file), component).context("writing the component")?;
    let config = stage.config().map_err(|problems| grant.problems(&problems, &file))?;
    let service = Service::start(&config).await?;
    let outcome = match scene(&service, &stage, plugin).await {
        Ok(mut scene) => scene.perform(story).await,
        Err(error) => Err(error),
    };
    service.stop(DRAIN).await?;
    stage.strike().await?;
    let (steps, calls, refused) = outcome?;
    let allowed = config.grants.iter().flat_map(|grant| &grant.allow).enumerate();
    let rules = allowed.flat_map(|(at, rule)| {
        let place = format!("[[allow]] {}, line {}", at + 1, rule.place.line);
        rule.call.iter().map(move |call| Rule { call: call.value.clone(), place: place.clone() })
    });
    Ok(Played { steps, calls, refused, rules: rules.collect(), copy: file, took: began.elapsed() })
}

/// An administrator's call, by a client of his own.
async fn administer(stage: &Stage, administered: &super::scenario::Call) -> Result<()> {
    let doing = || format!("the administrator's {}", administered.method);
    let drafts = call::drafts(&administered.method, &administered.arguments).with_context(doing)?;
    let values = call::found(&stage.admin, drafts).await.with_context(doing)?;
    stage.admin.call(&administered.method, &values).await.with_context(doing)?;
    Ok(())
}

/// What a scenario is played in.
struct Scene<'s> {
    service: &'s Service,
    stage: &'s Stage,
    pool: LivePool,
    steering: Steering,
    watch: Watch,
    plugin: &'s str,
    markers: u32,
}

/// Waits until the daemon follows the pool with the plugin loaded.
async fn scene<'s>(service: &'s Service, stage: &'s Stage, plugin: &'s str) -> Result<Scene<'s>> {
    let plugins = service.plugins().borrow().clone();
    let steering = match plugins.first().map(|source| &source.state) {
        Some(PluginState::Loaded { steering, .. }) => steering.clone(),
        Some(PluginState::LeftOut(why)) => {
            return Err(Unusable(format!("the plugin cannot be loaded: {why}")).into());
        }
        Some(PluginState::Off) => {
            return Err(
                Unusable("the grant says enabled = false, so that the plugin does not run".into()).into()
            );
        }
        None => bail!("the daemon has no plugin"),
    };
    let pool = service.pools().first().cloned().context("the daemon has no pool")?;
    let watch = Watch::begin(service.story().listen());
    let mut state = pool.state();
    let followed = state.wait_for(|state| *state == PoolState::Following);
    tokio::time::timeout(PATIENCE, followed)
        .await
        .context("the daemon did not connect to the pool in time")??;
    Ok(Scene { service, stage, pool, steering, watch, plugin, markers: 0 })
}

impl Scene<'_> {
    async fn perform(&mut self, story: &Story) -> Result<(Vec<Step>, Vec<Called>, Vec<String>)> {
        let mut steps = Vec::new();
        for when in &story.when {
            let step = self.step(when).await?;
            let failed = step.verdicts.iter().any(|verdict| verdict.instead.is_some());
            steps.push(step);
            // What comes next stands on what was expected here.
            if failed {
                break;
            }
        }
        let heard = self.watch.since(0);
        let calls = self.calls(&heard).await?;
        let refused = heard.into_iter().filter_map(|heard| match heard {
            Heard::Refused { method, .. } => Some(method),
            _ => None,
        });
        Ok((steps, calls, refused.collect()))
    }

    async fn step(&mut self, when: &When) -> Result<Step> {
        let mark = self.watch.mark();
        let what = match &when.what {
            What::Pool(words, scenario) => {
                self.stage.running.pool().begin(scenario);
                words.clone()
            }
            What::Call(call) => {
                administer(self.stage, call).await?;
                format!("{} {}", call.method, call.arguments.join(" "))
            }
        };
        let mut verdicts = Vec::new();
        for then in &when.then {
            // Once something is wrong, nothing more is worth waiting for.
            let wrong = verdicts.iter().any(|verdict: &Verdict| verdict.instead.is_some());
            let within = if wrong { Duration::ZERO } else { then.within };
            let instead = self.expect(&then.what, within, mark).await?.err();
            verdicts.push(Verdict { what: judging::words(&then.what), instead });
        }
        let heard = self.watch.since(mark);
        let calls = self.calls(&heard).await?;
        Ok(Step { what, verdicts, heard, calls })
    }

    /// Waits until something expected is so.
    async fn expect(
        &mut self,
        expected: &Expected,
        within: Duration,
        mark: usize,
    ) -> Result<Result<(), String>> {
        if judging::is_final(expected) {
            self.quiet().await?;
        }
        let deadline = Instant::now() + within;
        loop {
            let heard = self.watch.since(mark);
            if heard.iter().any(|heard| matches!(heard, Heard::Missed)) {
                bail!("more happened at once than the test could listen to: let less happen in one scenario");
            }
            let calls = self.calls(&heard).await?;
            let stored = match expected {
                Expected::Store { key, .. } => self
                    .service
                    .journal()
                    .state(self.plugin, key)
                    .await
                    .context("reading the plugin's store")?,
                _ => None,
            };
            let pool = self.stage.running.pool();
            let known = Known { heard: &heard, calls: &calls, pool: &pool, stored: stored.as_deref() };
            match judge(expected, &known) {
                Ok(()) => return Ok(Ok(())),
                Err(instead) if judging::is_final(expected) => return Ok(Err(instead)),
                Err(instead) if within.is_zero() => return Ok(Err(instead)),
                Err(instead) if Instant::now() >= deadline => {
                    let within = humantime::format_duration(within);
                    return Ok(Err(format!("not within {within}: {instead}")));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn calls(&self, heard: &[Heard]) -> Result<Vec<Called>> {
        calls(self.service.journal(), self.plugin, &self.stage.running.pool(), heard).await
    }

    /// Waits until the daemon has heard of all that happened, and the plugin has dealt with it. A delivery that rests until
    /// it is tried again is not waited for.
    async fn quiet(&mut self) -> Result<()> {
        self.markers += 1;
        let marker = format!("{MARKER}-{}", self.markers);
        let whole = self.stage.running.pool();
        let own = whole
            .records("pool")
            .first()
            .map(|pool| pool.reference.clone())
            .context("the pool has no pool object")?;
        let arguments = [own.as_str().into(), marker.as_str().into(), "".into()];
        self.stage.admin.call("pool.add_to_other_config", &arguments).await.context("marking a moment")?;
        let wait = async {
            loop {
                let caught_up = self.pool.read().get("pool", &own).is_some_and(|pool| {
                    let noted = pool.get("other_config").and_then(xapi::Value::as_struct);
                    noted.is_some_and(|noted| noted.get(&marker).is_some())
                });
                let figures = self.steering.figures();
                let settled = figures.running == 0
                    && figures.open == figures.resting
                    && (figures.resting > 0 || figures.cursor >= self.service.journal().last());
                if caught_up && settled {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.context("the plugin did not come to rest in time")
    }
}
