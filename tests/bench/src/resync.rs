//! Reading a whole pool again: ten thousand objects of real shape decoded and compared, nothing having changed.

use anyhow::{Result, ensure};
use xapi::events::{Event, Input, Step, Stream};
use xapi::model::World;

use crate::picture;
use crate::row::{Goal, Row};
use crate::timing::Rounds;

const OBJECTS: usize = 10_000;

/// Decodes and compares the whole picture.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let body = picture::body(0..OBJECTS)?;
    let mut world = World::new();
    let first = Stream::new(Stream::all_classes()).step(&world, Input::Batch(picture::read(&body)?));
    for change in first.changes {
        change.apply(&mut world);
    }
    ensure!(world.len() == OBJECTS, "the picture has {} objects", world.len());
    let stream = first.next.after_new_session();
    let again = || -> Result<Step> { Ok(stream.step(&world, Input::Batch(picture::read(&body)?))) };
    let told = again()?.events;
    let nothing_new = matches!(told.as_slice(), [Event::Resync(resync)] if resync.differences == 0);
    ensure!(nothing_new, "the same picture told {} events", told.len());

    let took = rounds.few().quickest(|| (), |()| again());
    let name = format!("resync of 10,000 objects ({:.0} MB of XML)", body.len() as f64 / 1e6);
    Ok(vec![Row::new(name, took.as_secs_f64(), "CPU s").goal(Goal::AtMost(1.0))])
}
