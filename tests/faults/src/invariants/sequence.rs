//! I2: the journal tells everything, without a hole, up to what the pool is.

use e2e::{StoredChange, differences};

use super::Evidence;
use crate::scene::Picture;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let (first, last, count) = evidence.stored.span();
    if count > 0 && (last - first + 1 != count || first != 1) {
        broken.push(format!("{count} events from {first} to {last}: the numbers have holes"));
    }
    if evidence.stored.last() != last {
        broken.push(format!("the tail is at {}, the last event is {last}", evidence.stored.last()));
    }
    broken.extend(differences(&evidence.pool, &evidence.stored));

    let Some((since, picture)) = &evidence.scene.first else {
        broken.push("no first picture was taken".to_owned());
        return broken;
    };
    let mut told = picture.clone();
    for change in evidence.stored.changes().iter().filter(|change| change.sequence > *since) {
        broken.extend(follow(&mut told, change));
    }
    let kept = evidence.stored.objects();
    for record in &kept {
        let key = (record.class.clone(), record.reference.clone());
        if told.get(&key) != Some(record) {
            broken.push(format!("the events of {key:?} do not lead to where it is"));
        }
    }
    if told.len() != kept.len() {
        broken.push(format!("the events leave {} objects, the picture has {}", told.len(), kept.len()));
    }
    broken
}

/// Follows one event; what it says of before must be what the events before it said.
fn follow(told: &mut Picture, change: &StoredChange) -> Option<String> {
    let record = change.new.as_ref().or(change.old.as_ref())?;
    let key = (record.class.clone(), record.reference.clone());
    let before = match &change.new {
        Some(new) => told.insert(key.clone(), new.clone()),
        None => told.remove(&key),
    };
    if before != change.old {
        return Some(format!("event {} of {key:?} does not follow from the one before it", change.sequence));
    }
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && (new.changed_since(old) != change.changed || change.changed.is_empty())
    {
        return Some(format!(
            "event {} names other fields than differ: {:?}",
            change.sequence, change.changed
        ));
    }
    None
}
