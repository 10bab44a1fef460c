//! Users with roles: what theirs allows is done, the rest is refused as XAPI words it.

use simulator::PoolHandle;
use xapi::Value;
use xapi::model::schema::Role;

use crate::client::{self, Client, SOON};

#[tokio::test]
async fn a_role_allows_some_calls_and_refuses_others() {
    let (running, root) = client::fast().await;
    running.pool().add_user("watcher", "looks", Role::ReadOnly);
    running.pool().add_user("operator", "starts", Role::VmOperator);
    let address = format!("http://{}", running.http_address().unwrap());
    let mut watcher = Client::new(client::plain(), address.clone());
    let mut operator = Client::new(client::plain(), address);
    let wrong = watcher.log_in("watcher", "starts").await.unwrap_err();
    assert_eq!(wrong.code, "SESSION_AUTHENTICATION_FAILED");
    watcher.log_in("watcher", "looks").await.unwrap();
    operator.log_in("operator", "starts").await.unwrap();

    let vm = Value::String(running.pool().find_vm("lab").unwrap());
    let start = [vm.clone(), false.into(), false.into()];
    assert_eq!(watcher.field("VM", &vm, "power_state").await, "Halted".into());
    let refused = watcher.call("VM.start", &start).await.unwrap_err();
    assert_eq!(refused.code, "RBAC_PERMISSION_DENIED");
    assert_eq!(refused.parameters[0], "vm.start");
    assert_eq!(
        refused.parameters[1],
        "No permission in user session. (Roles with this permission: pool-admin, pool-operator, \
         vm-power-admin, vm-admin, vm-operator)"
    );
    // An asynchronous call has its task even so, and the task fails.
    let task = watcher.ok("Async.VM.start", &start).await;
    let failed = |pool: &PoolHandle| pool.records("task").iter().any(|task| task.text("status") == "failure");
    assert!(running.pool().wait_until(SOON, failed).await);
    let told = watcher.field("task", &task, "error_info").await;
    assert_eq!(told.as_array().unwrap()[0], "RBAC_PERMISSION_DENIED".into());
    assert_eq!(told.as_array().unwrap()[1], "vm.start".into());
    // What nobody knows might be an extension, and those are for stronger roles.
    let refused = watcher.call("VM.no_such", std::slice::from_ref(&vm)).await.unwrap_err();
    assert_eq!(refused.parameters[0], "host.call_extension");
    assert_eq!(
        root.refused("VM.no_such", std::slice::from_ref(&vm)).await,
        "MESSAGE_METHOD_UNKNOWN [VM.no_such]"
    );
    operator.ok("VM.start", &start).await;
    assert_eq!(operator.call("VM.destroy", &[vm]).await.unwrap_err().code, "RBAC_PERMISSION_DENIED");
    watcher.events(&["pool"], "").await;
    watcher.ok("session.logout", &[]).await;
    assert!(watcher.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"));
    root.ok("VM.get_all", &[]).await;
}
