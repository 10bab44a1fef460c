//! Exchanges recorded from a real xapi: `tests/wire/README.md` tells what they are.

use std::path::{Path, PathBuf};

use xapi::codec::{Call, DecodeError, Limits, Reply, json, xml};

/// A question and its answer.
pub(crate) struct Recorded {
    /// `NN-name`.
    pub(crate) name: String,
    /// `xml`, `json`, or nothing where the request is none.
    pub(crate) wire: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) request: Vec<u8>,
}

impl Recorded {
    /// The answer as our decoder of its wire reads it.
    pub(crate) fn decode(&self) -> Reply {
        let limits = Limits::default();
        let reply = match self.wire.as_str() {
            "xml" => xml::decode_reply(&self.body, &limits),
            _ => json::decode_reply(&self.body, &limits),
        };
        self.read(reply)
    }

    pub(crate) fn call(&self) -> Call {
        let limits = Limits::default();
        let call = match self.wire.as_str() {
            "xml" => xml::decode_call(&self.request, &limits),
            _ => json::decode_call(&self.request, &limits),
        };
        self.read(call)
    }

    fn read<T>(&self, decoded: Result<T, DecodeError>) -> T {
        decoded.unwrap_or_else(|error| panic!("{}.{}: {error}", self.name, self.wire))
    }
}

/// Those that this repository has.
pub(crate) fn own() -> Vec<Recorded> {
    let all = inside(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire"));
    assert!(all.len() > 100, "only {} recorded answers found", all.len());
    all
}

/// All in a folder, in the order of their names.
pub(crate) fn inside(folder: &Path) -> Vec<Recorded> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(stem) = file.strip_suffix(".response") else { continue };
        let response = std::fs::read(&path).unwrap();
        let request = std::fs::read(path.with_extension("request")).unwrap();
        let head_end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| (at, 4));
        let (at, length) = head_end
            .or_else(|| response.windows(2).position(|bytes| bytes == b"\n\n").map(|at| (at, 2)))
            .unwrap();
        let head = std::str::from_utf8(&response[..at]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (name, wire) = stem.rsplit_once('.').unwrap_or((stem, ""));
        all.push(Recorded {
            name: name.to_owned(),
            wire: wire.to_owned(),
            status,
            body: response[at + length..].to_vec(),
            request,
        });
    }
    all
}
