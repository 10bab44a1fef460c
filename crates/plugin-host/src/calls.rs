//! The interface `calls`: schema, grant, budget, ledger, pool, in this order. A call that changes something is
//! recorded as intended before it is sent and with its outcome before the plugin hears of it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use wasmtime::component::Resource;
use xapi::Value as Raw;
use xapi::model::{Class, Method, Record, Type, schema, typed};

use crate::contract::xapiary::plugin::calls::{Host, HostTask, Progress};
use crate::contract::xapiary::plugin::types::{Error, Value};
use crate::convert::{Age, Misfit, inward, outward, words};
use crate::fault;
use crate::grant::{Decision, Target, parameters, target_of, target_parameter};
use crate::nearest::hint;
use crate::pool::{CallError, EffectOutcome, Intended, Intent, TaskState};
use crate::report::Level;
use crate::sandbox::Sandbox;

/// A started task as a plugin holds it.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TaskView {
    reference: SmolStr,
    result: &'static Type,
}

/// A call that makes sense and is allowed.
struct Call {
    name: String,
    method: &'static Method,
    arguments: Vec<Raw>,
    asynchronous: bool,
}

/// What a call came back with.
enum Answer {
    Value(Raw),
    Task(SmolStr),
}

impl Host for Sandbox {
    async fn call(
        &mut self,
        method: String,
        arguments: Vec<Value>,
    ) -> wasmtime::Result<Result<Value, Error>> {
        self.enter("calls.call")?;
        let call = match self.admit(&method, &arguments, false).await {
            Ok(call) => call,
            Err(error) => return Ok(Err(error)),
        };
        let result = &call.method.result;
        Ok(match self.perform(call).await {
            Ok(Answer::Value(value)) => {
                Ok(outward(Some(result), &typed(result, value), &mut self.handles, Age::Fresh))
            }
            Ok(Answer::Task(_)) => Err(fault::in_doubt("an earlier attempt started this call as a task")),
            Err(error) => Err(error),
        })
    }

    async fn start(
        &mut self,
        method: String,
        arguments: Vec<Value>,
    ) -> wasmtime::Result<Result<Resource<TaskView>, Error>> {
        self.enter("calls.start")?;
        let call = match self.admit(&method, &arguments, true).await {
            Ok(call) => call,
            Err(error) => return Ok(Err(error)),
        };
        let result = &call.method.result;
        match self.perform(call).await {
            Ok(Answer::Task(reference)) => self.hand_out(TaskView { reference, result }).map(Ok),
            Ok(Answer::Value(_)) => {
                Ok(Err(fault::in_doubt("an earlier attempt made this call without a task, and it succeeded")))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

impl HostTask for Sandbox {
    async fn reference(&mut self, this: Resource<TaskView>) -> wasmtime::Result<String> {
        self.enter("task.reference")?;
        let reference = self.held(&this)?.reference.clone();
        Ok(self.handles.issue_fresh("task", &reference))
    }

    async fn wait(&mut self, this: Resource<TaskView>, at_most: u64) -> wasmtime::Result<Progress> {
        self.enter("task.wait")?;
        let task = self.held(&this)?.clone();
        let pool = Arc::clone(&self.pool);
        let begun = Instant::now();
        let state = pool.wait_task(&task.reference, Duration::from_millis(at_most)).await;
        self.meter.waited(begun.elapsed());
        Ok(match state {
            Ok(TaskState::Pending(progress)) => Progress::Pending(progress),
            Ok(TaskState::Succeeded(value)) => {
                let value = typed(task.result, value);
                Progress::Succeeded(outward(Some(task.result), &value, &mut self.handles, Age::Fresh))
            }
            Ok(TaskState::Failed(failure)) => Progress::Failed(fault::xapi(&failure, &mut self.handles)),
            Ok(TaskState::Cancelled) => Progress::Cancelled,
            Ok(TaskState::Lost) => Progress::Lost,
            Err(error) => Progress::Failed(fault::call(&error, &mut self.handles)),
        })
    }

    async fn cancel(&mut self, this: Resource<TaskView>) -> wasmtime::Result<Result<(), Error>> {
        self.enter("task.cancel")?;
        let task = self.held(&this)?.clone();
        let pool = Arc::clone(&self.pool);
        let begun = Instant::now();
        let done = pool.cancel_task(&task.reference).await;
        self.meter.waited(begun.elapsed());
        Ok(done.map_err(|error| fault::call(&error, &mut self.handles)))
    }

    async fn drop(&mut self, this: Resource<TaskView>) -> wasmtime::Result<()> {
        self.take_back(this)
    }
}

impl Sandbox {
    /// Checks a call against schema, budget and grant.
    async fn admit(&mut self, name: &str, given: &[Value], asynchronous: bool) -> Result<Call, Error> {
        let (class, method) = lookup(name, asynchronous)?;
        let arguments = self.arguments(name, method, given)?;
        let fetched = self.fetch_target(class, method, &arguments).await?;
        let decision = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            let target = match &fetched {
                Some(record) => Target::Known(record),
                None => target_of(method, &arguments, &world),
            };
            self.terms.grant.decide_on(class, method, &arguments, target)
        };
        match decision {
            Decision::Allowed { .. } => Ok(Call { name: name.to_owned(), method, arguments, asynchronous }),
            Decision::Denied(denial) => {
                self.meter.refused_calls += 1;
                let reason = denial.reason.word();
                let fields = vec![
                    ("method".to_owned(), name.to_owned()),
                    ("reason".to_owned(), reason.to_owned()),
                    ("advice".to_owned(), denial.advice.clone()),
                ];
                self.log().host(Level::Warn, "the grant refused a call", fields);
                Err(fault::denied(name, reason, denial.advice))
            }
        }
    }

    fn arguments(&self, name: &str, method: &'static Method, given: &[Value]) -> Result<Vec<Raw>, Error> {
        let wanted: Vec<_> = parameters(method).collect();
        let least = wanted.len().saturating_sub(method.optional);
        if given.len() > wanted.len() || given.len() < least {
            let list: Vec<String> = wanted
                .iter()
                .map(|parameter| format!("{}: {}", parameter.name, words(&parameter.kind)))
                .collect();
            let advice = format!("{name} takes ({}); the session is no argument", list.join(", "));
            let count = format!("{name} was given {} arguments", given.len());
            return Err(fault::invalid("ARGUMENT_COUNT", &count, advice));
        }
        wanted
            .iter()
            .zip(given)
            .map(|(parameter, given)| {
                inward(&parameter.kind, given, &self.handles).map_err(|misfit| match misfit {
                    Misfit::Reference(handle, why) => fault::bad_reference(&handle, why),
                    Misfit::Shape { wanted, given } => {
                        let advice =
                            format!("argument `{}` of {name} is {wanted}, not {given}", parameter.name);
                        fault::invalid("ARGUMENT_TYPE", parameter.name, advice)
                    }
                })
            })
            .collect()
    }

    /// The record of an object that a call of this delivery made just now and the world does not have yet.
    async fn fetch_target(
        &mut self,
        class: &Class,
        method: &Method,
        arguments: &[Raw],
    ) -> Result<Option<Record>, Error> {
        let Some((index, of)) = target_parameter(method) else { return Ok(None) };
        let Some(reference) = arguments.get(index).and_then(Raw::as_str) else { return Ok(None) };
        let in_world = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            world.get(of, reference).is_some()
        };
        let handle = self.handles.peek(reference);
        let fresh = self.handles.resolve(&handle).is_ok_and(|known| known.fresh);
        if in_world || !fresh || schema::class(of).is_none_or(|known| known.method("get_record").is_none()) {
            return Ok(None);
        }
        // Whether the method is allowed at all is settled without asking the pool.
        let allowed_somewhere = !matches!(
            self.terms.grant.decide_on(class, method, arguments, Target::Null),
            Decision::Denied(denial) if denial.reason != crate::grant::Reason::OtherObjects
        );
        if !allowed_somewhere {
            return Ok(None);
        }
        self.spend()?;
        let getter = format!("{of}.get_record");
        match self.send(&getter, vec![reference.into()], false, None).await {
            Ok(Answer::Value(Raw::Struct(fields))) => Ok(Some(Record::new(of, reference, fields))),
            Ok(_) | Err(CallError::Xapi(_)) => Ok(None),
            Err(error) => Err(fault::call(&error, &mut self.handles)),
        }
    }

    /// Takes one call from the budget.
    fn spend(&mut self) -> Result<(), Error> {
        let allowed = self.terms.limits.pool_calls;
        if self.meter.pool_calls >= allowed {
            return Err(fault::limit("calls", format!("one delivery may make {allowed} calls to the pool")));
        }
        self.meter.pool_calls += 1;
        Ok(())
    }

    async fn perform(&mut self, call: Call) -> Result<Answer, Error> {
        let Call { name, method, arguments, asynchronous } = call;
        if !method.changes() {
            self.spend()?;
            let answer = self.send(&name, arguments, asynchronous, None).await;
            return answer.map_err(|error| fault::call(&error, &mut self.handles));
        }
        let intent = Intent {
            index: self.effects,
            method: name.clone(),
            arguments: if method.secret { vec!["(secret)".into()] } else { arguments.clone() },
            asynchronous,
        };
        let begun = Instant::now();
        let intended = self.ledger.intend(intent).await;
        self.meter.waited(begun.elapsed());
        let intended = intended.map_err(|error| fault::unavailable(&error))?;
        let index = self.effects;
        self.effects += 1;
        let effect = match intended {
            Intended::New(effect) => effect,
            Intended::Concluded(outcome) => return self.recorded(outcome),
            Intended::InDoubt(why) => return Err(fault::in_doubt(&why)),
        };
        if self.terms.dry_run {
            self.conclude(effect, EffectOutcome::NotSent("dry run".to_owned())).await;
            let fields = vec![("method".to_owned(), name.clone())];
            self.log().host(Level::Info, "a dry run: the call was recorded and not sent", fields);
            return Err(fault::dry_run(&name));
        }
        let answer = match self.spend() {
            Ok(()) => self.send(&name, arguments, asynchronous, Some(index)).await,
            Err(limit) => {
                let outcome = EffectOutcome::NotSent("the delivery's calls were used up".to_owned());
                self.conclude(effect, outcome).await;
                return Err(limit);
            }
        };
        let outcome = match &answer {
            Ok(Answer::Value(value)) => EffectOutcome::Succeeded(value.clone()),
            Ok(Answer::Task(task)) => EffectOutcome::Started(task.clone()),
            Err(CallError::Xapi(failure)) => EffectOutcome::Failed(failure.clone()),
            Err(CallError::Transport(why)) => EffectOutcome::NotSent(why.clone()),
            Err(CallError::InDoubt(why)) => EffectOutcome::InDoubt(why.clone()),
        };
        self.conclude(effect, outcome).await;
        answer.map_err(|error| fault::call(&error, &mut self.handles))
    }

    async fn conclude(&mut self, effect: u64, outcome: EffectOutcome) {
        let begun = Instant::now();
        let concluded = self.ledger.conclude(effect, outcome).await;
        self.meter.waited(begun.elapsed());
        if let Err(error) = concluded {
            // The call is made: the plugin must hear of it. A later attempt will find the effect in doubt.
            let fields = vec![("error".to_owned(), error)];
            self.log().host(Level::Error, "the outcome of a call could not be recorded", fields);
        }
    }

    /// What an earlier attempt of this delivery has on record.
    fn recorded(&mut self, outcome: EffectOutcome) -> Result<Answer, Error> {
        match outcome {
            EffectOutcome::Succeeded(value) => Ok(Answer::Value(value)),
            EffectOutcome::Started(task) => Ok(Answer::Task(task)),
            EffectOutcome::Failed(failure) => Err(fault::xapi(&failure, &mut self.handles)),
            EffectOutcome::NotSent(why) => Err(fault::call(&CallError::Transport(why), &mut self.handles)),
            EffectOutcome::InDoubt(why) => Err(fault::in_doubt(&why)),
        }
    }

    /// Sends a call; `effect` is the index of one that changes something.
    async fn send(
        &mut self,
        name: &str,
        arguments: Vec<Raw>,
        asynchronous: bool,
        effect: Option<u32>,
    ) -> Result<Answer, CallError> {
        let pool = Arc::clone(&self.pool);
        let allowed = self.terms.limits.call_timeout;
        let begun = Instant::now();
        let answer = tokio::time::timeout(allowed, async {
            if asynchronous {
                pool.start(name, arguments, effect).await.map(Answer::Task)
            } else {
                pool.call(name, arguments).await.map(Answer::Value)
            }
        })
        .await;
        self.meter.waited(begun.elapsed());
        answer.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", allowed.as_millis());
            Err(if effect.is_some() { CallError::InDoubt(why) } else { CallError::Transport(why) })
        })
    }
}

fn lookup(name: &str, asynchronous: bool) -> Result<(&'static Class, &'static Method), Error> {
    if let Some(rest) = name.strip_prefix("Async.") {
        let advice = format!("leave `Async.` out: `start` with `{rest}` runs it as a task");
        return Err(fault::invalid("UNKNOWN_METHOD", name, advice));
    }
    let Some((class, method)) = schema::method(name) else {
        let of = name.split_once('.').and_then(|(class, _)| schema::class(class));
        let classes = of.map_or(schema::classes(), std::slice::from_ref);
        let names: Vec<String> = classes
            .iter()
            .flat_map(|class| {
                class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name))
            })
            .collect();
        let hint = hint(name, names.iter().map(String::as_str));
        return Err(fault::invalid("UNKNOWN_METHOD", name, format!("XAPI has no method `{name}`{hint}")));
    };
    if parameters(method).count() == method.parameters.len() {
        let advice = "it takes no session, and the daemon keeps the session";
        return Err(fault::invalid("NO_SESSION", name, advice));
    }
    if asynchronous && !method.asynchronous {
        let advice = format!("{name} has no asynchronous form: use `call`");
        return Err(fault::invalid("NOT_ASYNCHRONOUS", name, advice));
    }
    Ok((class, method))
}
