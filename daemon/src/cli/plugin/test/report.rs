//! How the outcome of tests looks, and what of the grant they have used.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use plugin_host::grant::Pattern;

use super::running::Played;
use super::scenario::Ending;
use super::watching::{Called, Heard};
use crate::cli::output;

/// Lines of the log that are shown of a step that failed.
const LINES_SHOWN: usize = 20;

/// What happened, and what was expected of it.
pub(super) struct Step {
    pub(super) what: String,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) heard: Vec<Heard>,
    pub(super) calls: Vec<Called>,
}

/// One expectation.
pub(super) struct Verdict {
    pub(super) what: String,
    /// What is the case instead; nothing where it is as expected.
    pub(super) instead: Option<String>,
}

impl Played {
    pub(super) fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.verdicts.iter().all(|verdict| verdict.instead.is_none()))
    }
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// One scenario.
pub(super) fn scenario(file: &str, about: &str, played: &Played, planned: usize) -> String {
    let mut text = file.to_owned();
    if !about.is_empty() {
        text.push_str(&format!(": {about}"));
    }
    text.push('\n');
    for step in &played.steps {
        text.push_str(&format!("  when {}\n", step.what));
        for verdict in &step.verdicts {
            match &verdict.instead {
                None => text.push_str(&format!("    {GOOD}ok{GOOD:#}    {}\n", verdict.what)),
                Some(instead) => {
                    text.push_str(&format!("    {BAD}wrong{BAD:#} {}: {instead}\n", verdict.what));
                }
            }
        }
        if step.verdicts.iter().any(|verdict| verdict.instead.is_some()) {
            text.push_str(&what_it_did(step));
        }
    }
    if planned > played.steps.len() {
        let left = output::counted((planned - played.steps.len()) as u64, "step");
        text.push_str(&format!("  {left} after it left out\n"));
    }
    let (style, word) = if played.passed() { (GOOD, "passed") } else { (BAD, "failed") };
    _ = writeln!(text, "  {style}{word}{style:#} in {}", seconds(played.took));
    text
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Everything that the plugin did in a step.
fn what_it_did(step: &Step) -> String {
    let mut lines: Vec<String> =
        step.calls.iter().map(|call| format!("call: {}: {}", call.shown, call.outcome)).collect();
    for heard in &step.heard {
        lines.push(match heard {
            Heard::Given { sequence } => format!("event {sequence} is delivered"),
            Heard::Logged(line) => format!("log: {}", output::one_line(&line.to_string())),
            Heard::Refused { method, advice } => {
                format!("the grant refused {method}: {advice}")
            }
            Heard::Ended { how: Ending::Done, .. } => "the delivery is done".to_owned(),
            Heard::Ended { how: Ending::Again, why } => format!("the delivery is tried again later: {why}"),
            Heard::Ended { how: Ending::GivenUp, why } => format!("the delivery is given up: {why}"),
            Heard::Missed => "more happened than could be listened to".to_owned(),
        });
    }
    if lines.is_empty() {
        return "          the plugin was told nothing: look at the [[subscribe]] of its manifest\n"
            .to_owned();
    }
    let more = lines.len().saturating_sub(LINES_SHOWN);
    lines.truncate(LINES_SHOWN);
    if more > 0 {
        lines.push(format!("and {} more", output::counted(more as u64, "line")));
    }
    lines
        .iter()
        .map(|line| format!("          {}\n", line.trim_end().replace('\n', "\n            ")))
        .collect()
}

/// What of the grant was used by all scenarios that ran under it together.
pub(super) fn coverage(played: &[Played]) -> String {
    let times =
        |count: usize| if count == 0 { "never".to_owned() } else { output::counted(count as u64, "time") };
    let rows: Vec<Vec<String>> = played
        .first()
        .into_iter()
        .flat_map(|first| &first.rules)
        .map(|rule| {
            let pattern = Pattern::parse(&rule.call).ok();
            let fits = |method: &str| pattern.as_ref().is_some_and(|pattern| pattern.matches(method));
            let used =
                played.iter().flat_map(|played| &played.calls).filter(|call| fits(&call.method)).count();
            let refused =
                played.iter().flat_map(|played| &played.refused).filter(|method| fits(method)).count();
            vec![rule.place.clone(), rule.call.clone(), times(used), times(refused)]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("The grant:\n{}", output::table(&["RULE", "CALL", "USED", "REFUSED"], rows))
}
