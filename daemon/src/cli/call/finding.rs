//! Looks up the objects that arguments name.

use anyhow::{Context as _, Result, bail};
use xapi::model::Ref;
use xapi::{Client, Value};

use super::arguments::Draft;

/// The value of an argument, every object in it found.
///
/// # Errors
/// When the pool has no such object, or several of that name.
pub(super) async fn found(client: &Client, draft: Draft) -> Result<Value> {
    match draft {
        Draft::Value(value) => Ok(value),
        Draft::Find { class, text } => Ok(Value::from(&object(client, class, &text).await?)),
        Draft::Set(drafts) => {
            let mut elements = Vec::with_capacity(drafts.len());
            for draft in drafts {
                elements.push(Box::pin(found(client, draft)).await?);
            }
            Ok(Value::Array(elements))
        }
        Draft::Map(drafts) => {
            let mut members = xapi::Struct::with_capacity(drafts.len());
            for (name, draft) in drafts {
                members.push(name, Box::pin(found(client, draft)).await?);
            }
            Ok(Value::Struct(members))
        }
    }
}

/// The one object of this uuid or name.
async fn object(client: &Client, class: &'static str, text: &str) -> Result<Ref> {
    let finder = client.find_class(class)?;
    if is_uuid(text) {
        let found = finder.by_uuid(text).await?;
        return found.with_context(|| format!("the pool has no {class} with uuid {text}"));
    }
    if finder.class().method("get_by_name_label").is_none() {
        bail!(
            "{text:?} is no uuid, and objects of class {class} have no name: give its uuid or its reference"
        );
    }
    let mut named = finder.by_name_label(text).await?;
    match (named.pop(), named.len()) {
        (None, _) => bail!("the pool has no {class} named {text:?}"),
        (Some(one), 0) => Ok(one),
        (Some(last), others) => {
            named.push(last);
            let mut uuids = Vec::with_capacity(named.len());
            for reference in &named {
                // One that has gone in between is none of them.
                if let Some(record) = finder.record(reference).await? {
                    uuids.push(record.text("uuid").to_owned());
                }
            }
            let uuids = uuids.join(", ");
            bail!("{} objects of class {class} are named {text:?}; give the uuid of one: {uuids}", others + 1)
        }
    }
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::is_uuid;

    #[test]
    fn a_uuid_is_told_from_a_name() {
        assert!(is_uuid("8c1d0a45-1f3e-4d6e-9a55-0123456789ab"));
        for name in
            ["", "web-1", "8c1d0a45-1f3e-4d6e-9a55-0123456789abc", "8c1d0a45-1f3e-4d6e-9a55-0123456789ag"]
        {
            assert!(!is_uuid(name), "{name}");
        }
    }
}
