//! The records of one pool as last seen, kept by the event stream.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use smol_str::SmolStr;

use super::record::Record;
use crate::value::Value;

/// All known objects of one pool, by class and reference. Cheap to read, changed only by whoever follows events.
#[derive(Debug, Default, Clone)]
pub struct World {
    classes: BTreeMap<SmolStr, BTreeMap<SmolStr, Arc<Record>>>,
    /// The same records again; the text of a uuid is the record's own.
    uuids: HashMap<SmolStr, Arc<Record>>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        World::default()
    }

    /// The object of that class (wire name with its case) and reference.
    #[must_use]
    pub fn get(&self, class: &str, reference: &str) -> Option<&Arc<Record>> {
        self.classes.get(class)?.get(reference)
    }

    /// The object of that class and uuid.
    #[must_use]
    pub fn by_uuid(&self, class: &str, uuid: &str) -> Option<&Arc<Record>> {
        self.uuids.get(uuid).filter(|record| record.class == class)
    }

    /// Objects of a class, ordered by reference.
    pub fn of(&self, class: &str) -> impl Iterator<Item = &Arc<Record>> {
        self.classes.get(class).into_iter().flat_map(BTreeMap::values)
    }

    /// Objects of a class whose reference comes after `after`, ordered by reference.
    pub fn of_after<'w>(&'w self, class: &str, after: &str) -> impl Iterator<Item = &'w Arc<Record>> {
        let after = (std::ops::Bound::Excluded(SmolStr::new(after)), std::ops::Bound::Unbounded);
        self.classes
            .get(class)
            .into_iter()
            .flat_map(move |objects| objects.range(after.clone()))
            .map(|(_, r)| r)
    }

    /// Names of the classes that have objects.
    pub fn classes(&self) -> impl Iterator<Item = &SmolStr> {
        self.classes.iter().filter(|(_, objects)| !objects.is_empty()).map(|(class, _)| class)
    }

    /// How many objects of a class.
    #[must_use]
    pub fn count(&self, class: &str) -> usize {
        self.classes.get(class).map_or(0, BTreeMap::len)
    }

    /// How many objects in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.values().map(BTreeMap::len).sum()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a record in and returns the one it replaces.
    pub fn insert(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        if let (Some(Value::String(uuid)), Some(_)) = (record.get("uuid"), record.uuid()) {
            // The key of an older record would keep that record's text.
            self.uuids.remove(uuid);
            self.uuids.insert(uuid.clone(), Arc::clone(&record));
        }
        let objects = self.classes.entry(record.class.clone()).or_default();
        let reference = record.reference.clone();
        let old = objects.remove(&reference);
        objects.insert(reference, record);
        if let Some(old) = &old {
            self.forget(old);
        }
        old
    }

    /// Takes an object out.
    pub fn remove(&mut self, class: &str, reference: &str) -> Option<Arc<Record>> {
        let old = self.classes.get_mut(class)?.remove(reference)?;
        self.forget(&old);
        Some(old)
    }

    /// Takes a record out of the uuids, unless another has its uuid by now.
    fn forget(&mut self, old: &Arc<Record>) {
        if let Some(uuid) = old.uuid()
            && self.uuids.get(uuid).is_some_and(|now| Arc::ptr_eq(now, old))
        {
            self.uuids.remove(uuid);
        }
    }
}
