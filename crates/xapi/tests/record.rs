//! A record, kept small, says the same as a plain list of its members.

use proptest::prelude::*;
use smol_str::SmolStr;
use xapi::model::schema::{self, Type};
use xapi::model::{Record, typed};
use xapi::{NULL_REF, Struct, Value};

/// What a record is, written down as simply as can be: members by name, of a name that comes twice the first.
#[derive(Debug, Clone, Default)]
struct Plain(Vec<(String, Value)>);

impl Plain {
    fn of(class: &str, members: &Struct) -> Self {
        let mut plain = Plain::default();
        for (name, value) in members.iter() {
            if plain.get(name).is_none() {
                plain.0.push((name.to_string(), settled(class, name, value.clone())));
            }
        }
        plain
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn set(&mut self, class: &str, name: &str, value: Value) -> Option<Value> {
        let before = self.remove(name);
        self.0.push((name.to_owned(), settled(class, name, value)));
        before
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Sorted by name, to be compared whatever the order.
    fn sorted(&self) -> Vec<(String, Value)> {
        let mut members = self.0.clone();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        members
    }
}

fn settled(class: &str, name: &str, value: Value) -> Value {
    let field = schema::class(class).and_then(|class| class.field(name));
    field.map_or(value.clone(), |field| typed(&field.kind, value))
}

fn sorted(record: &Record) -> Vec<(String, Value)> {
    let members = record.iter().map(|(name, value)| (name.to_owned(), value.clone()));
    Plain(members.collect()).sorted()
}

fn class() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["VM", "host", "VBD", "pool", "task", "unheard_of"])
}

fn name(class: &str) -> BoxedStrategy<SmolStr> {
    let unknown = "[a-c]_new|uuid2".prop_map(SmolStr::from);
    match schema::class(class) {
        Some(class) => {
            let names: Vec<_> = class.fields.iter().map(|field| SmolStr::new_static(field.name)).collect();
            let known = prop::sample::select(names);
            prop_oneof![8 => known, 1 => unknown].boxed()
        }
        None => unknown.boxed(),
    }
}

/// Values that fit the field, the usual ones often, and some that do not fit.
fn value(class: &str, name: &str) -> BoxedStrategy<Value> {
    let any_shape = prop_oneof![
        Just(Value::VOID),
        Just(Value::from(NULL_REF)),
        Just(Value::from(0_i64)),
        Just(Value::from(0.0)),
        Just(Value::from(false)),
        Just(Value::from(true)),
        Just(Value::from("7")),
        Just(Value::from("a text that is too long to stand in its place")),
        Just(Value::from(Vec::new())),
        Just(Value::from(vec!["a".into(), Value::Int(3)])),
        Just(Value::from(Struct::new())),
        Just([("k".into(), "v".into())].into_iter().collect::<Struct>().into()),
    ]
    .boxed();
    let fitting = match schema::class(class).and_then(|class| class.field(name)).map(|field| field.kind) {
        Some(Type::Int) => prop_oneof![Just(0_i64), any::<i64>()].prop_map(Value::Int).boxed(),
        Some(Type::Float) => prop_oneof![Just(0.0), any::<f64>()].prop_map(Value::Float).boxed(),
        Some(Type::Bool) => any::<bool>().prop_map(Value::Bool).boxed(),
        Some(Type::Ref(_)) => prop_oneof![Just(NULL_REF), Just("OpaqueRef:1")].prop_map(Value::from).boxed(),
        _ => any_shape.clone(),
    };
    prop_oneof![3 => fitting, 1 => any_shape].boxed()
}

fn member(class: &'static str) -> impl Strategy<Value = (SmolStr, Value)> {
    name(class).prop_flat_map(move |name| value(class, &name).prop_map(move |value| (name.clone(), value)))
}

fn members(class: &'static str) -> impl Strategy<Value = Struct> {
    prop::collection::vec(member(class), 0..40).prop_map(|members| {
        let mut all = Struct::new();
        for (name, value) in members {
            all.push(name, value);
        }
        all
    })
}

proptest! {
    #[test]
    fn a_record_has_the_members_it_was_made_of(
        (class, members) in class().prop_flat_map(|class| (Just(class), members(class))),
    ) {
        let record = Record::new(class, "OpaqueRef:1", members.clone());
        let plain = Plain::of(class, &members);
        prop_assert_eq!(record.len(), plain.0.len());
        for (name, value) in &plain.0 {
            prop_assert_eq!(record.get(name), Some(value), "{}", name);
        }
        prop_assert_eq!(record.get("no_such_field"), None);
        prop_assert_eq!(record.to_struct().len(), record.len());
        prop_assert_eq!(&Record::new(class, "OpaqueRef:1", record.to_struct()), &record);
    }

    #[test]
    fn setting_and_removing_fields_does_what_it_says(
        (class, start, steps) in class().prop_flat_map(|class| {
            let steps = prop::collection::vec((member(class), any::<bool>()), 0..40);
            (Just(class), members(class), steps)
        }),
    ) {
        let start = unique(&start);
        let (mut record, mut plain) = (Record::new(class, "r", start.clone()), Plain::of(class, &start));
        for ((name, value), remove) in steps {
            if remove {
                prop_assert_eq!(record.remove(&name), plain.remove(&name));
            } else {
                prop_assert_eq!(record.set(&name, value.clone()), plain.set(class, &name, value));
            }
            prop_assert_eq!(sorted(&record), plain.sorted());
            let rebuilt: Struct = plain.0.iter().rev().map(|(name, value)| (name.into(), value.clone())).collect();
            prop_assert_eq!(&Record::new(class, "r", rebuilt), &record, "whatever the order and the way");
        }
    }

    #[test]
    fn two_records_differ_where_their_members_differ(
        (class, one, other) in class().prop_flat_map(|class| (Just(class), members(class), members(class))),
        mixing in any::<u64>(),
    ) {
        // Many fields alike, as it is from one event to the next.
        let one = unique(&one);
        let other: Struct = one
            .iter()
            .enumerate()
            .filter(|(at, _)| mixing >> (at % 64) & 1 == 0)
            .map(|(_, (name, value))| (name.clone(), value.clone()))
            .chain(unique(&other))
            .collect();
        let other = unique(&other);
        let (new, old) = (Record::new(class, "r", one.clone()), Record::new(class, "r", other.clone()));
        let (now, before) = (Plain::of(class, &one), Plain::of(class, &other));
        let mut expected: Vec<&str> = now
            .0
            .iter()
            .filter(|(name, value)| before.get(name) != Some(value))
            .chain(before.0.iter().filter(|(name, _)| now.get(name).is_none()))
            .map(|(name, _)| name.as_str())
            .collect();
        expected.sort_unstable();
        let mut changed = new.changed_since(&old);
        prop_assert_eq!(new == old, changed.is_empty());
        changed.sort_unstable();
        prop_assert_eq!(changed, expected);
    }
}

fn unique(members: &Struct) -> Struct {
    let mut once = Struct::new();
    for (name, value) in members.iter() {
        if once.get(name).is_none() {
            once.push(name.clone(), value.clone());
        }
    }
    once
}

#[test]
fn every_class_fits_where_fields_are_bits() {
    for class in schema::classes() {
        assert!(class.fields.len() <= 128, "{} has {} fields", class.name, class.fields.len());
    }
}

#[test]
fn changed_fields_come_in_the_order_of_the_schema_and_lost_ones_last() {
    let record = |members: &[(&str, &str)]| {
        Record::new(
            "VM",
            "r",
            members.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        )
    };
    let old = record(&[("uuid", "u"), ("power_state", "Halted"), ("gone", "x"), ("domid", "1")]);
    let new = record(&[("odd", "x"), ("uuid", "u"), ("power_state", "Running"), ("name_label", "a")]);
    assert_eq!(new.changed_since(&old), ["name_label", "power_state", "odd", "domid", "gone"]);
    let (foreign, known) = (Record::new("unheard_of", "r", new.to_struct()), new);
    assert_eq!(foreign.changed_since(&known), Vec::<SmolStr>::new(), "names count, not how they are kept");
}

#[test]
fn a_world_finds_objects_by_the_uuid_that_they_have_now() {
    use std::sync::Arc;
    let put = |world: &mut xapi::model::World, reference: &str, uuid: &str| {
        let fields = [("uuid".into(), uuid.into())].into_iter().collect();
        world.insert(Arc::new(Record::new("VM", reference, fields)))
    };
    let found = |world: &xapi::model::World, uuid: &str| {
        world.by_uuid("VM", uuid).map(|record| record.reference.to_string())
    };
    let mut world = xapi::model::World::new();
    assert!(put(&mut world, "a", "1").is_none());
    assert_eq!(put(&mut world, "a", "1").and_then(|old| old.uuid().map(str::to_owned)).as_deref(), Some("1"));
    assert_eq!((found(&world, "1").as_deref(), world.by_uuid("VBD", "1")), (Some("a"), None));
    put(&mut world, "a", "2");
    assert_eq!((found(&world, "1"), found(&world, "2").as_deref()), (None, Some("a")));
    put(&mut world, "b", "2");
    put(&mut world, "a", "");
    assert_eq!(found(&world, "2").as_deref(), Some("b"), "the other one has it now");
    world.remove("VM", "a");
    assert_eq!(found(&world, "2").as_deref(), Some("b"));
    world.remove("VM", "b");
    assert_eq!((found(&world, "2"), world.len()), (None, 0));
}
