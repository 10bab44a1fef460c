//! What a plugin sees of the pool: what the grant shows, and never XAPI's own references.

use std::sync::Arc;

use plugin_host::grant::RawGrant;
use plugin_host::{Outcome, Report};
use serde_json::{Value as Json, json};

use crate::stage::{Reading, Stage, guest, record, vm};

async fn read(stage: &Stage) -> Result<Json, String> {
    let report: Report = stage.run(&guest("reader")).await;
    assert!(!stage.heard().contains("OpaqueRef:"), "{}", stage.heard());
    match report.outcome {
        Outcome::Done => {
            stage.state.apply(&report.state);
            let text = stage.state.text("read");
            assert!(!text.contains("OpaqueRef:"), "{text}");
            Ok(serde_json::from_str(&text).unwrap())
        }
        Outcome::GiveUp { why } => Err(why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_field_is_read_as_its_type() {
    let found = read(&Stage::new()).await.unwrap();
    let expected = [
        ("name_label", "Text(\"web\")"),
        ("power_state", "Text(\"Halted\")"),
        ("is_a_template", "Truth(false)"),
        ("memory_target", "Whole(1024)"),
        ("snapshot_time", "Moment(Moment(\"2026-08-21T02:00:23Z\"))"),
        ("tags", "Texts([\"keepalive\"])"),
        ("other_config", "Pairs([])"),
        ("resident_on", "Nothing"),
    ];
    for (field, value) in expected {
        assert_eq!(found[field], json!(value), "{found:#}");
    }
    assert!(found["affinity"].as_str().unwrap().contains("ref:7.1."), "{found:#}");
}

#[tokio::test]
async fn references_are_followed() {
    let found =
        read(&Stage::new().settings(json!({"fields": ["uuid"], "follow": "affinity"}))).await.unwrap();
    let host: Json = serde_json::from_str(found["affinity/u-host-1"].as_str().unwrap()).unwrap();
    assert_eq!(host, json!({"uuid": "u-host-1", "hostname": "xen1"}));
}

#[tokio::test]
async fn only_granted_fields_and_classes_are_there() {
    let mut stage = Stage::new().settings(json!({"follow": "affinity"}));
    stage.grant = RawGrant { file: "plugins/guest.toml".into(), ..RawGrant::default() }
        .reading(&["VM"], &["uuid", "affinity"]);
    let found = read(&stage).await.unwrap();
    let mut names: Vec<&String> = found.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["affinity", "uuid"], "the host is left out, since nothing of it may be seen");
    assert!(stage.heard().contains("changed=\"\""), "changed fields are filtered too: {}", stage.heard());

    let stage = Stage { settings: json!({"fields": ["power_state"]}), ..stage };
    let why = read(&stage).await.unwrap_err();
    assert!(
        why.contains("plugins/guest.toml:\n[[read]]\nclass = [\"VM\"]\nfields = [\"power_state\"]"),
        "{why}"
    );

    let stage = Stage { grant: RawGrant::default(), ..stage };
    assert!(read(&stage).await.unwrap_err().contains("no record at all"));
}

#[tokio::test]
async fn an_unknown_field_is_told_with_the_nearest() {
    let why = read(&Stage::new().settings(json!({"fields": ["powerstate"]}))).await.unwrap_err();
    assert!(why.contains("did you mean `power_state`?"), "{why}");
}

#[tokio::test]
async fn objects_are_found_page_by_page() {
    let stage = Stage::new()
        .settings(
            json!({"fields": ["uuid"], "find_class": "VM", "find_filter": "self.power_state == \"Running\""}),
        )
        .limited(|limits| limits.cpu = std::time::Duration::from_secs(60));
    {
        let mut world = stage.pool.world.write().unwrap();
        for number in 0..2_500 {
            world.insert(vm(&format!("n{number}"), if number % 2 == 0 { "Running" } else { "Halted" }));
        }
    }
    assert_eq!(read(&stage).await.unwrap()["found"], json!("1250"));
}

#[tokio::test]
async fn a_filter_sees_granted_fields_only_and_makes_sense() {
    let with = |filter: &str, class: &str| {
        let mut stage =
            Stage::new().settings(json!({"fields": ["uuid"], "find_class": class, "find_filter": filter}));
        stage.grant = RawGrant { file: "plugins/guest.toml".into(), ..RawGrant::default() }
            .reading(&["VM"], &["uuid", "name_label", "tags", "other_config"]);
        stage
    };
    for (filter, class, outcome) in [
        ("\"keepalive\" in self.tags", "VM", Ok("1")),
        ("", "VM", Ok("1")),
        // A key that is not there: it does not hold.
        ("self.other_config[\"owner\"] == \"ann\"", "VM", Ok("0")),
        ("size(self) == 4", "VM", Ok("1")),
        ("self.power_state == \"Halted\"", "VM", Err("fields = [\"power_state\"]")),
        ("self.nmae_label == \"\"", "VM", Err("did you mean `name_label`?")),
        ("self.name_label ==", "VM", Err("is wrong at line 1")),
        ("self.tags.exists(t, self.tags.exists(u, t == u))", "VM", Err("nested")),
        ("true", "host", Err("class = [\"host\"]")),
        ("true", "hosts", Err("did you mean `host`?")),
    ] {
        let found = read(&with(filter, class)).await;
        match outcome {
            Ok(count) => {
                assert_eq!(found.as_ref().map(|found| &found["found"]), Ok(&json!(count)), "{filter}");
            }
            Err(words) => {
                let why = found.expect_err(filter);
                assert!(why.contains(words), "{filter}: {why}");
            }
        }
    }
}

#[tokio::test]
async fn a_pool_newer_than_the_schema_is_read_too() {
    let mut stage = Stage::new();
    if let plugin_host::event::Subject::Change(change) = &mut stage.event.subject {
        change.new = Some(Arc::new(record(
            "VM",
            "OpaqueRef:vm-web",
            &[("uuid", "u-web".into()), ("brand_new", "x".into()), ("new_ref", "OpaqueRef:host-1".into())],
        )));
    }
    let found = read(&stage).await.unwrap();
    assert_eq!(found["brand_new"], json!("Text(\"x\")"));
    assert!(found["new_ref"].as_str().unwrap().contains("ref:7.1."), "{found:#}");
}
