//! Killed without warning, again and again: what was acknowledged is there, what is there is whole.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use journal::{
    Append, EffectId, Finish, Intent, Journal, ObjectChange, OpenState, Options, Outcome, StateWrite,
};

use crate::setting::{events, finish};

const FOLDER: &str = "XAPIARY_JOURNAL_TEST_KILLED";
const ROUNDS: usize = 20;
const WRITERS: u64 = 4;

/// The child writes and prints what was acknowledged; the parent kills it after a number of lines that differs from
/// round to round, and compares.
#[test]
fn what_was_acknowledged_survives_kill_nine() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return tokio::runtime::Runtime::new().unwrap().block_on(write_for_ever(folder.as_ref()));
    }
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut last = 0;
    for round in 0..ROUNDS {
        let acknowledged = one_life(folder.path(), 1 + round * 37 % 150, |_| ());
        last = runtime.block_on(inspect(folder.path(), last, &acknowledged));
    }
    assert!(last > ROUNDS as u64, "only {last} events in all");
}

/// Starts the child, reads so many acknowledgements, does what comes before death, kills it, and reads what it still
/// had said.
pub(crate) fn one_life(folder: &Path, lines: usize, before_death: impl Fn(u32)) -> Vec<Vec<String>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "killed::what_was_acknowledged_survives_kill_nine"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    while let Some(Ok(line)) = said.next() {
        if let Some((_, words)) = line.split_once("acknowledged ") {
            acknowledged.push(words.split(' ').map(str::to_owned).collect());
        }
        if acknowledged.len() >= lines && !killed {
            before_death(child.id());
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed, "the child ended by itself: {status}");
    acknowledged
}

/// Opens what the child left and holds it against what it had said; returns the number of the last event.
pub(crate) async fn inspect(folder: &Path, before: u64, acknowledged: &[Vec<String>]) -> u64 {
    let journal = Journal::open(folder, &Options::default()).unwrap();
    let events = journal.read(0, usize::MAX).await.unwrap();
    let last = journal.last();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert!(last >= before, "{last} of {before}");

    for writer in 0..WRITERS {
        let pool = format!("pool {writer}");
        let of_pool = events.iter().filter(|event| event.pool == pool).count();
        let position = journal.position(&pool).await.unwrap().unwrap_or_else(|| "0".to_owned());
        assert_eq!(position, of_pool.to_string(), "position and events are one");
        let objects = journal.objects(&pool).await.unwrap();
        assert_eq!(
            objects.first().map_or("0", |object| object.payload.as_str()),
            position,
            "and so is the picture"
        );

        let plugin = format!("plugin {writer}");
        let progress = journal.progress(&plugin, 0).await.unwrap();
        let done = journal.state(&plugin, "done").await.unwrap();
        let done = done.map_or(0, |bytes| String::from_utf8(bytes).unwrap().parse::<u64>().unwrap());
        assert_eq!(done, progress.cursor, "the plugin's state and its cursor are one");
        assert!(progress.open.iter().all(|open| open.sequence > progress.cursor));
        assert!(progress.open.iter().all(|open| open.state == OpenState::Started));
    }

    for words in acknowledged {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0].as_str() {
            "event" => assert_eq!(events[number(1) as usize - 1].pool, format!("pool {}", number(2))),
            "effect" => {
                let effect = journal.effects_since(EffectId(number(1) - 1), 1).await.unwrap().remove(0);
                assert_eq!((effect.id, effect.sequence), (EffectId(number(1)), number(2)));
                assert!(words.len() < 4 || effect.conclusion.is_some(), "{words:?}");
            }
            "done" => {
                let cursor = journal.progress(&words[2].replace('_', " "), 0).await.unwrap().cursor;
                assert!(cursor >= number(1), "{words:?} but {cursor}");
            }
            other => panic!("the child said {other}"),
        }
    }
    journal.close().await.unwrap();
    last
}

async fn write_for_ever(folder: &Path) {
    let journal = Journal::open(folder, &Options::default()).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(one_writer(journal.clone(), writer));
    }
    writers.join_next().await.unwrap().unwrap();
}

/// Appends, and takes each of its own events through a delivery with an effect.
async fn one_writer(journal: Journal, writer: u64) {
    let (pool, plugin) = (format!("pool {writer}"), format!("plugin {writer}"));
    let mut written: u64 =
        journal.position(&pool).await.unwrap().map_or(0, |position| position.parse().unwrap());
    let progress = journal.progress(&plugin, 0).await.unwrap();
    let mut attempts: std::collections::HashMap<u64, u32> =
        progress.open.iter().map(|open| (open.sequence, open.attempt)).collect();
    let mut cursor = progress.cursor;
    loop {
        let count = written % 3 + 1;
        written += count;
        let append = Append {
            position: written.to_string(),
            objects: vec![ObjectChange::Put {
                class: "VM".into(),
                reference: "one".into(),
                payload: written.to_string(),
            }],
            ..events(&pool, count as usize)
        };
        for sequence in journal.append(append).await.unwrap() {
            say(&format!("event {sequence} {writer}"));
        }
        while cursor < journal.last() {
            let sequence = cursor + 1;
            let attempt = attempts.remove(&sequence).unwrap_or(0) + 1;
            journal.post_start(&plugin, sequence, attempt).await.unwrap();
            let intent = Intent { plugin: plugin.clone(), sequence, attempt, ..Intent::default() };
            let effect = journal.intend(intent).await.unwrap();
            say(&format!("effect {effect} {sequence}"));
            journal.conclude(effect, "ok".into(), String::new(), 1).await.unwrap();
            say(&format!("effect {effect} {sequence} concluded"));
            let done = StateWrite { key: "done".into(), value: Some(sequence.to_string().into_bytes()) };
            let finish = Finish {
                state: vec![done],
                cursor: Some(sequence),
                ..finish(&plugin, sequence, attempt, Outcome::Done)
            };
            journal.finish(finish).await.unwrap();
            say(&format!("done {sequence} {}", plugin.replace(' ', "_")));
            cursor = sequence;
        }
    }
}

/// One write, so that a line is not torn between writers.
fn say(what: &str) {
    let line = format!("acknowledged {what}\n");
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        // The parent is gone; nobody is left to write for.
        std::process::exit(1);
    }
}
