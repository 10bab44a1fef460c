//! The interface `calls`: schema, grant, ledger, budget, pool, in this order. A call that changes something is
//! recorded as intended before it is sent and with its outcome before the plugin hears of it.
//!
//! Budgets come after the ledger has been asked what an earlier attempt did: what is answered from the record is not made
//! again, so it takes nothing from a budget that lasts longer than a run.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use grant::nearest::hint;
use grant::{Decision, Denial, Question, Reason, Target, parameters, target_of, target_parameter};
use smol_str::SmolStr;
use wasmtime::component::Resource;
use xapi::Value as Raw;
use xapi::model::{Class, Method, Record, Type, schema, typed};

use crate::contract::xapiary::plugin::calls::{Host, HostTask, Progress};
use crate::contract::xapiary::plugin::types::{Error, Value};
use crate::convert::{Age, Misfit, inward, outward, words};
use crate::fault;
use crate::pool::{Allowed, CallError, EffectOutcome, Intent, Recalled, Refusal, TaskState};
use crate::report::Level;
use crate::sandbox::Sandbox;

/// A started task as a plugin holds it.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TaskView {
    reference: SmolStr,
    result: &'static Type,
}

/// A call that makes sense.
struct Call {
    name: String,
    class: &'static Class,
    method: &'static Method,
    arguments: Vec<Raw>,
    asynchronous: bool,
    /// The object that it acts on, when the world does not have it yet.
    fetched: Option<Record>,
    /// Its place among the calls of the delivery that would change something.
    place: u32,
}

/// What the grant says of a call.
struct Judgement {
    decision: Decision,
    object: Option<String>,
    /// When it was asked, by the clock of what is spent.
    at: i64,
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
                let age = Age::Fresh(Some(&self.terms.grant));
                Ok(outward(Some(result), &typed(result, value), &mut self.handles, age))
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
                let age = Age::Fresh(Some(&self.terms.grant));
                Progress::Succeeded(outward(Some(task.result), &value, &mut self.handles, age))
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
    /// Checks a call against schema and grant. One whose budget is used up passes when it changes something: it may be answered
    /// from the record.
    async fn admit(&mut self, name: &str, given: &[Value], asynchronous: bool) -> Result<Call, Error> {
        let (class, method) = lookup(name, asynchronous)?;
        let arguments = self.arguments(name, method, given)?;
        // Refused ones have a place too, so that what follows is found at its own when the delivery is repeated and the grant or
        // the world has changed meanwhile.
        let place = self.effects;
        self.effects += u32::from(method.changes());
        let name = name.to_owned();
        let mut call = Call { name, class, method, arguments, asynchronous, fetched: None, place };
        call.fetched = self.fetch_target(&call).await?;
        let judgement = self.judge(&call, !method.changes());
        match &judgement.decision {
            Decision::Allowed { .. } => Ok(call),
            Decision::Denied(denial) if denial.reason == Reason::OverBudget && method.changes() => Ok(call),
            Decision::Denied(denial) => Err(self.refuse(&call, denial, &judgement).await),
        }
    }

    /// Asks the grant. With `spend`, what is allowed is counted in the same breath, so that deliveries side by side cannot
    /// take the same room.
    fn judge(&mut self, call: &Call, spend: bool) -> Judgement {
        let terms = Arc::clone(&self.terms);
        let pool = Arc::clone(&self.pool);
        let world = pool.world().read().unwrap_or_else(PoisonError::into_inner);
        let mut spent = terms.spending.lock();
        let now = terms.spending.now();
        let target = match &call.fetched {
            Some(record) => Target::Known(record),
            None => target_of(call.method, &call.arguments, &world),
        };
        let question =
            Question { call: call.asked(), target, world: &world, run: &self.run, spent: &spent, now };
        let decision = terms.grant.decide(&question);
        let object = question.object().map(str::to_owned);
        if let (true, Decision::Allowed { rule }) = (spend, &decision) {
            spent.spend(*rule, terms.grant.rules()[*rule].budget(), object.as_deref(), now);
            self.run.count(*rule);
        }
        Judgement { decision, object, at: now }
    }

    /// Tells everybody that a call was refused.
    async fn refuse(&mut self, call: &Call, denial: &Denial, judgement: &Judgement) -> Error {
        self.meter.refused_calls += 1;
        let reason = denial.reason.word();
        let fields = vec![
            ("method".to_owned(), call.name.clone()),
            ("reason".to_owned(), reason.to_owned()),
            ("advice".to_owned(), denial.advice.clone()),
        ];
        self.log().host(Level::Warn, "the grant refused a call", fields);
        let refusal = Refusal {
            method: &call.name,
            arguments: &call.kept_arguments(),
            object: judgement.object.as_deref(),
            reason,
            advice: &denial.advice,
        };
        let begun = Instant::now();
        self.ledger.refused(refusal).await;
        self.meter.waited(begun.elapsed());
        match &denial.exhausted {
            Some(exhausted) => fault::over_budget(&call.name, exhausted, judgement.at, &denial.advice),
            None => fault::denied(&call.name, reason, &denial.advice),
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
    async fn fetch_target(&mut self, call: &Call) -> Result<Option<Record>, Error> {
        let Some((index, of)) = target_parameter(call.method) else { return Ok(None) };
        let Some(reference) = call.arguments.get(index).and_then(Raw::as_str) else { return Ok(None) };
        let allowed_somewhere = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            let handle = self.handles.peek(reference);
            let fresh = self.handles.resolve(&handle).is_ok_and(|known| known.fresh);
            let fetchable = schema::class(of).is_some_and(|known| known.method("get_record").is_some());
            if world.get(of, reference).is_some() || !fresh || !fetchable {
                return Ok(None);
            }
            // Whether the method is allowed at all is settled without asking the pool.
            let question = Question { target: Target::Null, ..Question::of(call.asked(), &world) };
            match self.terms.grant.decide(&question) {
                Decision::Allowed { .. } => true,
                Decision::Denied(denial) => !matches!(denial.reason, Reason::NoRule | Reason::NeedsItsName),
            }
        };
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
        if !call.method.changes() {
            self.spend()?;
            let answer = self.send(&call.name, call.arguments, call.asynchronous, None).await;
            return answer.map_err(|error| fault::call(&error, &mut self.handles));
        }
        let mut intent = Intent {
            index: call.place,
            method: call.name.clone(),
            arguments: call.kept_arguments(),
            asynchronous: call.asynchronous,
            object: None,
        };
        let begun = Instant::now();
        let recalled = self.ledger.recall(&intent).await;
        self.meter.waited(begun.elapsed());
        match recalled.map_err(|error| fault::unavailable(&error))? {
            None => {}
            Some(recalled) => {
                // It is one of this run's calls all the same.
                let rule = match self.judge(&call, false).decision {
                    Decision::Allowed { rule } => Some(rule),
                    Decision::Denied(denial) => denial.exhausted.map(|exhausted| exhausted.rule),
                };
                if let Some(rule) = rule {
                    self.run.count(rule);
                }
                return match recalled {
                    Recalled::Concluded(outcome) => self.recorded(&call.name, outcome),
                    Recalled::InDoubt(why) => Err(fault::in_doubt(&why)),
                };
            }
        }
        let judgement = self.judge(&call, true);
        let rule = match &judgement.decision {
            Decision::Allowed { rule } => *rule,
            Decision::Denied(denial) => return Err(self.refuse(&call, denial, &judgement).await),
        };
        intent.object = judgement.object;
        let terms = Arc::clone(&self.terms);
        let rule = &terms.grant.rules()[rule];
        let begun = Instant::now();
        let intended = self.ledger.intend(intent, Allowed { place: rule.place(), text: rule.text() }).await;
        self.meter.waited(begun.elapsed());
        let effect = intended.map_err(|error| fault::unavailable(&error))?;
        let Call { name, arguments, asynchronous, place: index, .. } = call;
        if self.terms.dry_run {
            self.conclude(effect, EffectOutcome::DryRun).await;
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
    fn recorded(&mut self, method: &str, outcome: EffectOutcome) -> Result<Answer, Error> {
        match outcome {
            EffectOutcome::DryRun => Err(fault::dry_run(method)),
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

impl Call {
    /// As the grant is asked about it.
    fn asked(&self) -> grant::Call<'_> {
        grant::Call { class: self.class, method: self.method, arguments: &self.arguments }
    }

    /// The arguments as they may be kept.
    fn kept_arguments(&self) -> Vec<Raw> {
        if self.method.secret { vec!["(secret)".into()] } else { self.arguments.clone() }
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
