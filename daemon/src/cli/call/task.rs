//! A call as a task: its progress on the terminal, its end, and what an impatient person can do.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use xapi::{CallOptions, Client, Mark, Task, TaskState, Value};

/// Steps of the bar.
const WHOLE: u64 = 1000;

/// Starts a method, shows how far it is and gives its result. The first interrupt asks the pool to cancel the task and
/// waits on, the second leaves it to itself. A pool that cannot be asked when the patience ends is given up.
pub(super) async fn run(
    client: &Client,
    method: &str,
    arguments: &[Value],
    patience: Duration,
) -> Result<Value> {
    let mark = Mark::new("xapiary-cli", &std::process::id().to_string())?;
    let task = client.start(method, arguments, &CallOptions::marked(mark)).await?;
    let bar = bar(&task);
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut asked_to_cancel = false;
    loop {
        tokio::select! {
            ended = watch(&task, &bar, patience) => {
                bar.finish_and_clear();
                return match ended {
                    Err(error) if asked_to_cancel && error.is("TASK_CANCELLED") => bail!("cancelled"),
                    ended => Ok(ended?),
                };
            }
            _ = interrupts.recv() => {
                if asked_to_cancel {
                    bar.abandon();
                    bail!("left before the end: the task {} may go on", task.reference());
                }
                asked_to_cancel = true;
                bar.suspend(|| anstream::eprintln!("asking the pool to cancel; once more to leave"));
                task.cancel().await?;
            }
        }
    }
}

async fn watch(task: &Task, bar: &ProgressBar, patience: Duration) -> Result<Value, xapi::Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    let show = |progress: f64| bar.set_position((progress * WHOLE as f64) as u64);
    // Each round ends with a word from the pool, or with why there is none.
    while let TaskState::Going(_) = task.wait_and_show(patience, show).await? {}
    task.result().await
}

/// On standard error, so that the result can go elsewhere; without a terminal there is none, and the task is named.
fn bar(task: &Task) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        anstream::eprintln!("{} is task {}", task.method(), task.reference());
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3} % {elapsed} {msg}");
    // The template is ours and good.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(task.method().to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
