//! Finding objects where the pool is older than `get_all_where`, or answers nonsense.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::{Arc, Mutex};

use xapi::codec::{Failure, Limits, Reply, xml};
use xapi::find::FindError;
use xapi::model::Ref;
use xapi::query::field;
use xapi::{Struct, Value, Wire};

#[allow(dead_code, reason = "not every test opens a whole pool")]
mod stage;

#[expect(dead_code, reason = "shared with tests that want more of it")]
#[path = "transport/server.rs"]
mod server;

use server::{Act, Server};

/// A server that answers as the function says, and the methods that it was asked for.
async fn pool(
    answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (xapi::Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Server::start(move |request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let call = xml::decode_call(body.as_bytes(), &Limits::default()).unwrap();
        let reply = match &*call.method {
            "session.login_with_password" => Ok("OpaqueRef:session".into()),
            method if method.starts_with("VM.") => {
                log.lock().unwrap().push(call.method.clone());
                answer(method)
            }
            // What a client reads to know which pool it is.
            "pool.get_all_records" => {
                let pool: Struct = [("uuid".into(), "the-pool".into())].into_iter().collect();
                Ok([("OpaqueRef:pool".into(), pool.into())].into_iter().collect::<Struct>().into())
            }
            method if method.ends_with(".get_all_records") => Ok(Struct::new().into()),
            _ => Err(Failure::new("MESSAGE_METHOD_UNKNOWN", [call.method.as_str()])),
        };
        Act::Answer(server::ok("text/xml", &xml::encode_reply(&reply)))
    })
    .await;
    (stage::client_of(&format!("http://{}", server.address), Wire::Xml), asked)
}

#[tokio::test]
async fn a_pool_without_get_all_where_is_asked_for_records() {
    for code in ["MESSAGE_METHOD_UNKNOWN", "RBAC_PERMISSION_DENIED"] {
        let (client, asked) = pool(move |method| match method {
            "VM.get_all_records_where" => {
                let vm: Struct = [("name_label".into(), "web".into())].into_iter().collect();
                let found: Struct = [("OpaqueRef:1".into(), vm.into())].into_iter().collect();
                Ok(found.into())
            }
            _ => Err(Failure::new(code, [method])),
        })
        .await;
        let vms = client.find_class("VM").unwrap();
        let found = vms.all_where(&field("name_label").is("web")).await.unwrap();
        assert_eq!(found, [Ref::new("OpaqueRef:1")], "{code}");
        assert_eq!(*asked.lock().unwrap(), ["VM.get_all_where", "VM.get_all_records_where"], "{code}");
    }
}

#[tokio::test]
async fn other_refusals_and_other_shapes_are_errors() {
    let (client, _) = pool(|method| match method {
        "VM.get_all_where" => Err(Failure::new("INTERNAL_ERROR", ["no room"])),
        "VM.get_by_uuid" => Ok(Value::VOID),
        _ => Ok("hello".into()),
    })
    .await;
    let vms = client.find_class("VM").unwrap();
    let refused = vms.all_where(&field("name_label").is("web")).await.unwrap_err();
    assert!(refused.call().is_some_and(|error| error.is("INTERNAL_ERROR")), "{refused}");
    for error in [
        vms.by_uuid("u").await.map(drop),
        vms.all().await.map(drop),
        vms.all_records().await.map(drop),
        vms.record(&Ref::new("OpaqueRef:1")).await.map(drop),
    ] {
        assert!(matches!(error, Err(FindError::Shape { .. })), "{error:?}");
    }
}
