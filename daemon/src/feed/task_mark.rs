//! What tasks that the daemon starts are known by in a pool, also after a restart. Pure.
//!
//! `MACHINE/POOL/RUN`, since daemons of other machines may follow the same pool, and `/PLUGIN/SEQUENCE/ATTEMPT/INDEX` where
//! the task stands for a recorded effect.

use smol_str::{SmolStr, format_smolstr};
use xapi::{Mark, Struct, Value};

/// The key of our marks.
pub(super) const KEY: &str = "xapiary";

/// The name of a recorded effect: which call of which attempt of which delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectName {
    /// The plugin that makes the call.
    pub(crate) plugin: SmolStr,
    /// The event that it deals with.
    pub(crate) sequence: u64,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// The place of the call among those that change something, from 0.
    pub(crate) index: u32,
}

/// The marks of one run of this daemon in one pool.
#[derive(Debug, Clone)]
pub(super) struct TaskMarks {
    /// `MACHINE/POOL`.
    who: SmolStr,
    run: SmolStr,
}

impl TaskMarks {
    pub(super) fn of_this_run(pool: &str) -> Self {
        let machine = rustix::system::uname();
        let run: u64 = rand::random();
        TaskMarks {
            who: format_smolstr!("{}/{pool}", machine.nodename().to_string_lossy()),
            run: format_smolstr!("{run:016x}"),
        }
    }

    /// For a task of this run. None where the machine's name cannot be sent; then the task is not found again after a
    /// crash.
    pub(super) fn mark(&self, effect: Option<&EffectName>) -> Option<Mark> {
        let TaskMarks { who, run } = self;
        let value = match effect {
            None => format_smolstr!("{who}/{run}"),
            Some(EffectName { plugin, sequence, attempt, index }) => {
                format_smolstr!("{who}/{run}/{plugin}/{sequence}/{attempt}/{index}")
            }
        };
        Mark::new(KEY, &value).ok()
    }

    /// Whether a task is of an earlier run of this daemon.
    pub(super) fn is_left(&self, mark: &Mark) -> bool {
        self.ours(mark.value()).is_some_and(|(run, _)| run != self.run)
    }

    /// The effect that a task of this daemon stands for, whichever run it is of.
    pub(super) fn effect(&self, mark: &str) -> Option<EffectName> {
        let (_, effect) = self.ours(mark)?;
        let mut parts = effect?.split('/');
        let effect = EffectName {
            plugin: parts.next()?.into(),
            sequence: parts.next()?.parse().ok()?,
            attempt: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(effect)
    }

    /// The effect that a task with this `other_config` stands for.
    pub(super) fn effect_of(&self, other_config: &Struct) -> Option<EffectName> {
        self.effect(other_config.get(&Mark::stored_key(KEY)).and_then(Value::as_str)?)
    }

    /// Run and effect of a mark of this daemon.
    fn ours<'m>(&self, mark: &'m str) -> Option<(&'m str, Option<&'m str>)> {
        let rest = mark.strip_prefix(self.who.as_str())?.strip_prefix('/')?;
        Some(rest.split_once('/').map_or((rest, None), |(run, effect)| (run, Some(effect))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(who: &str, run: &str) -> TaskMarks {
        TaskMarks { who: who.into(), run: run.into() }
    }

    fn effect() -> EffectName {
        EffectName { plugin: "vm-keepalive".into(), sequence: 17, attempt: 2, index: 3 }
    }

    #[test]
    fn what_is_marked_is_known_again_by_a_later_run_and_by_nobody_else() {
        let mark = marks("h/lab", "1").mark(Some(&effect())).unwrap();
        assert_eq!(mark.value(), "h/lab/1/vm-keepalive/17/2/3");
        for run in ["1", "2"] {
            assert_eq!(marks("h/lab", run).effect(mark.value()), Some(effect()));
            assert_eq!(marks("h/lab", run).is_left(&mark), run == "2");
        }
        for other in ["i/lab", "h/la", "h", ""] {
            assert_eq!(marks(other, "2").effect(mark.value()), None, "{other}");
            assert!(!marks(other, "2").is_left(&mark) || other == "h", "{other}");
        }
    }

    #[test]
    fn a_task_without_effect_and_a_damaged_mark_name_none() {
        let ours = marks("h/lab", "1");
        let plain = ours.mark(None).unwrap();
        assert!(marks("h/lab", "2").is_left(&plain));
        for mark in
            [plain.value(), "h/lab/1/p/17/2", "h/lab/1/p/x/2/3", "h/lab/1/p/17/2/3/4", "h/lab/1/p/-1/2/3"]
        {
            assert_eq!(ours.effect(mark), None, "{mark}");
        }
    }

    #[test]
    fn the_longest_names_still_make_a_mark() {
        let long = "n".repeat(64);
        let effect =
            EffectName { plugin: long.as_str().into(), sequence: u64::MAX, attempt: 99, index: 9999 };
        assert!(marks(&format!("{long}/{long}"), "0123456789abcdef").mark(Some(&effect)).is_some());
    }
}
