//! Finding objects in a simulated pool, over a real door.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::sync::Arc;

use xapi::find::FindError;
use xapi::model::path::{Chain, Path};
use xapi::model::{Record, Ref};
use xapi::query::{Literal, Query, field};

mod stage;

#[tokio::test]
async fn by_uuid_by_name_and_all() {
    let (_running, pool, client) = stage::pool().await;
    let vms = client.find_class("vm").unwrap();
    let known = pool.records("VM");
    let one = known.iter().find(|vm| vm.get("is_a_template").unwrap().as_bool() == Some(false)).unwrap();

    let found = vms.by_uuid(one.uuid().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.as_str(), one.reference);
    assert_eq!(vms.by_uuid("no-such-uuid").await.unwrap(), None);

    let named = vms.by_name_label(one.text("name_label")).await.unwrap();
    assert!(named.contains(&found));
    assert_eq!(vms.by_name_label("no such name").await.unwrap(), []);

    let all: BTreeSet<String> = vms.all().await.unwrap().iter().map(|vm| vm.as_str().to_owned()).collect();
    assert_eq!(all, known.iter().map(|vm| vm.reference.to_string()).collect());

    let record = vms.record(&found).await.unwrap().unwrap();
    assert_eq!(record.class, "VM");
    assert_eq!(record.get("memory_static_max"), one.get("memory_static_max"));
    assert!(vms.record(&Ref::new("OpaqueRef:gone")).await.unwrap().is_none());
    assert_eq!(vms.all_records().await.unwrap().len(), known.len());
}

#[tokio::test]
async fn by_query() {
    let (_running, pool, client) = stage::pool().await;
    let vms = client.find_class("VM").unwrap();
    let class = vms.class();
    for query in [
        field("power_state").is("Running"),
        field("is_a_template").is(false) & !field("power_state").is("Running"),
        field("VBDs").is(Literal::Empty),
        field("resident_on").is(Literal::Null),
        field("name_label").is_one_of(["Ubuntu", "web-1", "it's"]),
        Query::parse("not is_a_template = true and is_control_domain = false").unwrap(),
        Query::everything(),
        Query::Any(Vec::new()),
    ] {
        let fits = |record: &Record| query.fits(class, record).unwrap();
        let expected: BTreeSet<_> =
            pool.records("VM").into_iter().filter(fits).map(|vm| vm.reference).collect();
        let records = vms.records_where(&query).await.unwrap();
        assert_eq!(
            records.iter().map(|vm| vm.reference.clone()).collect::<BTreeSet<_>>(),
            expected,
            "{query:?}"
        );
        let references = vms.all_where(&query).await.unwrap();
        assert_eq!(
            references.iter().map(|vm| vm.as_str().into()).collect::<BTreeSet<_>>(),
            expected,
            "{query:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_sent() {
    let (_running, _pool, client) = stage::pool().await;
    assert_eq!(
        client.find_class("hosts").unwrap_err().to_string(),
        r#"there is no class "hosts", did you mean "host"?"#
    );
    let vms = client.find_class("VM").unwrap();
    let refused = vms.records_where(&field("name_label").is("a\" or true or \"")).await.unwrap_err();
    assert!(matches!(refused, FindError::Query { class: "VM", .. }), "{refused}");
    let sessions = client.find_class("session").unwrap();
    assert_eq!(sessions.all().await.unwrap_err().to_string(), "XAPI has no session.get_all");
    assert_eq!(
        sessions.all_where(&Query::everything()).await.unwrap_err().to_string(),
        "XAPI has no session.get_all_where"
    );
}

/// What was fetched on a path gives the same ways as the pool itself.
#[tokio::test]
async fn paths_are_fetched_level_by_level() {
    let (_running, pool, client) = stage::pool().await;
    for (class, text, only_one) in [
        ("VM", "VBDs.VDI.SR.PBDs.host", false),
        ("VM", "VBDs.VDI.SR", true),
        ("VM", "VIFs.network.PIFs.host", false),
        ("host", "resident_VMs.VBDs", false),
        ("host", "resident_VMs.VBDs", true),
        ("VM", "resident_on.metrics", false),
    ] {
        let finder = client.find_class(class).unwrap();
        let path = Path::parse(finder.class(), text).unwrap();
        let mut starts = finder.all_records().await.unwrap();
        if only_one {
            starts.retain(|start| !path.steps()[0].references(start).unwrap().is_empty());
            starts.truncate(1);
        }
        let fetched = client.follow(&starts, &path).await.unwrap();
        let mut walked = 0;
        for start in &starts {
            let chains =
                path.chains(start, |class, reference| fetched.get(class, reference).cloned()).unwrap();
            let of_pool = |class: &'static str, reference: &str| pool.record(class, reference).map(Arc::new);
            let expected = path.chains(start, of_pool).unwrap();
            let names = |chains: Vec<Chain>| -> Vec<Vec<String>> {
                let name = |object: Arc<Record>| format!("{} {}", object.class, object.reference);
                chains.into_iter().map(|chain| chain.objects.into_iter().map(name).collect()).collect()
            };
            walked += chains.iter().filter(|chain| chain.objects.len() == path.steps().len()).count();
            assert_eq!(names(chains), names(expected), "{text}");
        }
        assert!(walked > 0, "no way was walked to its end: {text}");
    }
}

/// A path from all VMs costs one call a step, not one an object.
#[tokio::test]
async fn paths_cost_a_call_a_step() {
    let (_running, pool, client) = stage::pool().await;
    let vms = client.find_class("VM").unwrap();
    let path = Path::parse(vms.class(), "VBDs.VDI").unwrap();
    let starts = vms.all_records().await.unwrap();
    let before: u64 = pool.calls().by_method.values().sum();
    let fetched = client.follow(&starts, &path).await.unwrap();
    let after: u64 = pool.calls().by_method.values().sum();
    assert!(
        fetched.count("VBD") > 40 && fetched.count("VDI") > 20,
        "{} {}",
        fetched.count("VBD"),
        fetched.count("VDI")
    );
    assert_eq!(after - before, 2);
    assert_eq!(pool.calls().of("VBD.get_all_records_where"), 1);
}
