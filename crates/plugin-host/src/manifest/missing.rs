//! What a plugin asks for and its grant does not give.

use std::fmt::Write as _;

use grant::{Grant, Pattern, allow_lines};
use xapi::model::schema;

use super::Manifest;
use crate::subscription::Interest;

impl Manifest {
    /// What the plugin asks for and the grant does not give, as lines ready to paste; none when all is given.
    ///
    /// Requested methods need an `[[allow]]` that could match them; classes whose changes are subscribed, and `task`
    /// where ends of tasks are, need a `[[read]]`, since otherwise the plugin would be told that something happened and
    /// not what.
    #[must_use]
    pub fn missing(&self, grant: &Grant) -> Option<String> {
        let mut lines = String::new();
        for request in &self.requests {
            let given = Pattern::parse(&request.call).is_ok_and(|pattern| grant.could_allow(&pattern));
            if !given {
                let reason = request.reason.replace(['\n', '\r'], " ");
                // Writing to a String cannot fail.
                _ = write!(lines, "# {reason}\n{}", allow_lines(&request.call, None));
            }
        }
        let mut seen = Vec::new();
        for subscription in &self.subscriptions {
            let class = match &subscription.interest {
                Interest::Objects(interest) => interest.class.as_str(),
                Interest::Tasks => "task",
                Interest::Alerts(_) => "message",
                Interest::Schedule(_) | Interest::Connection => continue,
            };
            if let Some(class) = schema::class(class)
                && grant.visible(class.name).is_none()
                && !seen.contains(&class.name)
            {
                seen.push(class.name);
                _ = write!(
                    lines,
                    "# to see what it is told of\n[[read]]\nclass = [\"{}\"]\nfields = [\"*\"]\n",
                    class.name
                );
            }
        }
        (!lines.is_empty()).then_some(lines)
    }
}

#[cfg(test)]
mod tests {
    use grant::{RawAllow, RawGrant, RawRead};

    use super::*;

    fn allow(call: &[&str]) -> RawAllow {
        RawAllow { call: call.iter().map(|&text| text.to_owned()).collect(), ..RawAllow::default() }
    }

    fn read(class: &str, field: &str) -> RawRead {
        RawRead { class: vec![class.to_owned()], fields: vec![field.to_owned()] }
    }

    fn missing(manifest: &Manifest, allow: Vec<RawAllow>, read: Vec<RawRead>) -> Option<String> {
        manifest.missing(&Grant::compile(&RawGrant { file: "test.toml".into(), allow, read }).unwrap())
    }

    #[test]
    fn what_a_manifest_asks_beyond_the_grant_is_told_as_lines() {
        let manifest = Manifest::parse(
            r#"
name = "m"
version = "1.0.0"
contract = "0.1.0"
description = "d"
[[subscribe]]
name = "s"
class = "VM"
[[request]]
call = "VM.start"
reason = "to start it"
[[request]]
call = "host.destroy"
reason = "why not"
"#,
        )
        .unwrap();
        let missing = |allow, read| missing(&manifest, allow, read);
        assert_eq!(
            missing(vec![], vec![]).unwrap(),
            "# to start it\n[[allow]]\ncall = [\"VM.start\"]\n# why not\n[[allow]]\ncall = [\"host.destroy\"]\n# to see what it \
         is told of\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n"
        );
        let rest = missing(vec![allow(&["VM.*", "host.*"])], vec![read("VM", "uuid")]).unwrap();
        assert_eq!(
            rest, "# why not\n[[allow]]\ncall = [\"host.destroy\"]\n",
            "a pattern does not reach dangerous methods"
        );
        assert_eq!(missing(vec![allow(&["VM.start", "host.destroy"])], vec![read("VM", "uuid")]), None);
    }

    #[test]
    fn ends_of_tasks_ask_for_the_class_task_once() {
        let manifest = Manifest::parse(
            r#"
name = "m"
version = "1.0.0"
contract = "0.1.0"
description = "d"
[[subscribe]]
name = "ends"
task = true
[[subscribe]]
name = "changes"
class = "task"
[[subscribe]]
name = "connection"
connection = true
"#,
        )
        .unwrap();
        let missing = |read| missing(&manifest, vec![], read);
        assert_eq!(
            missing(vec![]).unwrap(),
            "# to see what it is told of\n[[read]]\nclass = [\"task\"]\nfields = [\"*\"]\n"
        );
        assert_eq!(missing(vec![read("task", "name_label")]), None);
    }
}
