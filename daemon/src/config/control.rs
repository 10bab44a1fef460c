//! `[control]`: where the daemon is looked at and steered, and by whom.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Surroundings;
use super::problem::{Located, Problem, Problems};
use super::raw::RawControl;

/// Where the socket lies when neither the file nor systemd says so.
const RUNTIME_FOLDER: &str = "/run/xapiary";

/// The socket's name in its folder.
const SOCKET: &str = "control.sock";

/// The longest path that a Unix socket can have on Linux.
const PATH_MAX: usize = 107;

/// Where the daemon is looked at and steered, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// The configuration itself, to say where a line would have to stand.
    pub(crate) file: PathBuf,
    /// The socket.
    pub(crate) socket: PathBuf,
    /// Whether somebody chose the socket. The usual place need not be there: a daemon that is started by hand has none.
    pub(crate) chosen: bool,
    /// Who may do what, besides root and the daemon's own user.
    pub(crate) people: People,
    /// Where metrics can be had over TCP by anybody who gets there; nowhere unless said.
    pub(crate) metrics: Option<SocketAddr>,
}

/// Who may do what. Whoever may do more may do less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct People {
    /// May look at everything.
    pub(crate) observe: Vec<Person>,
    /// May also retry and drop dead letters and switch plugins.
    pub(crate) operate: Vec<Person>,
    /// May do everything.
    pub(crate) administer: Vec<Person>,
}

/// A user or a group of the system, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Person {
    /// `user:NAME`
    User(String),
    /// `group:NAME`
    Group(String),
}

impl fmt::Display for Person {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Person::User(name) => write!(out, "user:{name}"),
            Person::Group(name) => write!(out, "group:{name}"),
        }
    }
}

pub(super) fn usual_socket(surroundings: &Surroundings) -> PathBuf {
    let folder = surroundings.runtime_folder.as_deref().unwrap_or(Path::new(RUNTIME_FOLDER));
    folder.join(SOCKET)
}

/// Judges the section. `None` when something is wrong; it has been recorded.
pub(super) fn mean(
    file: &Path,
    raw: &RawControl,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Option<Control> {
    let socket = match &raw.socket {
        Some(written) => socket(written, problems),
        None => Some(usual_socket(surroundings)),
    };
    let metrics = match &raw.metrics {
        Some(written) => address(written, problems).map(Some),
        None => Some(None),
    };
    let read = |key, written: &[Located<String>]| people(key, written, problems);
    let observe = read("observe", &raw.observe);
    let operate = read("operate", &raw.operate);
    let administer = read("administer", &raw.administer);
    Some(Control {
        // Said to people who may be in another folder.
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        socket: socket?,
        chosen: raw.socket.is_some() || surroundings.runtime_folder.is_some(),
        people: People { observe: observe?, operate: operate?, administer: administer? },
        metrics: metrics?,
    })
}

fn socket(written: &Located<String>, problems: &RefCell<Problems>) -> Option<PathBuf> {
    let what = if !written.value.starts_with('/') {
        format!("{:?} is no absolute path", written.value)
    } else if written.value.len() > PATH_MAX {
        format!("the path has {} bytes and a socket's may have {PATH_MAX}", written.value.len())
    } else {
        return Some(PathBuf::from(&written.value));
    };
    let instead = format!("write socket = \"{RUNTIME_FOLDER}/{SOCKET}\"");
    problems.borrow_mut().errors.push(Problem::at(&written.place, "control.socket", what).instead(instead));
    None
}

fn address(written: &Located<String>, problems: &RefCell<Problems>) -> Option<SocketAddr> {
    let address = written.value.parse().ok();
    if address.is_none() {
        let what = format!("{:?} is no address with a port", written.value);
        let problem = Problem::at(&written.place, "control.metrics", what);
        problems.borrow_mut().errors.push(problem.instead("write metrics = \"127.0.0.1:9187\""));
    }
    address
}

fn people(key: &str, written: &[Located<String>], problems: &RefCell<Problems>) -> Option<Vec<Person>> {
    let mut people = Vec::with_capacity(written.len());
    for text in written {
        let person = match text.value.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Person::User(name.to_owned()),
            Some(("group", name)) if !name.is_empty() => Person::Group(name.to_owned()),
            _ => {
                let what = format!("{:?} is neither a user nor a group", text.value);
                let instead =
                    format!("write \"user:NAME\" or \"group:NAME\", such as {key} = [\"group:operators\"]");
                let problem = Problem::at(&text.place, format!("control.{key}"), what);
                problems.borrow_mut().errors.push(problem.instead(instead));
                continue;
            }
        };
        people.push(person);
    }
    (people.len() == written.len()).then_some(people)
}
