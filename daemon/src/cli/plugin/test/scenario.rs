//! The text of a scenario file: what happens in the pool, and what is expected of the plugin.
//!
//! What can happen is what a simulated pool's scenario can do (`do`), and any call of an administrator (`call`).

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use simulator::Scenario;
use toml::Spanned;
use xapi::model::{Class, schema};
use xapi::suggestion::{self, shown};

use crate::cli::call;

/// How long an expectation is waited for, unless it says otherwise.
const WITHIN: Duration = Duration::from_secs(10);
/// How much faster than nature the pool is, unless the file says otherwise.
const SPEED: f64 = 10.0;

/// A scenario, read and checked.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) about: String,
    /// A grant of its own, relative to the file.
    pub(super) grant: Option<PathBuf>,
    pub(super) speed: f64,
    pub(super) seed: u64,
    /// What an administrator does before the plugin listens.
    pub(super) given: Vec<Call>,
    pub(super) when: Vec<When>,
}

/// Something that happens, and what shall come of it.
#[derive(Debug)]
pub(super) struct When {
    pub(super) what: What,
    pub(super) then: Vec<Then>,
}

/// What happens.
#[derive(Debug)]
pub(super) enum What {
    /// The pool does it by itself; in words, and as a scenario of one step.
    Pool(String, Scenario),
    /// An administrator calls.
    Call(Call),
}

/// A call of an administrator.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) arguments: Vec<String>,
}

/// An expectation.
#[derive(Debug)]
pub(super) struct Then {
    pub(super) what: Expected,
    pub(super) within: Duration,
}

/// What is expected.
#[derive(Debug)]
pub(super) enum Expected {
    /// The plugin calls a method: on the object of this name, so often, with this outcome.
    Call { method: String, on: Option<String>, times: Option<usize>, outcome: Outcome },
    /// The plugin calls nothing that changes anything.
    NoCalls,
    /// The plugin logs a line that contains this.
    Log(String),
    /// A delivery ends so, for a reason that contains this.
    Delivery { how: Ending, why: Option<String> },
    /// An object of the pool is so.
    Object { class: &'static Class, name: String, field: String, is: Condition },
    /// The plugin's store holds something under a key.
    Store { key: String, is: Condition },
}

/// How a field or a stored value is.
#[derive(Debug)]
pub(super) enum Condition {
    Is(Json),
    /// A list holds it, or a map has it as a key.
    Has(Json),
    /// There is something.
    There,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The pool did it, or began to.
    Done,
    /// The pool refused.
    Failed,
    /// The grant refused.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    Done,
    Again,
    GivenUp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStory {
    #[serde(default)]
    about: String,
    grant: Option<PathBuf>,
    speed: Option<f64>,
    seed: Option<u64>,
    #[serde(default)]
    given: Vec<RawGiven>,
    #[serde(default)]
    when: Vec<Spanned<RawWhen>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGiven {
    call: Spanned<Vec<String>>,
}

#[derive(Deserialize)]
struct RawWhen {
    call: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    then: Vec<Spanned<RawThen>>,
    /// The words of a step of a simulated pool, which the simulator judges.
    #[serde(flatten)]
    step: Map<String, Json>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawThen {
    call: Option<String>,
    on: Option<String>,
    times: Option<usize>,
    outcome: Option<Outcome>,
    no_calls: Option<bool>,
    log: Option<String>,
    delivery: Option<Ending>,
    why: Option<String>,
    object: Option<String>,
    field: Option<String>,
    store: Option<String>,
    is: Option<Json>,
    has: Option<Json>,
    absent: Option<bool>,
    within: Option<String>,
}

impl Story {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line, in words for a person.
    pub(super) fn parse(text: &str) -> Result<Story, String> {
        let raw: RawStory = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let placed = |at: usize| move |what: String| format!("line {}: {what}", line(at));
        if raw.when.is_empty() {
            return Err(
                "nothing happens: write what does under [[when]], and what is expected under [[when.then]]"
                    .to_owned(),
            );
        }
        if !raw.speed.is_none_or(|speed| speed.is_finite() && speed > 0.0) {
            return Err("speed: this is no speed, write a number above 0".to_owned());
        }
        let given = raw.given.into_iter().map(|given| {
            let at = given.call.span().start;
            called(given.call.into_inner()).map_err(placed(at))
        });
        let given = given.collect::<Result<_, _>>()?;
        let mut when = Vec::new();
        for raw in raw.when {
            let at = raw.span().start;
            let RawWhen { call, then, step } = raw.into_inner();
            let what = match call {
                Some(call) if step.is_empty() => {
                    let at = call.span().start;
                    What::Call(called(call.into_inner()).map_err(placed(at))?)
                }
                Some(_) => {
                    let keys: Vec<&str> = step.keys().map(String::as_str).collect();
                    return Err(placed(at)(format!(
                        "beside call and then there can be no {}",
                        keys.join(", ")
                    )));
                }
                None => step_of(&step).map_err(placed(at))?,
            };
            let mut expected = Vec::new();
            for raw in then {
                let at = raw.span().start;
                expected.push(then_of(raw.into_inner()).map_err(placed(at))?);
            }
            when.push(When { what, then: expected });
        }
        Ok(Story {
            about: raw.about,
            grant: raw.grant,
            speed: raw.speed.unwrap_or(SPEED),
            seed: raw.seed.unwrap_or(1),
            given,
            when,
        })
    }
}

/// A call as `xapiary call` takes it: the method, then its arguments.
fn called(words: Vec<String>) -> Result<Call, String> {
    let mut words = words.into_iter();
    let Some(method) = words.next() else {
        return Err("write the method and its arguments: call = [\"VM.start\", \"web-1\", \"start_paused=false\", \"force=false\"]".to_owned());
    };
    known_method(&method)?;
    let arguments: Vec<String> = words.collect();
    call::drafts(&method, &arguments).map_err(|error| error.to_string())?;
    Ok(Call { method, arguments })
}

fn known_method(method: &str) -> Result<(), String> {
    if schema::method(method).is_some() {
        return Ok(());
    }
    let names = schema::classes()
        .iter()
        .flat_map(|class| class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name)));
    let meant = suggestion::for_name(method, names);
    Err(format!("XAPI has no method {method}{}", shown(meant.as_deref())))
}

/// A step of the simulated pool, from now on. JSON's scalars and lists are TOML's too.
fn step_of(step: &Map<String, Json>) -> Result<What, String> {
    let Some(Json::String(word)) = step.get("do") else {
        return Err(
            "say what happens: do = \"crash-vms\", or call = [\"VM.hard_shutdown\", \"web-1\"]".to_owned()
        );
    };
    let mut text = "[[step]]\n".to_owned();
    let mut words = word.clone();
    for (key, value) in step {
        text.push_str(&format!("{key} = {value}\n"));
        if key != "do" {
            words.push_str(&format!(" {key}={value}"));
        }
    }
    let scenario = Scenario::parse(&text).map_err(|error| {
        let told: Vec<String> = error
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.key.trim_start_matches("step[0]."), problem.what))
            .collect();
        told.join("; ")
    })?;
    Ok(What::Pool(words, scenario))
}

fn then_of(raw: RawThen) -> Result<Then, String> {
    let within = match raw.within.as_deref().map(humantime::parse_duration) {
        None => WITHIN,
        Some(Ok(within)) => within,
        Some(Err(error)) => return Err(format!("within: {error}: write for example 30s")),
    };
    let kinds = [
        ("call", raw.call.is_some()),
        ("no_calls", raw.no_calls.is_some()),
        ("log", raw.log.is_some()),
        ("delivery", raw.delivery.is_some()),
        ("object", raw.object.is_some()),
        ("store", raw.store.is_some()),
    ];
    let [kind] = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect::<Vec<_>>()[..]
    else {
        return Err(
            "an expectation has exactly one of call, no_calls, log, delivery, object and store".to_owned()
        );
    };
    // Keys that only go with some of these.
    for (key, given, with) in [
        ("on", raw.on.is_some(), &["call"][..]),
        ("times", raw.times.is_some(), &["call"]),
        ("outcome", raw.outcome.is_some(), &["call"]),
        ("why", raw.why.is_some(), &["delivery"]),
        ("field", raw.field.is_some(), &["object"]),
        ("is", raw.is.is_some(), &["object", "store"]),
        ("has", raw.has.is_some(), &["object", "store"]),
        ("absent", raw.absent.is_some(), &["object", "store"]),
    ] {
        if given && !with.contains(&kind) {
            return Err(format!("{key} only goes with {}", with.join(" and ")));
        }
    }
    let condition = || match (raw.is.clone(), raw.has.clone(), raw.absent) {
        (Some(value), None, None) => Ok(Condition::Is(value)),
        (None, Some(value), None) => Ok(Condition::Has(value)),
        (None, None, Some(true)) => Ok(Condition::Absent),
        (None, None, None | Some(false)) => Ok(Condition::There),
        _ => Err("only one of is, has and absent can be said".to_owned()),
    };
    let what = match kind {
        "call" => {
            let method = raw.call.unwrap_or_default();
            known_method(&method)?;
            Expected::Call {
                method,
                on: raw.on,
                times: raw.times,
                outcome: raw.outcome.unwrap_or(Outcome::Done),
            }
        }
        "no_calls" if raw.no_calls == Some(true) => Expected::NoCalls,
        "no_calls" => return Err("no_calls = true, or leave it out".to_owned()),
        "log" => Expected::Log(raw.log.unwrap_or_default()),
        "delivery" => Expected::Delivery { how: raw.delivery.unwrap_or(Ending::Done), why: raw.why },
        "object" => {
            let object = raw.object.as_deref().unwrap_or_default();
            let (class, name) = object.split_once(' ').ok_or_else(|| {
                format!("{object:?} names no object: write its class and its name, \"VM web-1\"")
            })?;
            let class = known_class(class)?;
            let field = raw.field.clone().unwrap_or_else(|| "uuid".to_owned());
            if class.field(&field).is_none() {
                let meant = suggestion::for_name(&field, class.fields.iter().map(|field| field.name));
                return Err(format!("class {} has no field {field}{}", class.name, shown(meant.as_deref())));
            }
            Expected::Object { class, name: name.to_owned(), field, is: condition()? }
        }
        _ => Expected::Store { key: raw.store.clone().unwrap_or_default(), is: condition()? },
    };
    Ok(Then { what, within })
}

fn known_class(name: &str) -> Result<&'static Class, String> {
    schema::class(name).ok_or_else(|| {
        let meant = suggestion::for_name(name, schema::classes().iter().map(|class| class.name));
        format!("XAPI has no class {name}{}", shown(meant.as_deref()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_what_happens_and_what_is_expected() {
        let story = Story::parse(
            r#"
            about = "a crash"
            seed = 7

            [[given]]
            call = ["VM.set_tags", "web-1", '["keepalive"]']

            [[when]]
            do = "crash-vms"
            vm = "web-1"

            [[when.then]]
            call = "VM.start"
            on = "web-1"
            within = "20s"

            [[when.then]]
            object = "VM web-1"
            field = "power_state"
            is = "Running"
            "#,
        )
        .unwrap();
        assert_eq!((story.about.as_str(), story.seed, story.given.len()), ("a crash", 7, 1));
        let [when] = &story.when[..] else { panic!("{story:?}") };
        assert!(matches!(&when.what, What::Pool(words, _) if words == "crash-vms vm=\"web-1\""), "{when:?}");
        assert_eq!(when.then[0].within, Duration::from_secs(20));
        assert!(
            matches!(&when.then[1].what, Expected::Object { field, is: Condition::Is(_), .. } if field == "power_state")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_was_meant() {
        for (text, wanted) in [
            ("", "nothing happens"),
            ("[[when]]\nvm = \"web-1\"", "line 1: say what happens"),
            ("\n[[when]]\ndo = \"crash-vm\"", "line 2: do: a pool cannot do \"crash-vm\""),
            ("[[when]]\ndo = \"crash-vms\"\nvmm = \"x\"", "did you mean"),
            ("[[when]]\ncall = [\"VM.strat\"]", "line 2: XAPI has no method VM.strat"),
            ("[[when]]\ncall = [\"VM.start\"]", "is missing"),
            (
                "[[when]]\ncall = [\"VM.start\", \"a\", \"false\", \"false\"]\nvm = \"b\"",
                "there can be no vm",
            ),
            (
                "[[when]]\ndo = \"end-sessions\"\n[[when.then]]\nlog = \"a\"\nstore = \"b\"",
                "line 3: an expectation has exactly one",
            ),
            (
                "[[when]]\ndo = \"end-sessions\"\n[[when.then]]\nlog = \"a\"\non = \"b\"",
                "on only goes with call",
            ),
            ("[[when]]\ndo = \"end-sessions\"\n[[when.then]]\nlogs = \"a\"", "unknown field `logs`"),
            (
                "[[when]]\ndo = \"end-sessions\"\n[[when.then]]\nobject = \"VM a\"\nfield = \"tag\"",
                "class VM has no field tag",
            ),
            ("[[when]]\ndo = \"end-sessions\"\n[[when.then]]\nlog = \"a\"\nwithin = \"soon\"", "within: "),
        ] {
            let error = Story::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
        }
    }
}
