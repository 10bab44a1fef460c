//! How much memory a process has.

use anyhow::{Context as _, Result};

/// Resident memory of a process, in MB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) now: f64,
    /// The most that it ever was.
    pub(crate) peak: f64,
}

impl Memory {
    /// Of the process with this number.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let megabytes = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            Ok(kibibytes.with_context(|| format!("{path} tells no {name}"))? * 1024.0 / 1e6)
        };
        Ok(Memory { now: megabytes("VmRSS:")?, peak: megabytes("VmHWM:")? })
    }
}
