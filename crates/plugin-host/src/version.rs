//! Versions of the contract, and which of them fit together.

/// The contract that this host offers to plugins.
pub const CONTRACT: &str = "0.1.0";

/// Three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.').map(|part| {
            (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())
                .flatten()
        });
        let version = Version { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }

    /// Whether a plugin built for `self` can run on a host that offers `host`. Shapes are frozen within one track
    /// (0.MINOR, or MAJOR from 1 on) and functions are only added, so a plugin may be older but, since a newer one may
    /// import what the host lacks, the linker has the last word.
    pub(crate) fn runs_on(self, host: Version) -> bool {
        self.major == host.major && (self.major > 0 || self.minor == host.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_numbers_are_a_version() {
        assert!(Version::parse("0.1.0").is_some());
        for text in ["", "1", "0.1", "0.1.x", "0.1.0.0", "0.1.0-rc", "+0.1.0", "0..1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_track_runs_together() {
        let host = Version::parse(CONTRACT).unwrap();
        for (plugin, runs) in
            [("0.1.0", true), ("0.1.7", true), ("0.2.0", false), ("1.0.0", false), ("0.0.9", false)]
        {
            assert_eq!(Version::parse(plugin).unwrap().runs_on(host), runs, "{plugin}");
        }
    }
}
