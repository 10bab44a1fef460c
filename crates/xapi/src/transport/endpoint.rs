//! Where a pool member is reached and why it is believed.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::identity::Identity;

/// A way to reach a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TLS, port 443 unless said otherwise.
    Https {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Plain text, port 80 unless said otherwise; only to this machine itself.
    Http {
        /// A loopback address or `localhost`.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// xapi's local socket, `/var/lib/xcp/xapi` on a host.
    Unix(PathBuf),
}

/// SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Why a member's certificate is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Nothing to believe: no TLS.
    None,
    /// One of these certificates, whatever name or dates it carries.
    Pinned(Vec<Fingerprint>),
    /// Signed by an authority in this PEM text, for the name that is called.
    Authority(Vec<u8>),
    /// Signed by an authority that the operating system trusts.
    System,
}

/// An address with its trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    trust: Trust,
    identity: Option<Identity>,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Not one of the known forms.
    #[error("{0:?} is no address of a pool: write https://HOST[:PORT], http://LOOPBACK[:PORT] or unix:/PATH")]
    Form(String),
    /// Plain HTTP beyond this machine.
    #[error("plain http is only for this machine itself, and {0} is not: write https://{0}")]
    PlainBeyondLoopback(String),
    /// HTTPS without trust.
    #[error(
        "https needs to know whom to trust: a pinned fingerprint, an authority file, or the system's authorities"
    )]
    NoTrust,
    /// A client certificate without HTTPS.
    #[error(
        "a client certificate is shown over https only: write an https address, or leave the certificate out"
    )]
    IdentityWithoutTls,
    /// Not 64 hexadecimal digits.
    #[error(
        "{0:?} is no SHA-256 fingerprint: 64 hexadecimal digits, with or without colons and a sha256: in front"
    )]
    Fingerprint(String),
}

impl Endpoint {
    /// Checks that address and trust fit.
    ///
    /// # Errors
    /// When HTTPS comes without trust.
    pub fn new(address: Address, trust: Trust) -> Result<Self, EndpointError> {
        match (&address, &trust) {
            (Address::Https { .. }, Trust::None) => Err(EndpointError::NoTrust),
            _ => Ok(Endpoint { address, trust, identity: None }),
        }
    }

    /// The same, showing a client certificate of our own.
    ///
    /// # Errors
    /// Without HTTPS there is nobody to show it to.
    pub fn with_identity(self, identity: Identity) -> Result<Self, EndpointError> {
        match self.address {
            Address::Https { .. } => Ok(Endpoint { identity: Some(identity), ..self }),
            Address::Http { .. } | Address::Unix(_) => Err(EndpointError::IdentityWithoutTls),
        }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The trust.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The client certificate that we show, if any.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The same way to another member, as HOST_IS_SLAVE names it: a bare name or address, IPv6 without brackets. With
    /// plain HTTP, where several members of a test pool share this machine, it may bring its own port.
    ///
    /// # Errors
    /// When that is no host, or would lead plain HTTP beyond this machine. Whoever names it may not be honest.
    pub fn at(&self, host: &str) -> Result<Self, EndpointError> {
        let host = match host.trim_matches(['[', ']']) {
            six if six.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{six}]"),
            other => other.to_owned(),
        };
        let own_port = !host.starts_with('[') && host.contains(':');
        let address = match &self.address {
            Address::Https { port, .. } => format!("https://{host}:{port}").parse()?,
            Address::Http { .. } if own_port => format!("http://{host}").parse()?,
            Address::Http { port, .. } => format!("http://{host}:{port}").parse()?,
            Address::Unix(path) => Address::Unix(path.clone()),
        };
        Ok(Endpoint { address, trust: self.trust.clone(), identity: self.identity.clone() })
    }
}

impl Address {
    pub(super) fn url(&self) -> String {
        match self {
            Address::Https { host, port } => format!("https://{}:{port}", bracketed(host)),
            Address::Http { host, port } => format!("http://{}:{port}", bracketed(host)),
            Address::Unix(_) => "http://localhost".to_owned(),
        }
    }

    /// As the `Host` header says it: without the port that goes without saying.
    pub(super) fn authority(&self) -> String {
        match self {
            Address::Https { host, port: 443 } | Address::Http { host, port: 80 } => bracketed(host),
            Address::Https { host, port } | Address::Http { host, port } => {
                format!("{}:{port}", bracketed(host))
            }
            Address::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn bracketed(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}

impl FromStr for Address {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let form = || EndpointError::Form(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Address::Unix(path.into())) } else { Err(form()) };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ']) {
            return Err(form());
        }
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(form)?;
            (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("") }))
        } else {
            match rest.rsplit_once(':') {
                // An IPv6 address stands in brackets.
                Some((host, _)) if host.contains(':') => return Err(form()),
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        if host.is_empty() {
            return Err(form());
        }
        let port = |default: u16| port.map_or(Ok(default), |port| port.parse().map_err(|_| form()));
        match scheme {
            "https" => Ok(Address::Https { host: host.to_owned(), port: port(443)? }),
            "http" => {
                let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
                if !loopback {
                    return Err(EndpointError::PlainBeyondLoopback(host.to_owned()));
                }
                Ok(Address::Http { host: host.to_owned(), port: port(80)? })
            }
            _ => Err(form()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(out, "unix:{}", path.display()),
            other => out.write_str(&other.url()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(out)
    }
}

impl FromStr for Fingerprint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bare = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("SHA256:")).unwrap_or(text);
        let digits: String = bare.chars().filter(|character| *character != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| EndpointError::Fingerprint(text.to_owned()))?;
        Ok(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Endpoint, EndpointError, Fingerprint, Trust};

    #[test]
    fn addresses_read_back_as_written() {
        for (text, shown) in [
            ("https://10.0.0.1", "https://10.0.0.1:443"),
            ("https://pool.example:8443/", "https://pool.example:8443"),
            ("https://[fd00::1]", "https://[fd00::1]:443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("unix:/var/lib/xcp/xapi", "unix:/var/lib/xcp/xapi"),
        ] {
            assert_eq!(
                text.parse::<Address>().map(|address| address.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_that_cannot_work_say_why() {
        let plain = "http://10.0.0.1".parse::<Address>();
        assert_eq!(plain, Err(EndpointError::PlainBeyondLoopback("10.0.0.1".into())));
        for text in
            ["10.0.0.1", "ftp://x", "https://", "https://a/b", "https://u@h", "unix:relative", "https://h:x"]
        {
            assert!(matches!(text.parse::<Address>(), Err(EndpointError::Form(_))), "{text}");
        }
    }

    #[test]
    fn another_member_is_reached_the_same_way_and_never_in_plain_text_beyond_this_machine() {
        let endpoint = |text: &str, trust| Endpoint::new(text.parse().unwrap(), trust).unwrap();
        let secure = endpoint("https://10.0.0.1:8443", Trust::System);
        let at = |endpoint: &Endpoint, host: &str| endpoint.at(host).map(|other| other.to_string());
        assert_eq!(at(&secure, "10.0.0.2"), Ok("https://10.0.0.2:8443".into()));
        assert_eq!(at(&secure, "fd00::2"), Ok("https://[fd00::2]:8443".into()));
        for host in ["", "a/b", "user@host", "a b", "host:1:2"] {
            assert!(matches!(secure.at(host), Err(EndpointError::Form(_))), "{host:?}");
        }
        let plain = endpoint("http://127.0.0.1:8080", Trust::None);
        assert_eq!(at(&plain, "127.0.0.2"), Ok("http://127.0.0.2:8080".into()));
        assert_eq!(at(&plain, "127.0.0.1:9090"), Ok("http://127.0.0.1:9090".into()));
        assert_eq!(at(&plain, "10.0.0.2"), Err(EndpointError::PlainBeyondLoopback("10.0.0.2".into())));
    }

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let colons = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let plain = format!("sha256:{}", colons.replace(':', "").to_lowercase());
        assert_eq!(colons.parse::<Fingerprint>(), plain.parse());
        assert_eq!(plain.parse::<Fingerprint>().map(|print| print.to_string()), Ok(plain.clone()));
        assert!("sha256:abcd".parse::<Fingerprint>().is_err());
    }
}
