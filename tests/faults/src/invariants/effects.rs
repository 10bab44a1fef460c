//! I5: the pool did each thing at most once, and what nobody knows of was told.

use std::collections::{BTreeMap, BTreeSet};

use e2e::StoredEffect;

use super::{Evidence, Word};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    // As the pool saw it.
    for (sequence, count) in evidence.networks.iter().filter(|(_, count)| **count > 1) {
        broken.push(format!("the pool made {count} networks for event {sequence}"));
    }
    let ended: BTreeSet<u64> =
        evidence.said.iter().filter(|said| said.what == Word::Ends).map(|said| said.sequence).collect();
    for sequence in ended.iter().filter(|sequence| !evidence.networks.contains_key(sequence)) {
        broken.push(format!(
            "the plugin was told that event {sequence} has its network, and the pool has none"
        ));
    }
    // As the journal has it: whatever was sent had been written down, and nothing was done twice.
    let effects = evidence.stored.all_effects();
    for sequence in evidence.networks.keys() {
        if !effects.iter().any(|effect| effect.plugin == "witness" && effect.sequence == *sequence) {
            broken.push(format!("the call for event {sequence} was sent and never written down"));
        }
    }
    let mut of: BTreeMap<(&str, u64), Vec<&StoredEffect>> = BTreeMap::new();
    for effect in &effects {
        of.entry((&effect.plugin, effect.sequence)).or_default().push(effect);
    }
    for (delivery, effects) in of {
        let places = effects.iter().map(|effect| (effect.attempt, effect.index));
        if !places.is_sorted_by(|one, next| one < next) {
            broken.push(format!("{delivery:?} went back: {effects:?}"));
        }
        let mut done = BTreeSet::new();
        for effect in effects.iter().filter(|effect| effect.is_done()) {
            // Only the calls of the same attempt may repeat one another: the plugin asked for both.
            if !done.insert((&effect.method, &effect.arguments)) {
                broken.push(format!("{delivery:?} did the same twice: {effects:?}"));
            }
        }
    }
    broken
}
