//! Which classes are asked for. Pure: nobody's wish, no subscription; everything at once never.

use std::collections::BTreeSet;

use smol_str::SmolStr;
use xapi::model::schema;

/// What the daemon itself must know: tasks for calls that it started, the pool to send a change through, hosts and
/// certificates for the way to its members.
const OWN: [&str; 4] = ["task", "pool", "host", "Certificate"];

/// Never followed, whoever asks: xapi writes it at every call while its rate limiter is on, ours included.
const NEVER: &str = "Caller";

/// The classes to follow for these wishes, as far as xapi tells of them, ordered by name.
pub(crate) fn followed(wished: impl IntoIterator<Item = SmolStr>) -> Vec<SmolStr> {
    let wished = wished.into_iter().chain(OWN.map(SmolStr::new_static));
    let told =
        wished.filter(|class| class != NEVER && schema::class(class).is_some_and(|class| class.events));
    told.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_needs_and_wishes_are_followed_and_nothing_else() {
        let names = |wished: &[&str]| followed(wished.iter().map(SmolStr::new)).join(" ");
        assert_eq!(names(&[]), "Certificate host pool task");
        assert_eq!(
            names(&["VM", "host", "Caller", "session", "message"]),
            "Certificate VM host message pool task"
        );
    }
}
