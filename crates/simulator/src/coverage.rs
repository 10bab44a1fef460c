//! Which methods of the datamodel a simulated pool has, told by what dispatches them.

use xapi::model::schema;

use crate::dispatch::{self, Handler};

/// One class and its methods that xapi wrote by hand. Those that follow from the datamodel are all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCoverage {
    /// The class with its case on the wire.
    pub class: &'static str,
    /// Methods that do what they do in a pool.
    pub done: Vec<&'static str>,
    /// Methods that answer MESSAGE_METHOD_UNKNOWN, as a pool does for one it does not know.
    pub unknown: Vec<&'static str>,
    /// How many methods follow from the datamodel: getters, setters, lists, lookups.
    pub generated: usize,
}

/// The coverage of every class that has methods, in the order of the datamodel. Removed methods are not counted: they
/// answer MESSAGE_REMOVED, as in a pool.
#[must_use]
pub fn coverage() -> Vec<ClassCoverage> {
    let classes = schema::classes().iter().filter(|class| !class.methods.is_empty());
    classes
        .map(|class| {
            let mut covered =
                ClassCoverage { class: class.name, done: Vec::new(), unknown: Vec::new(), generated: 0 };
            for method in class.methods.iter().filter(|method| method.removed.is_none()) {
                let done =
                    dispatch::is_built_in(class.name, method.name) || Handler::of(class, method).known();
                match (done, method.generated) {
                    (true, true) => covered.generated += 1,
                    (true, false) => covered.done.push(method.name),
                    (false, _) => covered.unknown.push(method.name),
                }
            }
            covered
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generated_method_is_there() {
        let missing: Vec<String> = coverage()
            .into_iter()
            .flat_map(|covered| {
                let class = schema::class(covered.class).unwrap();
                let unknown = covered.unknown.into_iter();
                let generated = unknown.filter(|name| class.method(name).unwrap().generated);
                generated.map(|name| format!("{}.{name}", class.name)).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn what_is_written_by_hand_is_counted_apart() {
        let vm = coverage().into_iter().find(|covered| covered.class == "VM").unwrap();
        assert!(vm.done.contains(&"start") && !vm.unknown.contains(&"start"));
        assert!(vm.generated > 100);
    }
}
