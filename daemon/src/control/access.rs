//! Who is at the other end, and what that one may do. The kernel says who it is; the configuration says the rest.

use std::ffi::CString;
use std::fmt;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::net::unix::UCred;

use crate::config::{self, People};

/// What a person may do; the later ones include the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Look at everything.
    Observe,
    /// Retry and drop dead letters, switch plugins.
    Operate,
    /// Everything.
    Administer,
}

impl Role {
    /// The key of the configuration.
    pub(super) fn key(self) -> &'static str {
        match self {
            Role::Observe => "observe",
            Role::Operate => "operate",
            Role::Administer => "administer",
        }
    }
}

/// A person at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    uid: u32,
    name: Option<String>,
    /// Names and numbers of all groups.
    groups: Vec<String>,
}

/// What a user namespace shows of users that it does not know.
const NOBODY: u32 = 65534;

impl Person {
    /// Looks a user up. Blocks for as long as the system's directory of users needs.
    pub(super) fn look_up(credentials: UCred) -> Person {
        let user = User::from_uid(Uid::from_raw(credentials.uid()));
        let user = user.unwrap_or_else(|error| {
            tracing::warn!(uid = credentials.uid(), %error, "looking up who is at the control socket");
            None
        });
        let own = Gid::from_raw(credentials.gid());
        let listed = user.as_ref().and_then(|user| {
            let name = CString::new(user.name.as_str()).ok()?;
            // Without its list of groups a user has the one that the kernel tells.
            getgrouplist(&name, own).ok()
        });
        let groups = listed.unwrap_or_else(|| vec![own]).into_iter().flat_map(|gid| {
            let name = Group::from_gid(gid).ok().flatten().map(|group| group.name);
            [Some(gid.to_string()), name]
        });
        Person {
            uid: credentials.uid(),
            name: user.map(|user| user.name),
            groups: groups.flatten().collect(),
        }
    }

    /// What this person may do; nothing unless the configuration says so. Root and the daemon's own user may do all.
    pub(super) fn role(&self, people: &People) -> Option<Role> {
        if self.uid == 0 || self.uid == Uid::effective().as_raw() {
            return Some(Role::Administer);
        }
        let named = [
            (Role::Administer, &people.administer),
            (Role::Operate, &people.operate),
            (Role::Observe, &people.observe),
        ];
        named.into_iter().find(|(_, list)| list.iter().any(|one| self.is(one))).map(|(role, _)| role)
    }

    fn is(&self, named: &config::Person) -> bool {
        match named {
            config::Person::User(user) => self.name.as_ref() == Some(user) || *user == self.uid.to_string(),
            config::Person::Group(group) => self.groups.contains(group),
        }
    }

    /// Why this person may not do something, and which line would change that.
    pub(super) fn refusal(&self, needed: Role, control: &config::Control) -> String {
        let key = needed.key();
        let name = self.name.clone().unwrap_or_else(|| self.uid.to_string());
        let mut text = format!(
            "{self} may not {key} this daemon; to allow it, write under [control] of {}: {key} = [\"user:{name}\"], \
             then `systemctl reload xapiary`",
            control.file.display()
        );
        if self.uid == NOBODY {
            text.push_str(
                " (under PrivateUsers=yes of the systemd unit every user but root is seen as nobody: see the page on \
                 operating)",
            );
        }
        text
    }
}

impl fmt::Display for Person {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(out, "{name} (uid {})", self.uid),
            None => write!(out, "uid {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(uid: u32, name: &str, groups: &[&str]) -> Person {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Person { uid, name: Some(name.to_owned()), groups }
    }

    #[test]
    fn nobody_may_anything_but_root_unless_a_line_says_so() {
        assert_eq!(person(0, "root", &[]).role(&People::default()), Some(Role::Administer));
        assert_eq!(person(4711, "alice", &["alice", "wheel", "0"]).role(&People::default()), None);
    }

    #[test]
    fn the_highest_role_that_a_line_gives_holds() {
        let user = |name: &str| config::Person::User(name.to_owned());
        let group = |name: &str| config::Person::Group(name.to_owned());
        let people = People {
            observe: vec![group("staff"), user("4712")],
            operate: vec![user("alice")],
            administer: vec![group("1000")],
        };
        let role = |person: Person| person.role(&people);
        assert_eq!(role(person(4711, "alice", &["staff"])), Some(Role::Operate));
        assert_eq!(role(person(4711, "bob", &["staff"])), Some(Role::Observe));
        assert_eq!(role(person(4711, "carol", &["1000"])), Some(Role::Administer));
        assert_eq!(role(person(4712, "dave", &[])), Some(Role::Observe));
        assert_eq!(role(person(4713, "staff", &["alice"])), None, "a user is no group and a group no user");
    }

    #[test]
    fn a_refusal_names_the_line() {
        let control = config::Control {
            file: "/etc/xapiary/xapiary.toml".into(),
            socket: "/run/s".into(),
            chosen: true,
            people: People::default(),
            metrics: None,
        };
        let text = person(4711, "alice", &[]).refusal(Role::Operate, &control);
        assert!(
            text.contains("alice (uid 4711) may not operate")
                && text.contains("/etc/xapiary/xapiary.toml: operate = [\"user:alice\"]"),
            "{text}"
        );
    }
}
