//! The event as the plugin receives it: raw references become handles, records become objects as far as the grant
//! shows them.

use std::sync::Arc;

use wasmtime::component::Resource;
use xapi::model::{Record, schema};

use crate::contract::xapiary::plugin::events as given;
use crate::contract::xapiary::plugin::types::Value;
use crate::convert::{Age, outward, veiled};
use crate::event::{Alert, Change, Connection, Ending, Event, Operation, Origin, Subject, TaskOutcome};
use crate::fault;
use crate::objects::ObjectView;
use crate::sandbox::Sandbox;

impl crate::contract::xapiary::plugin::events::Host for Sandbox {}
impl crate::contract::xapiary::plugin::types::Host for Sandbox {}

impl Sandbox {
    /// Turns an event into the contract's.
    pub(crate) fn event(&mut self, event: Event) -> wasmtime::Result<given::Event> {
        let Event { sequence, pool, at, origin, gap, attempt, subscription, subject } = event;
        let origin = match origin {
            Origin::Live => given::Origin::Live,
            Origin::Resync => given::Origin::Resync,
            Origin::Replay => given::Origin::Replay,
        };
        let subject = match subject {
            Subject::Change(change) => given::Subject::Change(self.change(change)?),
            Subject::Task(task) => given::Subject::Task(self.task(task)),
            Subject::Alert(alert) => given::Subject::Alert(self.alert(alert)),
            Subject::Tick(tick) => {
                given::Subject::Tick(given::Tick { schedule: tick.schedule, due: tick.due })
            }
            Subject::Connection(connection) => given::Subject::Connection(match connection {
                Connection::Connected => given::Connection::Connected,
                Connection::Lost(why) => given::Connection::Lost(why),
                Connection::Moved(to) => given::Connection::Moved(to),
                Connection::Resynced => given::Connection::Resynced,
            }),
        };
        Ok(given::Event { sequence, pool, at, origin, gap, attempt, subscription, subject })
    }

    fn change(&mut self, change: Change) -> wasmtime::Result<given::Change> {
        let Change { class, reference, uuid, operation, old, new, changed, caused_by } = change;
        let terms = Arc::clone(&self.terms);
        let visible = terms.grant.visible(&class);
        let changed = changed
            .into_iter()
            .filter(|field| visible.is_some_and(|visible| visible.shows(field)))
            .map(|field| field.to_string())
            .collect();
        Ok(given::Change {
            reference: self.handles.issue(&class, &reference),
            class: class.to_string(),
            uuid: uuid.map(|uuid| uuid.to_string()),
            operation: match operation {
                Operation::Added => given::Operation::Added,
                Operation::Modified => given::Operation::Modified,
                Operation::Deleted => given::Operation::Deleted,
            },
            old: self.object(old, visible.is_some())?,
            new: self.object(new, visible.is_some())?,
            changed,
            caused_by,
        })
    }

    fn object(
        &mut self,
        record: Option<Arc<Record>>,
        readable: bool,
    ) -> wasmtime::Result<Option<Resource<ObjectView>>> {
        record.filter(|_| readable).map(|record| self.hand_out(ObjectView { record })).transpose()
    }

    /// That it was raised and about what is told to whoever subscribes; what it says, as far as the grant shows it.
    fn alert(&mut self, alert: Alert) -> given::Alert {
        let shown = self.terms.grant.visible("message").is_some_and(|visible| visible.shows("body"));
        let body = if shown { veiled(&alert.body, &mut self.handles, Age::Seen) } else { String::new() };
        given::Alert {
            name: alert.name,
            priority: alert.priority,
            class: alert.class,
            uuid: alert.uuid,
            body,
        }
    }

    /// A task is a record too: its name, result and error are told as far as the grant shows those fields. Without
    /// that the plugin learns which task ended and in which of the ways.
    fn task(&mut self, task: TaskOutcome) -> given::TaskOutcome {
        let TaskOutcome { reference, name, ending, started_by } = task;
        let terms = Arc::clone(&self.terms);
        let visible = terms.grant.visible("task");
        let shows = |field: &str| visible.is_some_and(|visible| visible.shows(field));
        let kind = schema::method(&name).map(|(_, method)| &method.result);
        given::TaskOutcome {
            reference: self.handles.issue("task", &reference),
            ending: match ending {
                Ending::Succeeded(value) if shows("result") => {
                    given::Ending::Succeeded(outward(kind, &value, &mut self.handles, Age::Fresh(None)))
                }
                Ending::Succeeded(_) => given::Ending::Succeeded(Value::Nothing),
                Ending::Failed(failure) if shows("error_info") => {
                    given::Ending::Failed(fault::xapi(&failure, &mut self.handles))
                }
                Ending::Failed(_) => given::Ending::Failed(fault::hidden_xapi(
                    terms.grant.read_advice("task", Some("error_info")),
                )),
                Ending::Cancelled => given::Ending::Cancelled,
                Ending::Lost => given::Ending::Lost,
            },
            name: if shows("name_label") { name } else { String::new() },
            started_by: started_by.filter(|_| visible.is_some()),
        }
    }
}
