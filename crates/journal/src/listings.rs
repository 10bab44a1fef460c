//! What a person asks of the journal: listings, on a read-only connection of their own, so that nothing on an event's way
//! waits behind one. They can be had without the journal being open for writing, also while another process has it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Fault};
use crate::fate::Fate;
use crate::open::{self, OpenError};
use crate::reader::Reader;
use crate::{
    Action, Counts, DeadLetter, Disabled, Effect, EffectId, Gap, OpenDelivery, PluginCursor, StoredEvent,
    fold, limit,
};
use crate::{AuditFilter, Audited, Head, Verified, audit};
use crate::{EventFilter, StoredObject, actions, counts, dead, deliveries, effects, events, switch};

/// The listings of a journal. Cheap to clone.
///
/// All of them fail with [`Error::Busy`], [`Error::Broken`] or [`Error::Closed`].
#[derive(Debug, Clone)]
pub struct Listings {
    reader: Arc<Reader>,
}

impl Listings {
    /// The listings of the journal in a folder, which nobody needs to have open. Nothing is changed there.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the folder or the file.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let file = open::existing(folder)?;
        let connection = open::reader(&file)?;
        open::of_this_format(&connection, &file)?;
        let reader = Reader::spawn("journal-list", connection, Arc::new(Fate::default()));
        let reader = reader.map_err(|source| OpenError::Failed {
            file,
            doing: "starting a thread",
            source: Arc::new(source),
        })?;
        Ok(Listings::over(reader))
    }

    pub(crate) fn over(reader: Reader) -> Self {
        Listings { reader: Arc::new(reader) }
    }

    pub(crate) async fn close(&self) {
        self.reader.close().await;
    }

    /// The events that a filter lets through, in order, at most `limit`.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn events(&self, filter: EventFilter, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.ask("listing events", move |from| events::filtered(from, &filter, limit)).await
    }

    /// One event, `None` if the journal has none of this number.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn event(&self, sequence: u64) -> Result<Option<StoredEvent>, Error> {
        self.ask("reading an event", move |from| events::event(from, sequence)).await
    }

    /// The number of the last event, 0 if there never was one.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn last(&self) -> Result<u64, Error> {
        self.ask("reading the last event's number", |from| Ok(events::last(from)?)).await
    }

    /// The open deliveries of all plugins or of one, lowest events first, at most `limit`, each with its plugin.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn open_deliveries(
        &self,
        plugin: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, OpenDelivery)>, Error> {
        self.ask("listing deliveries", move |from| deliveries::open(from, plugin.as_deref(), limit)).await
    }

    /// A delivery that is above the cursor or comes again; `None` for one that was never started or is settled.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn delivery(&self, plugin: &str, sequence: u64) -> Result<Option<OpenDelivery>, Error> {
        let plugin = plugin.to_owned();
        self.ask("reading a delivery", move |from| deliveries::delivery(from, &plugin, sequence)).await
    }

    /// What plugins lost, newest first, of all plugins or of one, at most `limit`.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn gaps(&self, plugin: Option<String>, limit: usize) -> Result<Vec<Gap>, Error> {
        self.ask("listing gaps", move |from| limit::gaps(from, plugin.as_deref(), limit)).await
    }

    /// How many events each plugin has lost in all; plugins without any are not named.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn lost(&self) -> Result<Vec<(String, u64)>, Error> {
        self.ask("counting what plugins lost", limit::lost).await
    }

    /// The events that were folded into this one, in order.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn folded_into(&self, plugin: &str, into: u64) -> Result<Vec<u64>, Error> {
        let plugin = plugin.to_owned();
        self.ask("reading what was folded into an event", move |from| fold::folded_into(from, &plugin, into))
            .await
    }

    /// The event that this one was folded into; `None` if it was not.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn folded_in(&self, plugin: &str, sequence: u64) -> Result<Option<u64>, Error> {
        let plugin = plugin.to_owned();
        self.ask("reading what an event was folded into", move |from| fold::host_of(from, &plugin, sequence))
            .await
    }

    /// The newest dead letters of all plugins or of one, newest first, at most `limit`.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn dead(&self, plugin: Option<String>, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.ask("listing dead letters", move |from| dead::newest(from, plugin.as_deref(), limit)).await
    }

    /// One dead letter, `None` if none bears this number.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, Error> {
        self.ask("reading a dead letter", move |from| dead::by_id(from, id)).await
    }

    /// The dead letter of one delivery, `None` if it did not become one.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn dead_letter_of(&self, plugin: &str, sequence: u64) -> Result<Option<DeadLetter>, Error> {
        let plugin = plugin.to_owned();
        self.ask("reading a dead letter", move |from| dead::of_delivery(from, &plugin, sequence)).await
    }

    /// How many dead letters each plugin has; plugins without any are not named.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn dead_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        self.ask("counting dead letters", dead::counts).await
    }

    /// Every plugin that was ever registered, by name, and its cursor.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn plugins(&self) -> Result<Vec<PluginCursor>, Error> {
        self.ask("listing the plugins", deliveries::plugins).await
    }

    /// The plugins that are switched off, by name.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn disabled(&self) -> Result<Vec<Disabled>, Error> {
        self.ask("listing the plugins that are off", switch::disabled).await
    }

    /// What people did, newest first, at most `limit`.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn actions(&self, limit: usize) -> Result<Vec<Action>, Error> {
        self.ask("listing actions", move |from| actions::newest(from, limit)).await
    }

    /// The newest rows of the audit that a filter lets through, newest first, at most `limit`; what came of a call stands
    /// with it.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn audit(&self, filter: AuditFilter, limit: usize) -> Result<Vec<Audited>, Error> {
        self.ask("listing the audit", move |from| audit::newest(from, &filter, limit)).await
    }

    /// The last row of the audit.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn audit_head(&self) -> Result<Head, Error> {
        self.ask("reading the head of the audit", |from| Ok(audit::head(from)?)).await
    }

    /// Looks at the whole audit: whether each row follows from the one before it, none is missing, and, where an earlier head
    /// was noted, whether the rows up to it are the same still. Takes about a second for a million rows.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn verify_audit(&self, noted: Option<Head>) -> Result<Verified, Error> {
        self.ask("verifying the audit", move |from| audit::verify(from, noted)).await
    }

    /// The recorded calls of all attempts of one delivery, by attempt and place.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn effects(&self, plugin: &str, sequence: u64) -> Result<Vec<Effect>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| effects::of_delivery(from, &plugin, sequence);
        self.ask("reading the effects of a delivery", read).await
    }

    /// How much the journal holds.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn counts(&self) -> Result<Counts, Error> {
        self.ask("counting", counts::counts).await
    }

    /// The names of the pools that were ever followed, in order.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn pools(&self) -> Result<Vec<String>, Error> {
        self.ask("listing the pools", events::pools).await
    }

    /// The whole picture of a pool as of its last append, by class and reference. Empty for a pool that is not known.
    ///
    /// # Errors
    /// See [`Listings`].
    pub async fn objects(&self, pool: &str) -> Result<Vec<StoredObject>, Error> {
        self.objects_after(pool.to_owned(), None, usize::MAX).await
    }

    pub(crate) async fn objects_after(
        &self,
        pool: String,
        after: Option<(String, String)>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, Error> {
        let read = move |from: &_| {
            let after = after.as_ref().map(|(class, reference)| (class.as_str(), reference.as_str()));
            events::objects(from, &pool, after, limit)
        };
        self.ask("reading a pool's objects", read).await
    }

    pub(crate) async fn effects_since(&self, after: EffectId, limit: usize) -> Result<Vec<Effect>, Error> {
        self.ask("reading effects", move |from| effects::since(from, after, limit)).await
    }

    async fn ask<T, Q>(&self, doing: &'static str, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: FnOnce(&rusqlite::Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.reader.ask(doing, question).await
    }
}
