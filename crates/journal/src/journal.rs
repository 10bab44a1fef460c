//! The public door: one handle, cheap to clone, whose calls any task may make.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::Error;
use crate::events::{Append, StoredEvent, StoredObject};
use crate::fate::Fate;
use crate::open::{self, OpenError, Options};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{
    Allowed, By, DeadLetter, Effect, EffectId, Finish, Gap, Intent, Limits, Listings, NewAudit, NewEvent,
    OpenDelivery, Progress, Pruned, Scheduled, Shrunk, actions, audit, dead, deliveries, effects, events,
    fold, limit, prune, schedule, state, switch,
};

/// An open journal.
///
/// Writes (`append`, `progress`, `start`, `finish`, `advance`, `intend`, `conclude`) answer when they are durable. A
/// write that was called is carried out even if its future is dropped before it answers. Reads see every write that
/// answered before they were called. Times are microseconds since 1970 UTC.
///
/// Unless a method says more, writes fail with [`Error::Full`], [`Error::Busy`], [`Error::Broken`],
/// [`Error::Refused`] or [`Error::Closed`], reads with [`Error::Busy`], [`Error::Broken`] or [`Error::Closed`].
///
/// Dropping the last handle writes what is queued and closes the file, and blocks the thread for that: call
/// [`Journal::close`] first.
#[derive(Debug, Clone)]
pub struct Journal {
    threads: Arc<Threads>,
}

/// Readers go first when this is dropped, so that the writer is the last to close the file.
#[derive(Debug)]
struct Threads {
    /// Answers the small questions on an event's way.
    road: Reader,
    listings: Listings,
    writer: Writer,
    fate: Arc<Fate>,
}

impl Journal {
    /// Opens the journal in a folder, making it if there is none. Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the folder or the file; a second open while the first lasts, from
    /// whatever process, is [`OpenError::InUse`].
    pub fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        let open::Opened { file, writer, lock, last } = open::open(folder, options)?;
        let fate = Arc::new(Fate::default());
        let no_thread = |source| OpenError::Failed {
            file: file.clone(),
            doing: "starting its threads",
            source: Arc::new(source),
        };
        let reader = |name| Reader::spawn(name, open::reader(&file)?, Arc::clone(&fate)).map_err(no_thread);
        let (road, listings) = (reader("journal-road")?, Listings::over(reader("journal-list")?));
        let writer = Writer::spawn(writer, lock, last, Arc::clone(&fate)).map_err(no_thread)?;
        Ok(Self { threads: Arc::new(Threads { road, listings, writer, fate }) })
    }

    /// Ends the journal: answers what is queued, moves the log into the main file, closes it and lets go of the lock.
    /// Every later call, on any clone, fails with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before, [`Error::Broken`] if it had failed or fails now.
    pub async fn close(&self) -> Result<(), Error> {
        self.threads.fate.close();
        self.threads.road.close().await;
        self.threads.listings.close().await;
        self.threads.writer.close().await
    }

    /// Whether the writer answers a ping within the time: false when it hangs, is overloaded for that long, is broken
    /// or closed. A full disk is no ill health. Food for a watchdog; needs a tokio runtime with its clock on.
    pub async fn healthy(&self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.threads.writer.ping()).await, Ok(Ok(())))
    }

    /// Writes events, object changes and position of one pool, all or nothing, and returns the events' numbers: they
    /// follow the last event of any pool without a hole.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn append(&self, append: Append) -> Result<Range<u64>, Error> {
        self.threads.writer.write("appending events", move |to| events::append(to, &append)).await
    }

    /// Notes when a schedule was last due together with the event that tells of it, all or nothing, and returns the event's
    /// number. Without an event only the time is noted.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn schedule(
        &self,
        scheduled: Scheduled,
        event: Option<NewEvent>,
    ) -> Result<Option<u64>, Error> {
        let work = move |to: &_| schedule::note(to, &scheduled, event.as_ref());
        self.threads.writer.write("noting that a schedule is due", work).await
    }

    /// All schedules that were noted, with when they were last due.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn schedules(&self) -> Result<Vec<Scheduled>, Error> {
        self.threads.road.ask("reading when schedules were due", schedule::all).await
    }

    /// The number of the last durable event, 0 if there never was one. Never waits.
    pub fn last(&self) -> u64 {
        self.threads.writer.last()
    }

    /// Follows [`Journal::last`]. Changes only after the commit.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.threads.writer.watch()
    }

    /// Where the pool's stream was left: the position of the last append, `None` if there was none.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn position(&self, pool: &str) -> Result<Option<String>, Error> {
        let pool = pool.to_owned();
        self.threads.road.ask("reading a pool's position", move |from| events::position(from, &pool)).await
    }

    /// The whole picture of a pool as of its last append, by class and reference. Empty for a pool that is not known.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn objects(&self, pool: &str) -> Result<Vec<StoredObject>, Error> {
        self.threads.listings.objects(pool).await
    }

    /// A part of [`Journal::objects`]: at most `limit` of them, those after the class and reference given. For
    /// pictures too large to hold twice; an append between two parts shows in the second.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn objects_after(
        &self,
        pool: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, Error> {
        let after = after.map(|(class, reference)| (class.to_owned(), reference.to_owned()));
        self.threads.listings.objects_after(pool.to_owned(), after, limit).await
    }

    /// The events after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.threads.road.ask("reading events", move |from| events::read(from, after, limit)).await
    }

    /// One event, `None` if the journal has none of this number.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn event(&self, sequence: u64) -> Result<Option<StoredEvent>, Error> {
        self.threads.road.ask("reading an event", move |from| events::event(from, sequence)).await
    }

    /// How far a plugin has come. One that was never seen is registered first, with its cursor at `start`: it will
    /// hear what comes after.
    ///
    /// # Errors
    /// [`Error::UnknownEvent`] if `start` is above the last event; see [`Journal`] for the others.
    pub async fn progress(&self, plugin: &str, start: u64) -> Result<Progress, Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| deliveries::progress(to, &plugin, start);
        self.threads.writer.write("reading a plugin's progress", work).await
    }

    /// Records that an attempt begins, and waits until that is durable.
    ///
    /// # Errors
    /// [`Error::StaleAttempt`] if the attempt is not above all before it, [`Error::Settled`] if the delivery has
    /// ended, [`Error::UnknownPlugin`], [`Error::UnknownEvent`]; see [`Journal`] for the others.
    pub async fn start(&self, plugin: &str, sequence: u64, attempt: u32) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| deliveries::start(to, &plugin, sequence, attempt);
        self.threads.writer.write("recording the start of a delivery", work).await
    }

    /// Records that an attempt begins, without waiting for the disk; it waits only while the queue is full.
    ///
    /// The order is kept: no later [`Journal::intend`] or [`Journal::finish`] of the attempt is durable before this.
    /// If it cannot be written (a full disk, say), that is logged, and the first of those that can be written records
    /// the start with it. After a crash in between the attempt looks as if it had never begun.
    ///
    /// # Errors
    /// [`Error::Broken`] and [`Error::Closed`].
    pub async fn post_start(&self, plugin: &str, sequence: u64, attempt: u32) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| deliveries::start(to, &plugin, sequence, attempt);
        self.threads.writer.post("recording the start of a delivery", work).await
    }

    /// Waits until everything that was posted or written before is durable.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn durable(&self) -> Result<(), Error> {
        self.threads.writer.write("waiting for what was posted", |_: &_| Ok(())).await
    }

    /// Settles events of which nothing was ever started by folding them into a later one, which tells of them too, and records
    /// that its first attempt begins: all or nothing.
    ///
    /// # Errors
    /// As [`Journal::start`] for any of them; see [`Journal`] for the others.
    pub async fn fold(&self, plugin: &str, folded: Vec<u64>, into: u64) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| fold::fold(to, &plugin, &folded, into);
        self.threads.writer.write("folding events into a later one", work).await
    }

    /// The events that were folded into this one, in order.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn folded_into(&self, plugin: &str, into: u64) -> Result<Vec<u64>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| fold::folded_into(from, &plugin, into);
        self.threads.road.ask("reading what was folded into an event", read).await
    }

    /// Ends an attempt: its outcome, the plugin's state writes and the cursor, all or nothing.
    ///
    /// # Errors
    /// As [`Journal::start`], and as [`Journal::advance`] if a cursor is given. [`Error::StaleAttempt`] also when the
    /// attempt has ended before.
    pub async fn finish(&self, finish: Finish) -> Result<(), Error> {
        let work = move |to: &_| deliveries::finish(to, &finish);
        self.threads.writer.write("recording the end of a delivery", work).await
    }

    /// Moves a plugin's cursor up, over events that it does not want or whose deliveries are settled. A cursor that
    /// is there or further already stays where it is.
    ///
    /// # Errors
    /// [`Error::Unsettled`] if a delivery at or below it is open, [`Error::UnknownPlugin`], [`Error::UnknownEvent`];
    /// see [`Journal`] for the others.
    pub async fn advance(&self, plugin: &str, cursor: u64) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| deliveries::advance(to, &plugin, cursor);
        self.threads.writer.write("moving a plugin's cursor", work).await
    }

    /// A delivery that is above the cursor or comes again; `None` for one that was never started or is settled.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn delivery(&self, plugin: &str, sequence: u64) -> Result<Option<OpenDelivery>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| deliveries::delivery(from, &plugin, sequence);
        self.threads.road.ask("reading a delivery", read).await
    }

    /// Makes a dead letter come again: an open delivery, due at once, whose attempts are counted on. Gives the letter as it
    /// was. Who did it is recorded.
    ///
    /// # Errors
    /// [`Error::UnknownDeadLetter`]; see [`Journal`] for the others.
    pub async fn revive(&self, id: u64, by: By) -> Result<DeadLetter, Error> {
        self.threads
            .writer
            .write("making a dead letter come again", move |to| dead::revive(to, id, &by))
            .await
    }

    /// Removes a dead letter for good, and gives it as it was. Who did it is recorded.
    ///
    /// # Errors
    /// [`Error::UnknownDeadLetter`]; see [`Journal`] for the others.
    pub async fn discard(&self, id: u64, by: By) -> Result<DeadLetter, Error> {
        self.threads.writer.write("dropping a dead letter", move |to| dead::discard(to, id, &by)).await
    }

    /// Records that a plugin is switched off, by whom and why; of one that is off already the newest word holds.
    ///
    /// # Errors
    /// [`Error::UnknownPlugin`]; see [`Journal`] for the others.
    pub async fn disable(&self, plugin: &str, by: By) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| switch::disable(to, &plugin, &by);
        self.threads.writer.write("switching a plugin off", work).await
    }

    /// Records that a plugin is on again, and by whom.
    ///
    /// # Errors
    /// [`Error::UnknownPlugin`]; see [`Journal`] for the others.
    pub async fn enable(&self, plugin: &str, by: By) -> Result<(), Error> {
        let plugin = plugin.to_owned();
        let work = move |to: &_| switch::enable(to, &plugin, &by);
        self.threads.writer.write("switching a plugin on", work).await
    }

    /// Removes the events from before a time, and the recorded calls about them, as far as every plugin has dealt with them
    /// and no dead letter needs them. In pieces: what is gone when this fails stays gone. Who did it is
    /// recorded where anything went.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn prune(&self, before_micros: i64, by: By) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        loop {
            let work = move |to: &_| prune::piece(to, before_micros);
            let (piece, more) = self.threads.writer.write("removing old events", work).await?;
            pruned.events += piece.events;
            pruned.effects += piece.effects;
            pruned.held_by = piece.held_by;
            if !more {
                break;
            }
        }
        if pruned.events > 0 {
            self.record("journal prune", &format!("{} events", pruned.events), by).await?;
        }
        Ok(pruned)
    }

    /// Removes the oldest events when the journal holds more than it may: first those that nobody needs, then those that plugins
    /// have not dealt with. Their cursors are moved up then, their open deliveries and dead letters about these events are gone, and
    /// each loss is recorded as a [`Gap`]. In pieces: what is gone when this fails stays gone. Nothing is written while the
    /// journal is within its limits.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn keep_within(&self, limits: Limits, at_micros: i64) -> Result<Shrunk, Error> {
        let passed =
            |limits| self.threads.road.ask("measuring the journal", move |from| limit::passed(from, limits));
        let mut shrunk = Shrunk::default();
        if passed(limits).await?.is_none() {
            return Ok(shrunk);
        }
        while let Some(why) = passed(limits.lowered()).await? {
            let free = move |to: &_| prune::piece(to, i64::MAX);
            let (pruned, _) = self.threads.writer.write("removing events beyond the limit", free).await?;
            shrunk.events += pruned.events;
            if pruned.events > 0 {
                continue;
            }
            let work = move |to: &_| limit::lose(to, &why, at_micros);
            let Some(lost) = self.threads.writer.write("removing events beyond the limit", work).await?
            else {
                shrunk.still_above = true;
                break;
            };
            shrunk.events += lost.events;
            for gap in lost.gaps {
                shrunk.gaps.retain(|known| known.id != gap.id);
                shrunk.gaps.push(gap);
            }
        }
        Ok(shrunk)
    }

    /// What a plugin lost last; `None` if it never lost anything.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn gap(&self, plugin: &str) -> Result<Option<Gap>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| limit::gaps(from, Some(&plugin), 1);
        Ok(self.threads.road.ask("reading what a plugin lost", read).await?.into_iter().next())
    }

    /// Records what a person did elsewhere than in the journal.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn record(&self, verb: &str, subject: &str, by: By) -> Result<(), Error> {
        let (verb, subject) = (verb.to_owned(), subject.to_owned());
        let work = move |to: &_| actions::record(to, &by, &verb, &subject);
        self.threads.writer.write("recording an action", work).await
    }

    /// What a person asks of the journal.
    pub fn listings(&self) -> &Listings {
        &self.threads.listings
    }

    /// Records a call before it is sent. Once this answers, the intent survives whatever happens.
    ///
    /// # Errors
    /// [`Error::EffectKnown`] if the attempt has recorded a call at this place; else as [`Journal::start`], except
    /// that the attempt may of course have started.
    pub async fn intend(&self, intent: Intent) -> Result<EffectId, Error> {
        self.threads.writer.write("recording an effect", move |to| effects::intend(to, &intent)).await
    }

    /// Records how a call went. The first outcome stays; the same one again changes nothing. `details` is what the audit
    /// says of it.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`], [`Error::EffectConcluded`] if there is another outcome; see [`Journal`] for the
    /// others.
    pub async fn conclude(
        &self,
        id: EffectId,
        outcome: String,
        details: String,
        at_micros: i64,
    ) -> Result<(), Error> {
        let work = move |to: &_| effects::conclude(to, id, &outcome, &details, at_micros);
        self.threads.writer.write("recording the outcome of an effect", work).await
    }

    /// The calls of a plugin from a time on that a rule allowed, in order.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn allowed_since(&self, plugin: &str, since_micros: i64) -> Result<Vec<Allowed>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| effects::allowed_since(from, &plugin, since_micros);
        self.threads.road.ask("reading what a plugin called lately", read).await
    }

    /// Adds a row to the audit, without waiting for the disk; it waits only while the queue is full. A failure is logged.
    ///
    /// # Errors
    /// [`Error::Broken`] and [`Error::Closed`].
    pub async fn post_audit(&self, entry: NewAudit) -> Result<(), Error> {
        let work = move |to: &_| audit::append(to, &entry).map(drop).map_err(Into::into);
        self.threads.writer.post("adding to the audit", work).await
    }

    /// Removes rows of the audit from before a time, from the beginning. Gives how many went. A row tells of it.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn prune_audit(&self, before_micros: i64, by: By) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let by = by.clone();
            let work = move |to: &_| audit::prune(to, before_micros, &by);
            let (piece, more) = self.threads.writer.write("removing old rows of the audit", work).await?;
            gone += piece;
            if !more {
                return Ok(gone);
            }
        }
    }

    /// The recorded calls of all attempts of one delivery, by attempt and place.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn effects(&self, plugin: &str, sequence: u64) -> Result<Vec<Effect>, Error> {
        let plugin = plugin.to_owned();
        let read = move |from: &_| effects::of_delivery(from, &plugin, sequence);
        self.threads.road.ask("reading the effects of a delivery", read).await
    }

    /// The recorded calls after a number, in order, at most `limit`. `EffectId(0)` is before all.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn effects_since(&self, after: EffectId, limit: usize) -> Result<Vec<Effect>, Error> {
        self.threads.listings.effects_since(after, limit).await
    }

    /// What a plugin keeps under a key, `None` if nothing.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn state(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let (plugin, key) = (plugin.to_owned(), key.to_owned());
        self.threads.road.ask("reading a plugin's state", move |from| state::get(from, &plugin, &key)).await
    }

    /// The keys of a plugin that begin with `prefix`, in the order of their bytes, at most `limit`, those after
    /// `after` if it is given.
    ///
    /// # Errors
    /// See [`Journal`].
    pub async fn state_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let (plugin, prefix, after) = (plugin.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        let read = move |from: &_| state::keys(from, &plugin, &prefix, after.as_deref(), limit);
        self.threads.road.ask("reading a plugin's keys", read).await
    }
}
