//! What a grant file and a manifest say of a plugin: the same whether a daemon runs or not.

use plugin_host::Manifest;

use super::types::{PluginDetail, PluginStatus};
use crate::config::{AllowRule, GrantFile};

/// All that can be told of a plugin by its grant file, how it stands, and what its component says of itself.
pub(crate) fn of(grant: &GrantFile, status: PluginStatus, manifest: Option<&Manifest>) -> PluginDetail {
    let subscriptions = manifest.map(|manifest| {
        manifest.subscriptions.iter().map(|subscription| subscription.name.clone()).collect()
    });
    PluginDetail {
        status,
        grant: grant.path.display().to_string(),
        component: grant.component.display().to_string(),
        digest: grant.digest.map(|digest| digest.to_string()),
        pools: grant.pools.iter().map(|pool| pool.value.to_string()).collect(),
        concurrency: grant.concurrency,
        description: manifest.map(|manifest| manifest.description.clone()),
        subscriptions: subscriptions.unwrap_or_default(),
        allow: grant.allow.iter().map(words).collect(),
        missing: None,
        update: None,
    }
}

/// What becomes of its calls, as the grant file says it: `enforce` or `dry-run`.
pub(crate) fn mode(grant: &GrantFile) -> String {
    if grant.dry_run { "dry-run" } else { "enforce" }.to_owned()
}

/// A rule in a line.
fn words(rule: &AllowRule) -> String {
    let calls: Vec<&str> = rule.call.iter().map(|call| call.value.as_str()).collect();
    let on = rule.on.as_ref().map(|on| format!(" on {}", on.value)).unwrap_or_default();
    let most = [
        ("an event", rule.per_event),
        ("a minute", rule.per_minute),
        ("different objects an hour", rule.objects_per_hour),
    ];
    let most =
        most.into_iter().filter_map(|(what, most)| most.map(|most| format!(", at most {most} {what}")));
    let args = rule.args.iter().map(|(name, value)| format!(" with {name} {}", value.value));
    format!("{}{on}{}{}", calls.join(", "), args.collect::<String>(), most.collect::<String>())
}
