//! `xapiary run`: the daemon in its process.

use std::time::Duration;

use anyhow::Result;
use journal::Journal;
use tokio::signal::unix::{SignalKind, signal};

use super::{Answer, ConfigFile};
use crate::config;
use crate::control::Control;
use crate::feed::PoolState;
use crate::pulse::Pulses;
use crate::service::{Service, Summary};
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
    telemetry::start(config.log.format, &config.log.level)?;
    for warning in &config.warnings {
        tracing::warn!("{}", warning.one_line());
    }
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut service = Service::start(&config).await?;
    let control = match Control::open(service.sources(config.control.clone())).await {
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
    let failure = loop {
        tokio::select! {
            _ = asked_to_stop.recv() => break None,
            _ = interrupted.recv() => break None,
            error = service.failed() => break Some(error),
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
    tracing::info!(drain_s = config.drain.as_secs(), "stopping");
    control.close().await;
    let summary = service.stop(config.drain).await;
    match (failure, summary) {
        (Some(error), _) => Err(error),
        (None, Ok(summary)) => {
            tell(&summary);
            Ok(Answer::Done)
        }
        (None, Err(error)) => Err(error),
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
    let pools = service.pools().iter().map(|pool| {
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
