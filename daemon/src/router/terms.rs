//! What a plugin runs on: told to the audit when it changes, and what its rules allowed before a restart counted on.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use journal::{AuditFilter, Journal, NewAudit};
use plugin_host::Past;
use plugin_host::grant::HOUR;
use plugin_host::report::Reads;
use serde_json::json;

use super::installed::Installed;

/// Writes down the grant that a plugin is taken up with, unless it is the one that was written down last, and counts on what its
/// rules allowed lately.
pub(super) async fn take_up(journal: &Journal, installed: &Installed) -> Result<(), journal::Error> {
    let Installed { name, terms, grant_digest, plugin, .. } = installed;
    let details = json!({
        "file": terms.grant.file(),
        "grant": grant_digest.to_string(),
        "component": format!("sha256:{}", plugin.inspection().digest),
        "version": plugin.manifest().version,
        "mode": if terms.dry_run { "dry-run" } else { "enforce" },
    })
    .to_string();
    let of_plugin = |kind: &str| AuditFilter {
        plugin: Some(name.clone()),
        kind: Some(kind.to_owned()),
        ..AuditFilter::default()
    };
    let known = journal.listings().audit(of_plugin("grant"), 1).await?;
    if known.first().is_none_or(|known| known.entry.details != details) {
        journal.post_audit(entry("grant", name, "grant taken up", details)).await?;
    }
    let budgeted = terms.grant.rules().iter().any(|rule| {
        let budget = rule.budget();
        budget.per_minute.is_some() || budget.objects_per_hour.is_some()
    });
    if budgeted {
        let now = Timestamp::now().as_microsecond();
        let past = journal.allowed_since(name, now.saturating_sub(HOUR)).await?;
        let past = past.into_iter().map(|allowed| Past {
            rule: allowed.rule,
            object: (!allowed.object.is_empty()).then_some(allowed.object),
            // What seems to lie ahead, since the clock was set back, was just now.
            age: Duration::from_micros(
                u64::try_from(now.saturating_sub(allowed.at_micros)).unwrap_or_default(),
            ),
        });
        terms.spending.restore(&terms.grant, past);
    }
    Ok(())
}

/// Writes down what a plugin that runs dry read, as far as it was not seen to read it before.
pub(super) async fn note_reads(
    journal: &Journal,
    installed: &Installed,
    reads: &Reads,
) -> Result<(), journal::Error> {
    let fresh: BTreeMap<String, Vec<String>> = {
        let mut known = installed.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = reads.iter().filter_map(|(class, fields)| {
            let seen = known.entry(class.clone()).or_default();
            let fresh: Vec<String> =
                fields.iter().filter(|field| seen.insert((*field).clone())).cloned().collect();
            (!fresh.is_empty()).then(|| (class.clone(), fresh))
        });
        fresh.collect()
    };
    for (class, fields) in fresh {
        let details = json!({ "fields": fields }).to_string();
        journal.post_audit(entry("read", &installed.name, &class, details)).await?;
    }
    Ok(())
}

fn entry(kind: &str, plugin: &str, what: &str, details: String) -> NewAudit {
    NewAudit {
        at_micros: Timestamp::now().as_microsecond(),
        kind: kind.to_owned(),
        plugin: plugin.to_owned(),
        what: what.to_owned(),
        details,
        ..NewAudit::default()
    }
}
