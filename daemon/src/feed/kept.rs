//! What the journal keeps of a pool while nobody follows it: its picture, and where the feed was left.

use std::sync::Arc;

use journal::{Journal, StoredObject};
use xapi::model::World;

use super::position::Position;
use crate::event::{self, StoredError};

/// Why the kept picture of a pool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    /// It cannot be read.
    #[error("reading the picture of pool {pool} from the journal")]
    Journal {
        /// The pool.
        pool: String,
        /// Why.
        #[source]
        source: journal::Error,
    },
    /// A record is damaged.
    #[error("reading {class} {reference} of pool {pool} from the journal")]
    Record {
        /// The pool.
        pool: String,
        /// The class.
        class: String,
        /// The reference.
        reference: String,
        /// Why.
        #[source]
        source: StoredError,
    },
}

/// What a pool was when it was followed last.
pub(crate) async fn kept(journal: &Journal, pool: &str) -> Result<World, WorldError> {
    let failed = |source| WorldError::Journal { pool: pool.to_owned(), source };
    world(pool, journal.objects(pool).await.map_err(failed)?)
}

/// Where a pool's feed was left; none before a first picture.
pub(crate) async fn position(journal: &Journal, pool: &str) -> Result<Option<Position>, WorldError> {
    let failed = |source| WorldError::Journal { pool: pool.to_owned(), source };
    let position = journal.position(pool).await.map_err(failed)?;
    Ok(position.and_then(|text| Position::parse(&text)))
}

/// The picture of a pool, of its objects as they were kept.
pub(crate) fn world(pool: &str, objects: Vec<StoredObject>) -> Result<World, WorldError> {
    let mut world = World::new();
    for object in objects {
        let record = event::record_from_json(&object.class, &object.reference, &object.payload);
        let record = record.map_err(|source| WorldError::Record {
            pool: pool.to_owned(),
            class: object.class.clone(),
            reference: object.reference.clone(),
            source,
        })?;
        world.insert(Arc::new(record));
    }
    Ok(world)
}
