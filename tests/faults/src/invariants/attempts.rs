//! I3 and I4: attempts are numbered, and events of one object come one after the other.

use std::collections::BTreeMap;

use super::{Evidence, Said, Word};

/// The attempts of a delivery rise by one. The same number comes again only when the life in which it began was ended
/// before the journal knew of it, and then nothing was called in it.
pub(super) fn rise(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut last: BTreeMap<u64, &Said> = BTreeMap::new();
    for said in evidence.said.iter().filter(|said| said.what == Word::Begins) {
        match last.insert(said.sequence, said) {
            Some(before) if said.attempt == before.attempt => {
                if said.life == before.life {
                    broken.push(format!("attempt {} twice in one life: {said:?}", said.attempt));
                }
                let ended = |other: &&Said| {
                    other.what != Word::Begins
                        && other.life == before.life
                        && other.sequence == said.sequence
                        && other.attempt == said.attempt
                };
                if let Some(ended) = evidence.said.iter().find(ended) {
                    broken.push(format!("an attempt that had called came again under its number: {ended:?}"));
                }
            }
            Some(before) if said.attempt < before.attempt => {
                broken.push(format!("attempts go back: {before:?}, {said:?}"));
            }
            // An attempt in between may have been ended before it said a word.
            Some(_) | None => {}
        }
    }
    broken
}

/// In one life an object has one delivery at a time; over all lives its events begin in order.
pub(super) fn order(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut begun: BTreeMap<&str, &Said> = BTreeMap::new();
    let mut under_way: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for said in &evidence.said {
        let lane = (said.life, said.object.as_str());
        match said.what {
            Word::Begins => {
                if let Some(before) = begun.insert(&said.object, said)
                    && before.sequence > said.sequence
                {
                    broken.push(format!("{said:?} began after {before:?}"));
                }
                // A failed attempt says nothing at its end; its next one takes its place.
                if let Some(other) = under_way.insert(lane, said.sequence)
                    && other != said.sequence
                    && !failed(evidence, other)
                {
                    broken.push(format!("{said:?} began while {other} was under way"));
                }
            }
            Word::Ends | Word::Doubts => _ = under_way.remove(&lane),
        }
    }
    broken
}

/// Whether an attempt of this event failed, so that it ended without a word of the plugin.
fn failed(evidence: &Evidence<'_>, sequence: u64) -> bool {
    evidence.scene.lines().iter().flatten().any(|line| {
        line.text("plugin") == "witness"
            && line.number("sequence") == Some(sequence)
            && ["the delivery failed", "the delivery is given up; it is kept as a dead letter"]
                .contains(&line.message())
    })
}
