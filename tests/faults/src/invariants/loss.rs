//! I1: no event is lost on the way to a plugin.

use std::collections::BTreeSet;

use super::{Evidence, Word};

/// Events up to the last one that was seen settled with which a plugin has not come to an end. One that was given up is a dead letter.
const OPEN: &str = "
    SELECT plugin.name || ' ' || event.sequence FROM plugin JOIN event ON event.sequence > plugin.cursor
    WHERE event.sequence <= SETTLED AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.plugin = plugin.name
                      AND delivery.sequence = event.sequence AND delivery.state = 'settled')
    AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.plugin = plugin.name AND dead.sequence = event.sequence)
    ORDER BY event.sequence LIMIT 10";

/// Deliveries that are open although the cursor says that everything up to there is settled.
const PASSED_OVER: &str = "
    SELECT delivery.plugin || ' ' || sequence || ' ' || state FROM delivery JOIN plugin ON plugin.name = delivery.plugin
    WHERE state <> 'settled' AND sequence <= cursor ORDER BY sequence LIMIT 10";

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let configured: BTreeSet<&str> =
        evidence.scene.config.grants.iter().map(|grant| grant.name.as_str()).collect();
    // A plugin that a scenario has taken out, or one that is kept from working on purpose, owes nothing.
    let owes = |row: &String| {
        configured.contains(row.split(' ').next().unwrap_or_default()) && !row.starts_with("bad_")
    };
    let open = OPEN.replace("SETTLED", &evidence.scene.settled.to_string());
    for row in evidence.rows(&open).iter().filter(|row| owes(row)) {
        broken.push(format!("no end is recorded of {row}"));
    }
    for row in evidence.rows(PASSED_OVER).iter().filter(|row| owes(row)) {
        broken.push(format!("the cursor has passed {row}"));
    }

    // From the outside: for each event that the witness was to hear there is a network, or it said why not.
    let described = evidence.described();
    let dead: BTreeSet<u64> =
        evidence.stored.dead().into_iter().filter(|dead| dead.0 == "witness").map(|dead| dead.1).collect();
    let doubted: BTreeSet<u64> =
        evidence.said.iter().filter(|said| said.what == Word::Doubts).map(|said| said.sequence).collect();
    for sequence in described.iter().filter(|sequence| **sequence <= evidence.scene.settled) {
        let seen = evidence.networks.contains_key(sequence);
        if !seen && !dead.contains(sequence) && !doubted.contains(sequence) {
            broken.push(format!("event {sequence} did not reach the plugin: the pool saw nothing of it"));
        }
    }
    // And nothing was delivered that is not on record.
    for sequence in evidence.networks.keys().filter(|sequence| !described.contains(sequence)) {
        broken.push(format!("event {sequence} was delivered and is not in the journal"));
    }
    if described.is_empty() {
        broken.push("nothing was to be delivered: this shows nothing".to_owned());
    }
    broken
}
