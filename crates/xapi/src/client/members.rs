//! Which members of the pool are known. Pure.

use crate::transport::{Address, Endpoint};

/// Those that were configured, and those that the pool named when it was asked last.
#[derive(Debug)]
pub(super) struct Members {
    configured: Vec<Endpoint>,
    /// How members are reached: what they have in common with this one.
    pattern: Endpoint,
    named: Vec<Endpoint>,
}

impl Members {
    /// The first one is the pattern for those that the pool names.
    pub(super) fn new(first: &Endpoint, others: &[Endpoint]) -> Self {
        let configured = std::iter::once(first).chain(others).cloned().collect();
        Members { configured, pattern: first.clone(), named: Vec::new() }
    }

    /// Takes the addresses that the pool has now in place of those it had before: a host that was ejected is forgotten.
    pub(super) fn name(&mut self, addresses: impl IntoIterator<Item = String>) {
        // The local socket leads to this host alone.
        if matches!(self.pattern.address(), Address::Unix(_)) {
            return;
        }
        // An address that cannot be used, such as one beyond this machine for plain HTTP, leads nowhere.
        self.named = addresses
            .into_iter()
            .filter(|address| !address.is_empty())
            .filter_map(|address| self.pattern.at(&address).ok())
            .collect();
    }

    /// All but one, without repetition: those that the pool named first, for they are fresher.
    pub(super) fn but(&self, here: &Endpoint) -> Vec<Endpoint> {
        let mut others: Vec<Endpoint> = Vec::new();
        for member in self.named.iter().chain(&self.configured) {
            if member != here && !others.contains(member) {
                others.push(member.clone());
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Trust;

    fn https(host: &str) -> Endpoint {
        Endpoint::new(format!("https://{host}").parse().unwrap(), Trust::System).unwrap()
    }

    #[test]
    fn the_pool_names_its_members_and_forgets_those_that_left() {
        let mut members = Members::new(&https("one"), &[https("two")]);
        assert_eq!(members.but(&https("one")), [https("two")]);
        members.name(["10.0.0.1".into(), "10.0.0.2".into(), String::new(), "one".into(), "no host".into()]);
        assert_eq!(members.but(&https("10.0.0.1")), [https("10.0.0.2"), https("one"), https("two")]);
        members.name(["10.0.0.1".into()]);
        assert_eq!(members.but(&https("10.0.0.1")), [https("one"), https("two")]);
    }

    #[test]
    fn plain_http_and_the_socket_stay_on_this_machine() {
        let http = Endpoint::new("http://127.0.0.1:80".parse().unwrap(), Trust::None).unwrap();
        let mut members = Members::new(&http, &[]);
        members.name(["10.0.0.2".into(), "127.0.0.1:81".into()]);
        assert_eq!(members.but(&http), [http.at("127.0.0.1:81").unwrap()]);
        let socket = Endpoint::new("unix:/var/lib/xcp/xapi".parse().unwrap(), Trust::None).unwrap();
        let mut members = Members::new(&socket, &[]);
        members.name(["10.0.0.2".into()]);
        assert_eq!(members.but(&socket), []);
    }
}
