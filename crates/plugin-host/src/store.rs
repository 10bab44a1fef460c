//! The interface `store`: the plugin's own keys. Writes wait here and go out with the outcome.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::contract::xapiary::plugin::store::Host;
use crate::contract::xapiary::plugin::types::Error;
use crate::fault;
use crate::sandbox::Sandbox;

/// Longest key, bytes.
const KEY_MAX: usize = 512;
/// Most keys in one answer.
const KEYS_MAX: u32 = 1000;

impl Host for Sandbox {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.enter("store.get")?;
        if let Some(written) = self.writes.get(&key) {
            return Ok(Ok(written.clone()));
        }
        let begun = Instant::now();
        let stored = self.state.get(&key).await;
        self.meter.waited(begun.elapsed());
        Ok(stored.map_err(|error| fault::unavailable(&error)))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.enter("store.set")?;
        Ok(self.put(key, Some(value)))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter("store.delete")?;
        Ok(self.put(key, None))
    }

    async fn keys(
        &mut self,
        prefix: String,
        limit: u32,
        after: Option<String>,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        self.enter("store.keys")?;
        if limit == 0 {
            return Ok(Err(fault::invalid("NO_LIMIT", "limit", "ask for at least one key")));
        }
        let begun = Instant::now();
        let keys = self.all_keys(&prefix, limit.min(KEYS_MAX), after).await;
        self.meter.waited(begun.elapsed());
        Ok(keys.map_err(|error| fault::unavailable(&error)))
    }
}

impl Sandbox {
    fn put(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Error> {
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(fault::invalid("BAD_KEY", "key", format!("a key has 1 to {KEY_MAX} bytes")));
        }
        let size = |key: &str, value: &Option<Vec<u8>>| key.len() + value.as_ref().map_or(0, Vec::len);
        let before = self.writes.get(&key).map_or(0, |old| size(&key, old));
        let after = self.written - before + size(&key, &value);
        let allowed = self.terms.limits.state;
        if after > allowed {
            return Err(fault::limit("state", format!("one delivery may write {allowed} bytes")));
        }
        self.written = after;
        self.writes.insert(key, value);
        Ok(())
    }

    /// The first keys of what is stored and what is written, in order.
    async fn all_keys(
        &mut self,
        prefix: &str,
        limit: u32,
        after: Option<String>,
    ) -> Result<Vec<String>, String> {
        let limit_keys = limit as usize;
        let mut keys: BTreeSet<String> = self
            .writes
            .iter()
            .filter(|(key, value)| {
                value.is_some() && key.starts_with(prefix) && after.as_ref().is_none_or(|after| *key > after)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut from = after;
        let mut stored = 0;
        // Deleted keys thin out what is stored, so go on until enough are left.
        while stored < limit_keys {
            let page = self.state.keys(prefix, from.as_deref(), limit).await?;
            let full = page.len() >= limit_keys;
            from = page.last().cloned().or(from);
            for key in page {
                if self.writes.get(&key).is_none_or(Option::is_some) {
                    stored += 1;
                    keys.insert(key);
                }
            }
            if !full {
                break;
            }
        }
        Ok(keys.into_iter().take(limit_keys).collect())
    }
}
