//! One pool as meant: an address with its trust, and who we are there.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use xapi::Wire;
use xapi::transport::{Address, Endpoint, EndpointError, Fingerprint, Trust};

use super::Surroundings;
use super::identity;
use super::keeping::Keeping;
use super::password::Password;
use super::problem::{Located, Problem, Problems};
use super::raw::{RawPassword, RawPool, RawTrust};
use super::source;

/// One pool to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Our name for it, unique; letters, digits, `.`, `-` and `_`.
    pub(crate) name: String,
    /// How the member named by `url` is reached, and why its certificate is believed.
    pub(crate) endpoint: Endpoint,
    /// Further members to try when that one does not answer: hosts on the same port as `endpoint`, or, with plain
    /// HTTP, `HOST:PORT`.
    pub(crate) members: Vec<String>,
    /// The user to log in as; empty where the client certificate of `endpoint` stands for one.
    pub(crate) user: String,
    /// Where the password is kept. It could be read when the configuration was loaded. None where `user` is empty.
    pub(crate) password: Option<Password>,
    /// Which of XAPI's two wires to speak.
    pub(crate) wire: Wire,
}

/// Whether a text can name a pool or a plugin: it stands in file names, logs and command lines.
pub(super) fn is_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    !text.is_empty() && text.len() <= 64 && text.chars().all(letter) && !text.starts_with(['.', '-'])
}

/// Judges one pool. `folder` is where the configuration lies. `None` when anything in it is wrong, all of which has
/// then been recorded.
pub(super) fn mean(
    raw: &RawPool,
    folder: &Path,
    surroundings: &Surroundings,
    problems: &RefCell<Problems>,
) -> Option<Pool> {
    let judge = Judge { path: &raw.path, folder, surroundings, problems };
    let name = raw.name.as_ref().and_then(|name| judge.name(name));
    let address = raw.url.as_ref().and_then(|url| judge.address(url));
    let members = address.as_ref().and_then(|address| judge.members(address, &raw.members));
    let trust = judge.trust(raw, address.as_ref());
    let user = raw.user.as_ref().and_then(|user| judge.user(user));
    let password = raw.password.as_ref().and_then(|password| judge.password(password));
    let identity = raw.identity.as_ref().map(|identity| (identity, identity::mean(&judge, identity)));
    let endpoint = Endpoint::new(address?, trust?);
    let mut endpoint = endpoint.map_err(|error| judge.wrong(&raw.place, "url", error.to_string())).ok();
    let mut by_certificate = false;
    if let Some((written, identity)) = identity {
        let shown = endpoint?.with_identity(identity?);
        let place = &written.certificate.place;
        endpoint = shown.map_err(|error| judge.wrong(place, "client_certificate", error.to_string())).ok();
        by_certificate = raw.user.is_none() && raw.password.is_none();
    }
    let (user, password) = if by_certificate { (String::new(), None) } else { (user?, Some(password?)) };
    let wire = raw.wire.unwrap_or_default();
    Some(Pool { name: name?, endpoint: endpoint?, members: members?, user, password, wire })
}

/// What judging needs to know, and where problems go.
pub(super) struct Judge<'a> {
    path: &'a str,
    pub(super) folder: &'a Path,
    surroundings: &'a Surroundings,
    problems: &'a RefCell<Problems>,
}

impl Judge<'_> {
    fn name(&self, name: &Located<String>) -> Option<String> {
        if is_name(&name.value) {
            return Some(name.value.clone());
        }
        let problem =
            Problem::at(&name.place, self.key("name"), format!("{:?} cannot be a name", name.value));
        self.report(problem.instead("write at most 64 letters, digits, dots, dashes and underscores"));
        None
    }

    fn address(&self, url: &Located<String>) -> Option<Address> {
        if url.value.contains('@') {
            // The text is not repeated: what stands before the @ may be a password.
            let problem =
                Problem::at(&url.place, self.key("url"), "an address must not hold a user or a password");
            self.report(
                problem.instead("write the host alone here, and `user` and `password` as keys of their own"),
            );
            return None;
        }
        match url.value.parse() {
            Ok(address) => Some(address),
            Err(error) => {
                self.wrong(&url.place, "url", error.to_string());
                None
            }
        }
    }

    fn members(&self, pool: &Address, members: &[Located<String>]) -> Option<Vec<String>> {
        let mut good = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate() {
            let key = format!("members[{index}]");
            let (place, text) = (&member.place, member.value.as_str());
            let parsed = match pool {
                Address::Unix(_) => {
                    let problem =
                        Problem::at(place, self.key(&key), "the local socket reaches this host alone");
                    self.report(problem.instead("remove `members`, or watch the pool from outside by https"));
                    return None;
                }
                Address::Https { .. } if has_port(text) => {
                    let problem = Problem::at(place, self.key(&key), format!("{text:?} names a port"));
                    self.report(
                        problem.instead("write the host alone; members are reached on the port of `url`"),
                    );
                    continue;
                }
                // An IPv6 address stands in brackets in an address with a scheme.
                _ if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("{}://[{text}]", scheme(pool)),
                _ => format!("{}://{text}", scheme(pool)),
            }
            .parse::<Address>();
            match parsed {
                Ok(_) => good.push(text.to_owned()),
                Err(EndpointError::Form(_)) => {
                    let problem = Problem::at(place, self.key(&key), format!("{text:?} is no host"));
                    self.report(problem.instead("write a name or an address, such as \"10.0.0.11\""));
                }
                Err(error) => self.wrong(place, &key, error.to_string()),
            }
        }
        (good.len() == members.len()).then_some(good)
    }

    /// `None` when it is wrong or cannot be judged yet.
    fn trust(&self, raw: &RawPool, address: Option<&Address>) -> Option<Trust> {
        let trust = raw.trust.as_ref().map(|trust| self.whom_to_trust(trust));
        match (address?, trust) {
            (Address::Https { .. }, Some(trust)) => trust,
            (Address::Https { .. }, None) => {
                if !raw.trust_written {
                    let place = raw.url.as_ref().map_or(&raw.place, |url| &url.place);
                    let what = "this key is missing: https needs to know whom to trust";
                    let problem = Problem::at(place, self.key("trust"), what);
                    self.report(problem.instead(
                        "write trust = { pin = [\"sha256:...\"] }, with what this prints on the coordinator:\n\
                         openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem\n\
                         or trust = { ca = \"authority.pem\" }, or trust = \"system\"",
                    ));
                }
                None
            }
            (Address::Http { .. } | Address::Unix(_), None) if !raw.trust_written => Some(Trust::None),
            (Address::Http { .. } | Address::Unix(_), _) => {
                if let Some(trust) = &raw.trust {
                    let what = "there is no certificate to trust without https";
                    let problem = Problem::at(&trust.place, self.key("trust"), what);
                    self.report(problem.instead("remove `trust`, or write an https address"));
                }
                None
            }
        }
    }

    fn whom_to_trust(&self, trust: &Located<RawTrust>) -> Option<Trust> {
        match &trust.value {
            RawTrust::System => Some(Trust::System),
            RawTrust::Pin(pins) => self.pins(trust, pins).map(Trust::Pinned),
            RawTrust::Authority(file) => self.authority(file).map(Trust::Authority),
        }
    }

    fn pins(&self, trust: &Located<RawTrust>, pins: &[Located<String>]) -> Option<Vec<Fingerprint>> {
        if pins.is_empty() {
            let problem = Problem::at(&trust.place, self.key("trust.pin"), "no fingerprint is pinned");
            self.report(problem.instead("write pin = [\"sha256:...\"]"));
            return None;
        }
        let mut good = Vec::with_capacity(pins.len());
        for (index, pin) in pins.iter().enumerate() {
            match pin.value.parse() {
                Ok(fingerprint) => good.push(fingerprint),
                Err(error) => {
                    let error: EndpointError = error;
                    self.wrong(&pin.place, &format!("trust.pin[{index}]"), error.to_string());
                }
            }
        }
        (good.len() == pins.len()).then_some(good)
    }

    fn authority(&self, file: &Located<String>) -> Option<Vec<u8>> {
        let path = self.folder.join(&file.value);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let problem = source::cannot_read(&path, &error);
                self.wrong(&file.place, "trust.ca", format!("{}: {}", path.display(), problem.what));
                return None;
            }
        };
        let mark = b"-----BEGIN CERTIFICATE-----";
        if bytes.windows(mark.len()).any(|window| window == mark) {
            return Some(bytes);
        }
        let what = format!("{} holds no certificate", path.display());
        let problem = Problem::at(&file.place, self.key("trust.ca"), what);
        self.report(problem.instead("name a file of certificates in PEM form"));
        None
    }

    fn user(&self, user: &Located<String>) -> Option<String> {
        if user.value.is_empty() || user.value.chars().any(char::is_control) {
            let problem = Problem::at(&user.place, self.key("user"), "this cannot be a user's name");
            self.report(problem.instead("write user = \"root\""));
            return None;
        }
        Some(user.value.clone())
    }

    fn password(&self, raw: &RawPassword) -> Option<Password> {
        let key = self.key("password");
        let kept = Keeping { folder: self.folder, surroundings: self.surroundings, problems: self.problems };
        kept.read(raw, &key, "password = { file = \"...\" }").map(|(password, _)| password)
    }

    /// The file of a credential that systemd hands over; `otherwise` is what to write instead of one.
    pub(super) fn credential(&self, name: &Located<String>, key: &str, otherwise: &str) -> Option<PathBuf> {
        let kept = Keeping { folder: self.folder, surroundings: self.surroundings, problems: self.problems };
        kept.credential(name, &self.key(key), otherwise)
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    pub(super) fn wrong(&self, place: &super::Place, key: &str, what: String) {
        self.report(Problem::at(place, self.key(key), what));
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().errors.push(problem);
    }
}

fn scheme(address: &Address) -> &'static str {
    match address {
        Address::Https { .. } => "https",
        Address::Http { .. } | Address::Unix(_) => "http",
    }
}

fn has_port(text: &str) -> bool {
    let bare = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    bare.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}
