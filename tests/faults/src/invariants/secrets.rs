//! I8: passwords and sessions are in no output, no log and no file of the journal.

use e2e::PASSWORD;

use super::Evidence;

/// The value of a secret key in a map of the pool; see [`plant`].
const PLANTED: &str = "storage-secret-55d1";

/// Gives a storage device of the pool a secret to keep.
///
/// # Panics
/// When the pool has no such device.
pub(crate) fn plant(pool: &simulator::PoolHandle) {
    let device = pool.records("PBD").into_iter().next().expect("the pool has storage");
    let map = device.get("device_config").and_then(xapi::Value::as_struct).cloned();
    let mut map = map.unwrap_or_default();
    map.insert("chappassword", PLANTED);
    let set = pool.set("PBD", &device.reference, "device_config", xapi::Value::Struct(map));
    set.expect("a device takes a configuration");
}

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<String> {
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    for (life, lines) in evidence.scene.lines().iter().enumerate() {
        let raw: Vec<&str> = lines.iter().map(|line| line.raw.as_str()).collect();
        places.push((format!("the log of life {life}"), raw.join("\n").into_bytes()));
    }
    for (number, life) in evidence.scene.lives.iter().enumerate() {
        places.push((format!("the output of life {number}"), life.output.clone().into_bytes()));
    }
    let files = std::fs::read_dir(evidence.folder).expect("the journal's folder can be listed");
    for file in files {
        let path = file.expect("the journal's folder can be listed").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file of the journal can be read");
            places.push((path.display().to_string(), bytes));
        }
    }
    let mut broken = Vec::new();
    if evidence.scene.sessions.is_empty() {
        broken.push("no session was ever seen: this shows nothing".to_owned());
    }
    for (place, bytes) in &places {
        for (number, secret) in [PASSWORD, PLANTED].iter().enumerate() {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                // Not the secret itself: this text goes to a log, too.
                broken.push(format!("secret {number} is in {place}"));
            }
        }
        if references(bytes).any(|reference| evidence.scene.sessions.contains(reference)) {
            broken.push(format!("a session is in {place}"));
        }
    }
    broken
}

/// All references in a text, each once it is as long as one.
fn references(bytes: &[u8]) -> impl Iterator<Item = &str> {
    const PREFIX: &[u8] = b"OpaqueRef:";
    const LENGTH: usize = PREFIX.len() + 36;
    let begins = bytes.windows(LENGTH).filter(|window| window.starts_with(PREFIX));
    begins.filter_map(|window| std::str::from_utf8(window).ok())
}
