//! A machine that makes any calls in any order, on the journal and on a few maps in memory, and compares. In between
//! the journal is closed, dropped, or copied while it is open (as a power cut would leave it) and opened from the copy.

use std::collections::BTreeMap;
use std::fs;

use journal::{
    Append, EffectId, Error, Finish, Intent, Journal, ObjectChange, OpenDelivery, OpenState, Options,
    Outcome, StateWrite,
};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::setting::{events, quick_folder};

#[derive(Debug, Clone)]
enum Call {
    Append {
        pool: u8,
        count: usize,
        objects: Vec<(u8, Option<u8>)>,
    },
    Progress {
        plugin: u8,
        start: u64,
    },
    Start {
        plugin: u8,
        sequence: u64,
        attempt: u32,
        wait: bool,
    },
    Finish {
        plugin: u8,
        sequence: u64,
        attempt: u32,
        outcome: Outcome,
        state: Vec<(u8, Option<u8>)>,
        cursor: Option<u64>,
    },
    Fold {
        plugin: u8,
        folded: Vec<u64>,
        into: u64,
    },
    Advance {
        plugin: u8,
        cursor: u64,
    },
    Intend {
        plugin: u8,
        sequence: u64,
        attempt: u32,
        index: u32,
    },
    Conclude {
        id: u64,
        outcome: u8,
    },
    Reopen(Reopen),
}

#[derive(Debug, Clone, Copy)]
enum Reopen {
    Closed,
    Dropped,
    Copied,
}

fn call() -> impl Strategy<Value = Call> {
    let plugin = || 0..2_u8;
    let sequence = || 0..7_u64;
    let attempt = || 0..4_u32;
    let pairs = || proptest::collection::vec((0..3_u8, proptest::option::of(any::<u8>())), 0..3);
    let outcome = prop_oneof![
        3 => Just(Outcome::Done),
        2 => any::<(i64, bool)>().prop_map(|(not_before_micros, cut_short)| {
            Outcome::Retry { not_before_micros, why: "again".into(), cut_short }
        }),
        1 => (proptest::collection::vec("[a-z]{0,3}", 0..3), any::<bool>())
            .prop_map(|(log, cut_short)| Outcome::Dead { why: "trap".into(), log, cut_short }),
    ];
    prop_oneof![
        3 => (0..2_u8, 0..4_usize, pairs()).prop_map(|(pool, count, objects)| Call::Append { pool, count, objects }),
        2 => (plugin(), 0..3_u64).prop_map(|(plugin, start)| Call::Progress { plugin, start }),
        4 => (plugin(), sequence(), attempt(), any::<bool>())
            .prop_map(|(plugin, sequence, attempt, wait)| Call::Start { plugin, sequence, attempt, wait }),
        5 => (plugin(), sequence(), attempt(), outcome, pairs(), proptest::option::of(sequence())).prop_map(
            |(plugin, sequence, attempt, outcome, state, cursor)| Call::Finish {
                plugin, sequence, attempt, outcome, state, cursor
            }
        ),
        3 => (plugin(), proptest::collection::btree_set(sequence(), 0..4), 3..9_u64).prop_map(
            |(plugin, folded, into)| Call::Fold {
                plugin, folded: folded.into_iter().filter(|folded| *folded < into).collect(), into
            }
        ),
        2 => (plugin(), sequence()).prop_map(|(plugin, cursor)| Call::Advance { plugin, cursor }),
        3 => (plugin(), sequence(), attempt(), 0..2_u32)
            .prop_map(|(plugin, sequence, attempt, index)| Call::Intend { plugin, sequence, attempt, index }),
        2 => (0..5_u64, 0..2_u8).prop_map(|(id, outcome)| Call::Conclude { id, outcome }),
        2 => prop_oneof![Just(Reopen::Closed), Just(Reopen::Dropped), Just(Reopen::Copied)].prop_map(Call::Reopen),
    ]
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    events: Vec<String>,
    positions: BTreeMap<String, String>,
    objects: BTreeMap<(String, String), String>,
    plugins: BTreeMap<String, Plugin>,
    /// Plugin, event, attempt, index, outcome; the number is the place.
    effects: Vec<(String, u64, u32, u32, Option<String>)>,
    /// Oldest first.
    dead: Vec<(String, u64, u32, Vec<String>)>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Plugin {
    cursor: u64,
    /// Attempt, the last one that was cut short, state.
    open: BTreeMap<u64, (u32, u32, OpenState)>,
    /// By the event that they were folded into.
    folded: BTreeMap<u64, Vec<u64>>,
    state: BTreeMap<String, Vec<u8>>,
}

impl Plugin {
    /// Puts an attempt in the place of the one before, which was cut short if it is still running.
    fn put(&mut self, sequence: u64, attempt: u32, state: OpenState, cut_short: bool) {
        let before = match self.open.get(&sequence) {
            Some((known, _, OpenState::Started)) if *known < attempt => *known,
            Some((_, cut_short, _)) => *cut_short,
            None => 0,
        };
        self.open.insert(sequence, (attempt, if cut_short { attempt } else { before }, state));
    }
}

type Verdict = Result<(), &'static str>;

impl Model {
    fn last(&self) -> u64 {
        self.events.len() as u64
    }

    /// The plugin, if this attempt of the delivery may go on; and whether it runs already.
    fn admit(
        &mut self,
        name: &str,
        sequence: u64,
        attempt: u32,
    ) -> Result<(&mut Plugin, bool), &'static str> {
        let last = self.last();
        let plugin = self.plugins.get_mut(name).ok_or("unknown plugin")?;
        if sequence <= plugin.cursor {
            return Err("settled");
        }
        if sequence > last {
            return Err("unknown event");
        }
        let runs = match plugin.open.get(&sequence) {
            Some((_, _, OpenState::Settled)) => return Err("settled"),
            Some((known, _, OpenState::Started)) if *known == attempt => true,
            Some((known, ..)) if *known >= attempt => return Err("stale"),
            None if attempt == 0 => return Err("stale"),
            _ => false,
        };
        Ok((plugin, runs))
    }

    fn start(&mut self, name: &str, sequence: u64, attempt: u32) -> Verdict {
        let (plugin, runs) = self.admit(name, sequence, attempt)?;
        if runs {
            return Err("stale");
        }
        plugin.put(sequence, attempt, OpenState::Started, false);
        Ok(())
    }

    fn finish(&mut self, finish: &Finish) -> Verdict {
        let mut after = self.clone();
        let (plugin, _) = after.admit(&finish.plugin, finish.sequence, finish.attempt)?;
        let state = match finish.outcome.clone() {
            Outcome::Retry { not_before_micros, why, .. } => OpenState::Retry { not_before_micros, why },
            Outcome::Done | Outcome::Dead { .. } => OpenState::Settled,
        };
        let cut_short = matches!(
            finish.outcome,
            Outcome::Retry { cut_short: true, .. } | Outcome::Dead { cut_short: true, .. }
        );
        plugin.put(finish.sequence, finish.attempt, state, cut_short);
        for StateWrite { key, value } in finish.state.clone() {
            match value {
                Some(value) => plugin.state.insert(key, value),
                None => plugin.state.remove(&key),
            };
        }
        if let Outcome::Dead { log, .. } = &finish.outcome {
            after.dead.push((finish.plugin.clone(), finish.sequence, finish.attempt, log.clone()));
        }
        if let Some(cursor) = finish.cursor {
            after.advance(&finish.plugin, cursor)?;
        }
        *self = after;
        Ok(())
    }

    fn fold(&mut self, name: &str, folded: &[u64], into: u64) -> Verdict {
        let mut after = self.clone();
        for sequence in folded {
            after.start(name, *sequence, 1)?;
            let plugin = after.plugins.get_mut(name).unwrap();
            plugin.put(*sequence, 1, OpenState::Settled, false);
            plugin.folded.entry(into).or_default().push(*sequence);
        }
        after.start(name, into, 1)?;
        *self = after;
        Ok(())
    }

    fn advance(&mut self, name: &str, to: u64) -> Verdict {
        let last = self.last();
        let plugin = self.plugins.get_mut(name).ok_or("unknown plugin")?;
        if to <= plugin.cursor {
            return Ok(());
        }
        if to > last {
            return Err("unknown event");
        }
        if plugin.open.range(..=to).any(|(_, (.., state))| *state != OpenState::Settled) {
            return Err("unsettled");
        }
        plugin.open.retain(|sequence, _| *sequence > to);
        plugin.cursor = to;
        Ok(())
    }

    fn intend(&mut self, intent: &Intent) -> Verdict {
        let mut after = self.clone();
        let (plugin, _) = after.admit(&intent.plugin, intent.sequence, intent.attempt)?;
        plugin.put(intent.sequence, intent.attempt, OpenState::Started, false);
        let key = (intent.plugin.clone(), intent.sequence, intent.attempt, intent.index);
        if after.effects.iter().any(|(p, s, a, i, _)| (p, *s, *a, *i) == (&key.0, key.1, key.2, key.3)) {
            return Err("known effect");
        }
        after.effects.push((key.0, key.1, key.2, key.3, None));
        *self = after;
        Ok(())
    }

    fn conclude(&mut self, id: u64, outcome: &str) -> Verdict {
        let place = usize::try_from(id).unwrap().checked_sub(1).ok_or("unknown effect")?;
        match self.effects.get_mut(place) {
            None => Err("unknown effect"),
            Some((.., Some(known))) if known == outcome => Ok(()),
            Some((.., Some(_))) => Err("concluded"),
            Some((.., slot)) => {
                *slot = Some(outcome.to_owned());
                Ok(())
            }
        }
    }
}

fn verdict<T>(result: Result<T, Error>) -> Result<T, &'static str> {
    result.map_err(|error| match error {
        Error::UnknownPlugin { .. } => "unknown plugin",
        Error::UnknownEvent { .. } => "unknown event",
        Error::Settled { .. } => "settled",
        Error::StaleAttempt { .. } => "stale",
        Error::Unsettled { .. } => "unsettled",
        Error::EffectKnown { .. } => "known effect",
        Error::UnknownEffect { .. } => "unknown effect",
        Error::EffectConcluded { .. } => "concluded",
        other => panic!("{other:?}"),
    })
}

struct Machine {
    folder: TempDir,
    journal: Journal,
    model: Model,
}

impl Machine {
    fn new() -> Self {
        let folder = quick_folder();
        let journal = Journal::open(folder.path(), &Options::default()).unwrap();
        Self { folder, journal, model: Model::default() }
    }

    async fn call(&mut self, call: Call) {
        let Self { journal, model, .. } = self;
        match call {
            Call::Append { pool, count, objects } => {
                let pool = format!("pool {pool}");
                let position = format!("after {} and {count}", model.last());
                let mut append = Append { position: position.clone(), ..events(&pool, count) };
                for (place, event) in append.events.iter_mut().enumerate() {
                    event.payload = format!("{pool} {place}");
                    model.events.push(event.payload.clone());
                }
                for (reference, payload) in objects {
                    let (class, reference) = ("VM".to_owned(), reference.to_string());
                    let key = (pool.clone(), reference.clone());
                    append.objects.push(match payload {
                        Some(payload) => {
                            model.objects.insert(key, payload.to_string());
                            ObjectChange::Put { class, reference, payload: payload.to_string() }
                        }
                        None => {
                            model.objects.remove(&key);
                            ObjectChange::Delete { class, reference }
                        }
                    });
                }
                model.positions.insert(pool, position);
                let last = model.last();
                assert_eq!(journal.append(append).await.unwrap(), last + 1 - count as u64..last + 1);
            }
            Call::Progress { plugin, start } => {
                let name = format!("plugin {plugin}");
                let last = model.last();
                let expected = match model.plugins.get(&name) {
                    Some(_) => Ok(()),
                    None if start > last => Err("unknown event"),
                    None => {
                        model.plugins.insert(name.clone(), Plugin { cursor: start, ..Plugin::default() });
                        Ok(())
                    }
                };
                assert_eq!(verdict(journal.progress(&name, start).await).map(drop), expected);
            }
            Call::Start { plugin, sequence, attempt, wait } => {
                let name = format!("plugin {plugin}");
                let expected = model.start(&name, sequence, attempt);
                if wait {
                    assert_eq!(verdict(journal.start(&name, sequence, attempt).await), expected);
                } else {
                    journal.post_start(&name, sequence, attempt).await.unwrap();
                }
            }
            Call::Finish { plugin, sequence, attempt, outcome, state, cursor } => {
                let state = state
                    .into_iter()
                    .map(|(key, value)| StateWrite {
                        key: key.to_string(),
                        value: value.map(|byte| vec![byte]),
                    })
                    .collect();
                let plugin = format!("plugin {plugin}");
                let finish = Finish { plugin, sequence, attempt, at_micros: 1, outcome, state, cursor };
                let expected = model.finish(&finish);
                assert_eq!(verdict(journal.finish(finish).await), expected);
            }
            Call::Fold { plugin, folded, into } => {
                let name = format!("plugin {plugin}");
                let expected = model.fold(&name, &folded, into);
                assert_eq!(verdict(journal.fold(&name, folded, into).await), expected);
            }
            Call::Advance { plugin, cursor } => {
                let name = format!("plugin {plugin}");
                assert_eq!(verdict(journal.advance(&name, cursor).await), model.advance(&name, cursor));
            }
            Call::Intend { plugin, sequence, attempt, index } => {
                let plugin = format!("plugin {plugin}");
                let intent = Intent { plugin, sequence, attempt, index, ..Intent::default() };
                let expected = model.intend(&intent).map(|()| EffectId(model.effects.len() as u64));
                assert_eq!(verdict(journal.intend(intent).await), expected);
            }
            Call::Conclude { id, outcome } => {
                let outcome = outcome.to_string();
                let expected = model.conclude(id, &outcome);
                assert_eq!(
                    verdict(journal.conclude(EffectId(id), outcome, String::new(), 1).await),
                    expected
                );
            }
            Call::Reopen(how) => self.reopen(how).await,
        }
    }

    async fn reopen(&mut self, how: Reopen) {
        // A start that nobody waits for is durable once something after it has answered.
        assert!(self.journal.healthy(std::time::Duration::from_secs(60)).await);
        let elsewhere = quick_folder();
        match how {
            Reopen::Closed => self.journal.close().await.unwrap(),
            Reopen::Dropped => {}
            Reopen::Copied => {
                for name in ["journal.db", "journal.db-wal"] {
                    fs::copy(self.folder.path().join(name), elsewhere.path().join(name)).unwrap();
                }
            }
        }
        // The old one goes first, or it would hold the lock.
        self.journal = Journal::open(elsewhere.path(), &Options::default()).unwrap();
        match how {
            Reopen::Copied => self.folder = elsewhere,
            Reopen::Closed | Reopen::Dropped => {
                self.journal = Journal::open(self.folder.path(), &Options::default()).unwrap();
            }
        }
        self.compare().await;
    }

    async fn compare(&self) {
        let Self { journal, model, .. } = self;
        assert_eq!(journal.last(), model.last());
        let mut seen = Model::default();
        for (place, event) in (1..).zip(journal.read(0, usize::MAX).await.unwrap()) {
            assert_eq!(event.sequence, place);
            seen.events.push(event.payload);
        }
        for pool in ["pool 0", "pool 1"] {
            if let Some(position) = journal.position(pool).await.unwrap() {
                seen.positions.insert(pool.to_owned(), position);
            }
            for object in journal.objects(pool).await.unwrap() {
                seen.objects.insert((pool.to_owned(), object.reference), object.payload);
            }
        }
        for plugin in journal.listings().plugins().await.unwrap() {
            let name = plugin.plugin;
            let progress = journal.progress(&name, 0).await.unwrap();
            assert_eq!(progress.cursor, plugin.cursor);
            let mut found = Plugin { cursor: plugin.cursor, ..Plugin::default() };
            for OpenDelivery { sequence, attempt, cut_short, state } in progress.open {
                found.open.insert(sequence, (attempt, cut_short, state));
            }
            for into in 1..=journal.last() {
                let folded = journal.folded_into(&name, into).await.unwrap();
                if !folded.is_empty() {
                    found.folded.insert(into, folded);
                }
            }
            for key in journal.state_keys(&name, "", None, usize::MAX).await.unwrap() {
                let value = journal.state(&name, &key).await.unwrap().unwrap();
                found.state.insert(key, value);
            }
            seen.plugins.insert(name, found);
        }
        for (place, effect) in (1..).zip(journal.effects_since(EffectId(0), usize::MAX).await.unwrap()) {
            assert_eq!(effect.id, EffectId(place));
            let outcome = effect.conclusion.map(|conclusion| conclusion.outcome);
            seen.effects.push((effect.plugin, effect.sequence, effect.attempt, effect.index, outcome));
        }
        for letter in journal.listings().dead(None, usize::MAX).await.unwrap().into_iter().rev() {
            seen.dead.push((letter.plugin, letter.sequence, letter.attempts, letter.log));
        }
        assert_eq!(&seen, model);

        let counts = journal.listings().counts().await.unwrap();
        let open =
            |plugin: &Plugin| plugin.open.values().filter(|(.., state)| *state != OpenState::Settled).count();
        assert_eq!(counts.events, model.last());
        assert_eq!(counts.objects, model.objects.len() as u64);
        assert_eq!(counts.open_deliveries, model.plugins.values().map(open).sum::<usize>() as u64);
        assert_eq!((counts.dead, counts.effects), (model.dead.len() as u64, model.effects.len() as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_and_the_model_agree(calls in proptest::collection::vec(call(), 1..60)) {
        Runtime::new().unwrap().block_on(async {
            let mut machine = Machine::new();
            for call in calls {
                machine.call(call).await;
            }
            machine.reopen(Reopen::Copied).await;
        });
    }
}
