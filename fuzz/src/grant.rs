//! The decision on calls, compared with a slow reference that follows the words of the rules. The tests of the crate
//! `grant` take this file in by path and feed it what they make up.
//!
//! The bytes are read as a script: a grant, a small pool, and calls one after the other with time between them. The
//! reference keeps the whole history and counts it anew at each call; patterns, conditions and reachable classes it works
//! out by itself, with the schema alone in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use grant::{
    Bound, Call, DANGEROUS, Decision, Grant, HOUR, MINUTE, Question, RawAllow, RawGrant, RawRead, Reason,
    Run, Spent, Target, parameters, target_of,
};
use xapi::model::{Method, Record, Type, World, schema};
use xapi::{NULL_REF, Struct, Value};

/// Bytes as a script. What is beyond their end reads as zero.
struct Script<'b>(&'b [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[usize::from(self.byte()) % from.len()]
    }

    fn chance(&mut self) -> bool {
        self.byte() % 2 == 1
    }
}

/// Methods that are called, each with what its object and its arguments are.
const METHODS: [&str; 13] = [
    "VM.start",
    "VM.start_on",
    "VM.get_resident_on",
    "VM.get_all",
    "VM.clone",
    "VM.add_tags",
    "VBD.plug",
    "VBD.get_VDI",
    "VDI.copy",
    "VDI.get_SR",
    "host.destroy",
    "host.call_plugin",
    "host.get_tags",
];

/// What an `on` asks for, in CEL and in the reference's own words.
const CONDITIONS: [&str; 8] = [
    "\"a\" in self.tags",
    "\"b\" in self.tags",
    "\"a\" in self.VM.tags",
    "\"a\" in self.SR.tags",
    "\"a\" in self.VDI.SR.tags",
    "!args.start_paused",
    "\"a\" in args.host.tags",
    "args.sr == \"u-sr-1\"",
];

/// What an `args` asks for: the argument, in CEL, in the reference's own words.
const ARGUMENTS: [(&str, &str); 4] = [
    ("start_paused", "value == false"),
    ("host", "\"b\" in value.tags"),
    ("value", "value.startsWith(\"x\")"),
    ("sr", "value.uuid == \"u-sr-2\""),
];

const CLASSES: [&str; 5] = ["VM", "host", "VBD", "VDI", "SR"];
const BUDGETS: [Option<u32>; 6] = [None, None, None, Some(1), Some(2), Some(3)];
/// Microseconds between two calls.
const PAUSES: [i64; 6] = [0, 1, MINUTE - 1, MINUTE, HOUR / 2, HOUR];

/// Plays the script in both, or reads the bytes as a grant file.
pub fn decisions(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    if *first == b'[' || *first == b'#' {
        // A grant file: whatever stands there is an answer and no panic.
        if let Some(Ok(raw)) = std::str::from_utf8(bytes).ok().map(toml::from_str::<RawGrant>) {
            drop(Grant::compile(&raw));
        }
        return;
    }
    play(&mut Script(rest));
}

fn play(script: &mut Script<'_>) {
    let raw = grant(script);
    // The reference knows only grants that make sense; that others are refused is tested elsewhere.
    let Ok(grant) = Grant::compile(&raw) else { return };
    let world = world(script);
    let mut history = History::default();
    let (mut run, mut spent, mut now) = (Run::new(), Spent::new(), 0);
    for _ in 0..=script.byte() % 12 {
        now += script.pick(&PAUSES);
        if script.byte().is_multiple_of(4) {
            run = Run::new();
            history.run_begins();
        }
        let name = *script.pick(&METHODS);
        let (class, method) = schema::method(name).expect("a method of the schema");
        let arguments = arguments(script, method);
        let call = Call { class, method, arguments: &arguments };
        let target = target_of(method, &arguments, &world);
        let question = Question { call, target, world: &world, run: &run, spent: &spent, now };
        let decision = grant.decide(&question);
        let asked = Asked { name, method, arguments: &arguments, target, world: &world, now };
        let expected = reference(&raw, &asked, &history);
        let found = match &decision {
            Decision::Allowed { rule } => Ok(*rule),
            Decision::Denied(denial) => {
                Err((denial.reason, denial.exhausted.map(|exhausted| (exhausted.bound, exhausted.again))))
            }
        };
        assert_eq!(found, expected, "{name} {arguments:?} at {now}\n{raw:#?}\n{history:#?}");
        if let Decision::Allowed { rule } = decision {
            let object = question.object().map(str::to_owned);
            run.count(rule);
            spent.spend(rule, grant.rules()[rule].budget(), object.as_deref(), now);
            history.add(rule, object, now);
        }
    }
}

fn grant(script: &mut Script<'_>) -> RawGrant {
    let allow = (0..script.byte() % 5)
        .map(|_| {
            let call = (0..=script.byte() % 2).map(|_| pattern(script)).collect();
            let on = script.chance().then(|| (*script.pick(&CONDITIONS)).to_owned());
            let args = (0..script.byte() % 3 / 2)
                .map(|_| script.pick(&ARGUMENTS))
                .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
                .collect();
            RawAllow {
                line: 0,
                call,
                on,
                args,
                per_event: *script.pick(&BUDGETS),
                per_minute: *script.pick(&BUDGETS),
                objects_per_hour: *script.pick(&BUDGETS),
            }
        })
        .collect();
    let seen = script.byte();
    let read = CLASSES
        .iter()
        .enumerate()
        .filter(|(bit, _)| seen & (1 << bit) != 0)
        .map(|(_, class)| RawRead { class: vec![(*class).to_owned()], fields: vec!["uuid".to_owned()] })
        .collect();
    RawGrant { file: "test.toml".to_owned(), allow, read }
}

/// A method's name with some of its letters replaced by a star, so that it always names something.
fn pattern(script: &mut Script<'_>) -> String {
    let name = *script.pick(&METHODS);
    let (class, method) = name.split_once('.').expect("CLASS.METHOD");
    let kind = script.byte();
    let class = if kind & 1 == 1 { "*" } else { class };
    if kind & 2 == 0 {
        return format!("{class}.{method}");
    }
    let from = usize::from(script.byte()) % (method.len() + 1);
    let to = (from + usize::from(script.byte()) % 8).min(method.len());
    format!("{class}.{}*{}", &method[..from], &method[to..])
}

/// Two objects of each class; tags and references as the script has it.
fn world(script: &mut Script<'_>) -> World {
    let mut world = World::new();
    for class in CLASSES {
        for number in 1..=2 {
            let mut fields = Struct::new();
            fields.insert("uuid", format!("u-{}-{number}", class.to_lowercase()));
            let tags = [("a", 1), ("b", 2)].into_iter();
            let bits = script.byte();
            let tags: Vec<Value> =
                tags.filter(|(_, bit)| bits & bit != 0).map(|(tag, _)| tag.into()).collect();
            if schema::class(class).is_some_and(|class| class.field("tags").is_some()) {
                fields.insert("tags", tags);
            }
            let leads: &[&str] = match class {
                "VBD" => &["VM", "VDI"],
                "VDI" => &["SR"],
                "VM" => &["resident_on"],
                _ => &[],
            };
            for field in leads {
                let of = if *field == "resident_on" { "host" } else { field };
                fields.insert(*field, reference_to(script, of));
            }
            world.insert(Arc::new(Record::new(class, reference_name(class, number), fields)));
        }
    }
    world
}

fn reference_name(class: &str, number: u8) -> String {
    format!("OpaqueRef:{}-{number}", class.to_lowercase())
}

/// To one of the two that are there, to one that is not, or nowhere.
fn reference_to(script: &mut Script<'_>, class: &str) -> Value {
    match script.byte() % 6 {
        5 => NULL_REF.into(),
        4 => reference_name(class, 9).as_str().into(),
        number => reference_name(class, 1 + number % 2).as_str().into(),
    }
}

fn arguments(script: &mut Script<'_>, method: &Method) -> Vec<Value> {
    let given = parameters(method).count() - usize::from(script.byte()) % (method.optional + 1);
    parameters(method)
        .take(given)
        .map(|parameter| match &parameter.kind {
            Type::Ref(class) => reference_to(script, class),
            Type::Bool => script.chance().into(),
            Type::Map(..) => Value::Struct(Struct::new()),
            _ => (*script.pick(&["", "x", "xy", "other"])).into(),
        })
        .collect()
}

// The reference.

/// Everything that was allowed: in which run, by which rule, on what, when.
#[derive(Debug, Default)]
struct History {
    run: usize,
    allowed: Vec<(usize, usize, Option<String>, i64)>,
}

impl History {
    fn run_begins(&mut self) {
        self.run += 1;
    }

    fn add(&mut self, rule: usize, object: Option<String>, at: i64) {
        self.allowed.push((self.run, rule, object, at));
    }
}

struct Asked<'a> {
    name: &'a str,
    method: &'a Method,
    arguments: &'a [Value],
    target: Target<'a>,
    world: &'a World,
    now: i64,
}

impl Asked<'_> {
    fn argument(&self, name: &str) -> Option<&Value> {
        let place = parameters(self.method).position(|parameter| parameter.name == name)?;
        self.arguments.get(place)
    }

    fn object(&self) -> Option<String> {
        let Target::Known(record) = self.target else { return None };
        record.get("uuid").and_then(Value::as_str).map(str::to_owned)
    }
}

type Verdict = Result<usize, (Reason, Option<(Bound, Option<i64>)>)>;

fn reference(raw: &RawGrant, asked: &Asked<'_>, history: &History) -> Verdict {
    if let Target::Unknown { .. } = asked.target {
        return Err((Reason::UnknownObject, None));
    }
    let dangerous = DANGEROUS.iter().any(|pattern| covers(pattern, asked.name));
    let named = |rule: &RawAllow| {
        rule.call.iter().any(|call| if dangerous { call == asked.name } else { covers(call, asked.name) })
    };
    let fits = |rule: &&(usize, &RawAllow)| named(rule.1) && conditions(rule.1, asked);
    let rules: Vec<(usize, &RawAllow)> = raw.allow.iter().enumerate().collect();
    let fitting: Vec<_> = rules.iter().filter(fits).collect();
    let full: Vec<_> = fitting.iter().map(|(index, rule)| full(*index, rule, asked, history)).collect();
    if let Some(place) = full.iter().position(Option::is_none) {
        return match hidden(raw, &asked.method.result) {
            true => Err((Reason::HiddenResult, None)),
            false => Ok(fitting[place].0),
        };
    }
    // The one that has room first; never comes last.
    let soonest = full.into_iter().flatten().min_by_key(|(_, again)| again.unwrap_or(i64::MAX));
    if let Some(soonest) = soonest {
        return Err((Reason::OverBudget, Some(soonest)));
    }
    if raw.allow.iter().any(named) {
        return Err((Reason::OtherObjects, None));
    }
    if raw.allow.iter().any(|rule| rule.call.iter().any(|call| covers(call, asked.name))) {
        return Err((Reason::NeedsItsName, None));
    }
    Err((Reason::NoRule, None))
}

/// Whether `*` in the pattern can be filled so that it spells the name.
fn covers(pattern: &str, name: &str) -> bool {
    fn spells(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| spells(rest, &text[taken..])),
            Some((letter, rest)) => text.first() == Some(letter) && spells(rest, &text[1..]),
        }
    }
    let parts =
        |text: &'_ str| text.split_once('.').map(|(class, method)| (class.to_owned(), method.to_owned()));
    let (Some((class, method)), Some((of, named))) = (parts(pattern), parts(name)) else { return false };
    spells(class.as_bytes(), of.as_bytes()) && spells(method.as_bytes(), named.as_bytes())
}

fn conditions(rule: &RawAllow, asked: &Asked<'_>) -> bool {
    let on = rule.on.as_deref().is_none_or(|on| {
        let own = if let Target::Known(record) = asked.target { Some(record) } else { None };
        let sr_argument = || asked.argument("sr").and_then(Value::as_str).unwrap_or_default();
        match CONDITIONS.iter().position(|known| *known == on) {
            Some(0) => own.is_some_and(|own| tagged(own, "a")),
            Some(1) => own.is_some_and(|own| tagged(own, "b")),
            Some(2) => led(asked, own, &["VM"]).is_some_and(|vm| tagged(vm, "a")),
            Some(3) => led(asked, own, &["SR"]).is_some_and(|sr| tagged(sr, "a")),
            Some(4) => led(asked, own, &["VDI", "SR"]).is_some_and(|sr| tagged(sr, "a")),
            Some(5) => asked.argument("start_paused") == Some(&false.into()),
            Some(6) => pointed(asked, "host", "host").is_some_and(|host| tagged(host, "a")),
            Some(7) => sr_argument() == reference_name("SR", 1),
            _ => unreachable!("{on}"),
        }
    });
    on && rule.args.keys().all(|name| match name.as_str() {
        "start_paused" => asked.argument(name) == Some(&false.into()),
        "host" => pointed(asked, name, "host").is_some_and(|host| tagged(host, "b")),
        "value" => asked.argument(name).and_then(Value::as_str).is_some_and(|text| text.starts_with('x')),
        "sr" => asked.argument(name).and_then(Value::as_str) == Some(&reference_name("SR", 2)),
        _ => unreachable!("{name}"),
    })
}

fn tagged(record: &Record, tag: &str) -> bool {
    record.get("tags").and_then(Value::as_array).is_some_and(|tags| tags.contains(&tag.into()))
}

/// Where a chain of references leads.
fn led<'a>(asked: &'a Asked<'_>, from: Option<&'a Record>, fields: &[&str]) -> Option<&'a Record> {
    fields.iter().try_fold(from?, |record, field| {
        let reference = record.get(field).and_then(Value::as_str)?;
        asked.world.get(field, reference).map(|record| &**record)
    })
}

fn pointed<'a>(asked: &'a Asked<'_>, argument: &str, class: &str) -> Option<&'a Record> {
    let reference = asked.argument(argument).and_then(Value::as_str)?;
    asked.world.get(class, reference).map(|record| &**record)
}

/// Which bound a further call would break and until when; the one that lasts longest.
fn full(index: usize, rule: &RawAllow, asked: &Asked<'_>, history: &History) -> Option<(Bound, Option<i64>)> {
    let mine = || history.allowed.iter().filter(move |(_, by, ..)| *by == index);
    if let Some(most) = rule.per_event
        && mine().filter(|(run, ..)| *run == history.run).count() >= most as usize
    {
        return Some((Bound::PerEvent(most), None));
    }
    // Whether there is room at a time, if nothing more is called until then.
    let minute = |most: u32, at: i64| mine().filter(|(.., then)| at - then < MINUTE).count() < most as usize;
    let hour = |most: u32, at: i64| {
        let recent =
            mine().filter(|(.., then)| at - then < HOUR).filter_map(|(_, _, object, _)| object.clone());
        let mut objects: BTreeSet<String> = recent.collect();
        objects.extend(asked.object());
        objects.len() <= most as usize
    };
    let first = |span: i64, room: &dyn Fn(i64) -> bool| {
        let mut times: Vec<i64> = mine().map(|(.., then)| then + span).filter(|at| *at > asked.now).collect();
        times.sort_unstable();
        times.into_iter().find(|at| room(*at))
    };
    let mut broken = Vec::new();
    if let Some(most) = rule.per_minute
        && !minute(most, asked.now)
    {
        broken.push((Bound::PerMinute(most), first(MINUTE, &|at| minute(most, at))));
    }
    if let Some(most) = rule.objects_per_hour
        && asked.object().is_some()
        && !hour(most, asked.now)
    {
        broken.push((Bound::ObjectsPerHour(most), first(HOUR, &|at| hour(most, at))));
    }
    // Of two that end together the first one.
    broken.into_iter().reduce(|one, other| if other.1 > one.1 { other } else { one })
}

/// Whether a result of this type holds references that lead nowhere for the plugin.
fn hidden(raw: &RawGrant, result: &Type) -> bool {
    let mut useful: BTreeSet<&str> =
        raw.read.iter().flat_map(|read| &read.class).map(String::as_str).collect();
    for class in schema::classes() {
        for method in class.methods {
            let name = format!("{}.{}", class.name, method.name);
            if raw.allow.iter().flat_map(|rule| &rule.call).any(|call| covers(call, &name)) {
                useful.insert(class.name);
                for parameter in parameters(method) {
                    useful.extend(referred(&parameter.kind, true));
                }
            }
        }
    }
    referred(result, false).iter().any(|class| !useful.contains(class))
}

fn referred(kind: &Type, in_records: bool) -> Vec<&'static str> {
    match kind {
        Type::Ref(class) => vec![class],
        Type::Set(inner) | Type::Option(inner) => referred(inner, in_records),
        Type::Map(keys, values) => [referred(keys, in_records), referred(values, in_records)].concat(),
        Type::Record(class) if in_records => {
            let fields = schema::class(class).map_or(&[][..], |class| class.fields);
            let single =
                fields.iter().filter(|field| matches!(field.kind, Type::Ref(_) | Type::Set(Type::Ref(_))));
            single.flat_map(|field| referred(&field.kind, false)).collect()
        }
        _ => Vec::new(),
    }
}
