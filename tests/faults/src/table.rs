//! The scenarios: code, name, whether every run of the tests has it, and what it does.

use std::pin::Pin;

use crate::scenarios::{answers, clock, disk, killed, network, plugins, pool, reload, stop};

/// How a scenario ended that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All that it checked held; what that was.
    Held(String),
    /// It cannot run here; what is missing.
    Skipped(String),
}

/// A scenario under way.
pub(crate) type Run = Pin<Box<dyn Future<Output = Outcome>>>;

/// One fault, and what must hold.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its code.
    pub(crate) code: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it belongs to every run of the tests.
    pub(crate) in_ci: bool,
    /// About how long it takes.
    pub(crate) seconds: u32,
    /// What it does, from a seed.
    pub(crate) run: fn(u64) -> Run,
}

impl Scenario {
    /// Its own chances: those of the run, and of nobody else in it.
    #[must_use]
    pub(crate) fn seed(&self, of_the_run: u64) -> u64 {
        let code = self.code.bytes().fold(0_u64, |sum, byte| sum * 131 + u64::from(byte));
        of_the_run.rotate_left(17) ^ code.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

macro_rules! scenarios {
    ($($code:literal $name:literal $in_ci:ident $seconds:literal $run:path;)+) => {
        &[$(Scenario {
            code: $code,
            name: $name,
            in_ci: scenarios!(@ $in_ci),
            seconds: $seconds,
            run: |seed| Box::pin($run(seed)),
        }),+]
    };
    (@ always) => { true };
    (@ nightly) => { false };
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = scenarios! {
    "F1"  "killed, within a run of changes"                 always  20 killed::within_a_run;
    "F1k" "killed 200 times at random points"               always 150 killed::two_hundred_times;
    "F4"  "disk full, then room again"                      always  20 disk::full;
    "F7"  "wall clock jumps by a day and by ten years"      always  20 clock::jumps;
    "F8"  "certificate replaced, announced and not"         always  20 network::certificate_replaced;
    "F10" "toolstack restarts, with its last writes lost"   always  15 pool::toolstack_restarts;
    "F11" "sessions end at every turn"                      always  15 pool::sessions_end;
    "F12" "half-open connections"                           always  90 network::half_open;
    "F14" "answers without end"                             always  20 answers::without_end;
    "F15" "malformed answers"                               always  30 answers::malformed;
    "F17" "a task is lost with the toolstack"               always  20 pool::task_lost;
    "F18" "600 deletions during an outage"                  always  20 pool::many_deletions;
    "F20" "poison: a plugin traps on each event"            always  30 plugins::poison;
    "F21" "plugins attack the host"                         always  30 plugins::attack;
    "F25" "stopped under load"                              always  20 stop::under_load;
    "F27" "reloaded under load"                             always  60 reload::under_load;
    "F2"  "power cut"                                       nightly 30 disk::power_cut;
    "F3"  "frozen, then thawed"                             nightly 60 network::frozen;
    "F5"  "files may not grow"                              nightly 20 disk::file_size_limit;
    "F6"  "damaged journal"                                 nightly 30 disk::damaged;
    "F9"  "coordinator fails over"                          nightly 30 pool::failover;
    "F13" "answers drip"                                    nightly 60 network::drip;
    "F16" "login refused"                                   nightly 90 pool::login_refused;
    "F19" "slow plugin"                                     nightly 60 plugins::slow;
    "F22" "files that are no plugin"                        nightly 20 plugins::bad_binary;
    "F26" "hardly any file may be opened"                   nightly 30 disk::few_files;
};

/// Those that were asked for: by code, or all, or those of every run.
#[must_use]
pub(crate) fn chosen(all: bool, only: &[String]) -> Vec<&'static Scenario> {
    let named = |scenario: &&Scenario| only.iter().any(|code| code.eq_ignore_ascii_case(scenario.code));
    let wanted = |scenario: &&Scenario| if only.is_empty() { all || scenario.in_ci } else { named(scenario) };
    SCENARIOS.iter().filter(wanted).collect()
}
