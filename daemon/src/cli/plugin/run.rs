//! `xapiary plugin run`: a plugin at work on a simulated pool while it is being written. What it does is told as it happens;
//! when a file of the project changes, it is built anew and goes on where it was.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use plugin_host::report::Source;
use simulator::{Options, Simulator};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::build::{self, Component};
use super::grant::{GRANT, Grant, Unusable};
use crate::cli::stage::{self, Stage};
use crate::cli::{Answer, duration, output};
use crate::service::Service;
use crate::story::Moment;

/// How often the files of the project are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long running deliveries may take when the plugin is exchanged.
const DRAIN: Duration = Duration::from_secs(5);
/// Folders that hold what tools have made.
const MADE: [&str; 6] = ["target", "build", "node_modules", ".venv", "__pycache__", ".git"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Run {
    /// The folder of the project
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The grant to run it under. Without it: `grant.toml` of the project
    #[arg(long, value_name = "FILE")]
    grant: Option<PathBuf>,
    /// Send the calls that change something to the simulated pool; without it they are judged, recorded and told
    #[arg(long)]
    enforce: bool,
    /// Every so often, one of the running VMs goes Halted by itself
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    crash_every: Duration,
    /// Begin with a copy of a real pool's state database (/var/lib/xcp/state.db)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How much faster than nature operations run
    #[arg(long, value_name = "X", default_value_t = 5.0)]
    speed: f64,
    /// Of a Rust project: the build profile
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(super) async fn run(arguments: &Run) -> Result<Answer> {
    let options = Options { crash_every: Some(arguments.crash_every), ..stage::options(arguments.speed, 1) };
    let simulator = match &arguments.state {
        None => Simulator::builtin(options).context("making up a pool")?,
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Simulator::from_state_db(&bytes, options)
                .with_context(|| format!("loading {}", path.display()))?
        }
    };
    let file = arguments.grant.clone().unwrap_or_else(|| arguments.folder.join(GRANT));
    let pool = match Grant::read(&file) {
        Ok(grant) => grant.pool,
        Err(error) => {
            anstream::eprintln!("xapiary: {}", crate::cli::chain(&error));
            return Ok(Answer::Misused);
        }
    };
    let stage = Stage::set(&simulator, &pool).await?;
    anstream::println!(
        "The pool is at unix:{}; make something happen there, for example\n  xapiary call unix:{} VM.hard_shutdown web-1\n",
        stage.socket().display(),
        stage.socket().display()
    );
    let outcome = tokio::select! {
        outcome = at_work(arguments, &file, &stage) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(Answer::Done),
    };
    stage.strike().await?;
    outcome
}

/// Builds, runs, and begins again when something has changed.
async fn at_work(arguments: &Run, grant: &Path, stage: &Stage) -> Result<Answer> {
    loop {
        let seen = newest(&arguments.folder, grant);
        let ran = match build::component(&arguments.folder, &arguments.profile)? {
            Ok(component) => match play(arguments, grant, stage, &component, seen).await {
                Err(error) if error.is::<Unusable>() => {
                    anstream::eprintln!("xapiary: {error}");
                    false
                }
                played => played.map(|()| true)?,
            },
            Err(error) => {
                _ = error.told();
                false
            }
        };
        if !ran {
            anstream::println!("waiting for a change in {}", arguments.folder.display());
        }
        changed(&arguments.folder, grant, seen).await;
    }
}

/// Runs the plugin until a file has changed.
async fn play(
    arguments: &Run,
    file: &Path,
    stage: &Stage,
    component: &Component,
    seen: Option<SystemTime>,
) -> Result<()> {
    let manifest = &component.inspection.manifest;
    let grant = Grant::read(file)?;
    let copy = stage.plugins().join(format!("{}.toml", manifest.name));
    let text = if arguments.enforce { grant.text.clone() } else { grant.dry() };
    std::fs::write(&copy, text).context("writing the grant")?;
    std::fs::write(stage.plugins().join(&grant.file), &component.bytes).context("writing the component")?;
    let config = stage.config().map_err(|problems| grant.problems(&problems, &copy))?;
    let service = Service::start(&config).await?;
    let mode = if arguments.enforce { "its calls are sent" } else { "dry: its calls are told and not sent" };
    anstream::println!("{} {} runs, {mode}", manifest.name, manifest.version);
    let mut moments = service.story().listen();
    let copy = copy.display().to_string();
    let original = file.display().to_string();
    tokio::select! {
        () = tell(&mut moments, &copy, &original) => {}
        () = changed(&arguments.folder, file, seen) => {}
    }
    service.stop(DRAIN).await?;
    Ok(())
}

/// Tells what happens until the daemon ends.
async fn tell(moments: &mut broadcast::Receiver<Moment>, copy: &str, original: &str) {
    loop {
        match moments.recv().await {
            Ok(moment) => anstream::println!("{}", words(moment).replace(copy, original)),
            Err(RecvError::Lagged(missed)) => {
                anstream::println!("and {} more", output::counted(missed, "moment"));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn words(moment: Moment) -> String {
    match moment {
        Moment::Delivery { event, attempt, .. } => {
            let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            format!("event {}{again}", event.sequence)
        }
        Moment::Log { line, .. } => match line.source {
            Source::Host => format!("  host  {}", line.to_string().trim_end().replace('\n', "\n        ")),
            _ => format!("  log   {}", output::one_line(&line.to_string())),
        },
        Moment::Call { method, target, .. } => format!("  call  {method} on {target}"),
        Moment::Called { method, outcome, took, .. } => {
            format!("  call  {method}: {outcome} after {:.1} ms", took.as_secs_f64() * 1000.0)
        }
        Moment::Finished { outcome, took, .. } => {
            let outcome = outcome.trim_end().replace('\n', "\n        ");
            format!("  {outcome} after {:.1} ms", took.as_secs_f64() * 1000.0)
        }
    }
}

/// Waits until a file of the project is newer than what was seen.
async fn changed(folder: &Path, grant: &Path, seen: Option<SystemTime>) {
    while newest(folder, grant) == seen {
        tokio::time::sleep(LOOK).await;
    }
}

/// When the newest file of a project was written. What cannot be read is as if it were not there.
fn newest(folder: &Path, grant: &Path) -> Option<SystemTime> {
    let written = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let mut newest = written(grant);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.is_dir() {
                newest = newest.max(written(&path));
            } else if !MADE.iter().any(|made| path.ends_with(made)) {
                folders.push(path);
            }
        }
    }
    newest
}
