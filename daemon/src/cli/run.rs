//! `xapiary run`: the daemon in its process.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use journal::{By, Journal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use super::{Answer, ConfigFile};
use crate::config::{self, Problem, Problems};
use crate::control::types::Reloaded;
use crate::control::{self, Control};
use crate::feed::PoolState;
use crate::pulse::Pulses;
use crate::service::{Prepared, Service, Summary};
use crate::{systemd, telemetry};

/// How often `systemctl status` may change its line.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How long the journal's writer may take to answer before it counts as stuck.
const WRITER_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) async fn run(arguments: &Arguments) -> Result<Answer> {
    let config = match config::load(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => {
            anstream::eprintln!("{problems}");
            return Ok(Answer::Misused);
        }
    };
    let log_level = telemetry::start(config.log.format, &config.log.level)?;
    for warning in &config.warnings {
        tracing::warn!("{}", warning.one_line());
    }
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut service = Service::start(&config).await?;
    let (reload, mut asked_to_reload) = mpsc::channel(1);
    let control = match Control::open(service.sources(reload)).await {
        Ok(control) => control,
        Err(error) => {
            service.stop(Duration::ZERO).await?;
            return Err(error.into());
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pools = config.pools.len(),
        plugins = service.loaded_plugins(),
        "ready"
    );
    systemd::ready(&status(&service));
    let mut status_due = tokio::time::interval(STATUS_EVERY);
    let mut told = String::new();
    let journal = service.journal().clone();
    let pulses = service.pulses().clone();
    let watchdog = systemd::feed_watchdog(|| makes_progress(journal.clone(), pulses.clone()));
    tokio::pin!(watchdog);
    let file = &arguments.file.config;
    let mut reloading: Option<Reloading> = None;
    let failure = loop {
        tokio::select! {
            _ = asked_to_stop.recv() => break None,
            _ = interrupted.recv() => break None,
            error = service.failed() => break Some(error),
            // One at a time; who asks meanwhile waits.
            _ = hung_up.recv(), if reloading.is_none() => reloading = Some(Reloading::by_signal(&service, file)),
            Some(wish) = asked_to_reload.recv(), if reloading.is_none() => {
                reloading = Some(Reloading::by_wish(&service, file, wish));
            }
            prepared = prepared(&mut reloading) => {
                if let Some(begun) = reloading.take() {
                    begun.finish(&mut service, &control, prepared).await;
                    if let Err(error) = log_level.set(service.log_level()) {
                        tracing::error!(error = crate::router::chain(&error), "how much is logged is as it was");
                    }
                    told = status(&service);
                    systemd::ready(&told);
                }
            }
            _ = status_due.tick() => {
                let now = status(&service);
                if now != told {
                    systemd::status(&now);
                    told = now;
                }
            }
            never = &mut watchdog => match never {},
        }
    };
    if let Some(error) = &failure {
        tracing::error!("a part of the daemon failed, stopping: {}", super::chain(error));
    }
    systemd::stopping("letting running deliveries end");
    let drain = service.drain();
    tracing::info!(drain_s = drain.as_secs(), "stopping");
    // Who waits for a reload is told that there is none.
    drop((reloading, asked_to_reload));
    control.close().await;
    let summary = service.stop(drain).await;
    match (failure, summary) {
        (Some(error), _) => Err(error),
        (None, Ok(summary)) => {
            tell(&summary);
            Ok(Answer::Done)
        }
        (None, Err(error)) => Err(error),
    }
}

/// A reading of the configuration that is under way.
struct Reloading {
    prepared: JoinHandle<Result<Prepared, Problems>>,
    by: By,
    answer: Option<oneshot::Sender<Result<Reloaded, String>>>,
}

/// How a reading of the configuration ended.
type Read = Result<Result<Prepared, Problems>, JoinError>;

/// How the reading that is under way ended; never without one.
async fn prepared(reloading: &mut Option<Reloading>) -> Read {
    match reloading {
        Some(reloading) => (&mut reloading.prepared).await,
        None => std::future::pending().await,
    }
}

impl Reloading {
    fn by_signal(service: &Service, file: &Path) -> Self {
        let at_micros = Timestamp::now().as_microsecond();
        let by = By { who: "SIGHUP".to_owned(), reason: String::new(), at_micros };
        Reloading::begin(service, file, None, by, None)
    }

    fn by_wish(service: &Service, file: &Path, wish: control::Reload) -> Self {
        let control::Reload { only, by, answer } = wish;
        Reloading::begin(service, file, only, by, Some(answer))
    }

    fn begin(
        service: &Service,
        file: &Path,
        only: Option<String>,
        by: By,
        answer: Option<oneshot::Sender<Result<Reloaded, String>>>,
    ) -> Self {
        tracing::info!(file = %file.display(), by = by.who, "reading the configuration anew");
        systemd::reloading("reading the configuration anew");
        let preparation = service.preparation(file, only);
        let prepared = tokio::task::spawn_blocking(|| preparation.prepare());
        Reloading { prepared, by, answer }
    }

    /// Takes up what was prepared, or tells what is wrong and leaves everything as it is.
    async fn finish(self, service: &mut Service, control: &Control, prepared: Read) {
        let refused = |problems: &[String], shown: &str| {
            for problem in problems {
                tracing::error!("nothing was taken up, all is as it was: {problem}");
            }
            Err(format!("nothing was taken up, all is as it was:\n{shown}"))
        };
        let outcome = match prepared {
            Ok(Ok(prepared)) => match service.apply(prepared, self.by).await {
                Ok(reloaded) => Ok(reloaded),
                Err(error) => {
                    let why = super::chain(&error);
                    refused(std::slice::from_ref(&why), &why)
                }
            },
            Ok(Err(problems)) => {
                let lines: Vec<String> = problems.errors.iter().map(Problem::one_line).collect();
                refused(&lines, &problems.to_string())
            }
            Err(error) => {
                let why = format!("the daemon's own code failed: {error}");
                refused(std::slice::from_ref(&why), &why)
            }
        };
        control.admit();
        if let Some(answer) = self.answer {
            // Who asked may have gone.
            _ = answer.send(outcome);
        }
    }
}

/// The journal's writer answers, and every feed and every plugin's worker has turned not long ago.
async fn makes_progress(journal: Journal, pulses: Pulses) -> Result<(), String> {
    if !journal.healthy(WRITER_TIMEOUT).await {
        return Err("the journal's writer does not answer".to_owned());
    }
    pulses.check()
}

fn status(service: &Service) -> String {
    let pools = service.pools();
    let pools = pools.iter().map(|pool| {
        let words = match &*pool.state().borrow() {
            PoolState::Connecting => "connecting".to_owned(),
            PoolState::Following => match pool.canary_age() {
                Some(age) => format!("{} objects, heard {} s ago", pool.read().len(), age.as_secs()),
                None => format!("{} objects", pool.read().len()),
            },
            PoolState::Lost(why) => format!("lost ({why})"),
            PoolState::Untrusted(why) => format!("untrusted ({why})"),
            PoolState::Paused(why) => format!("paused ({why})"),
        };
        format!("{}: {words}", pool.name())
    });
    format!("{}; {} plugins", pools.collect::<Vec<_>>().join(", "), service.loaded_plugins())
}

fn tell(summary: &Summary) {
    tracing::info!(
        ran_s = summary.ran.as_secs(),
        events = summary.counts.events,
        dead_letters = summary.counts.dead,
        deliveries = summary.latency.count,
        start_p50_us = micros(summary.latency.p50),
        start_p99_us = micros(summary.latency.p99),
        drained = summary.drained,
        "stopped"
    );
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
