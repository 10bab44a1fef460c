//! Drives and cards are plugged, pulled, filled and emptied.

use xapi::{NULL_REF, Value};

use crate::client::{self, named, record};

#[tokio::test]
async fn a_disk_is_plugged_into_a_running_vm_and_pulled() {
    let (running, client) = client::fast().await;
    let vm = client.vm("web-1").await;
    let sr = named(&running, "SR", "NFS flash");
    let disk = record([("SR", sr), ("virtual_size", (1i64 << 30).into()), ("type", "user".into())]);
    let vdi = client.ok("VDI.create", &[disk]).await;
    let drive = |vm: &Value| {
        record([
            ("VM", vm.clone()),
            ("VDI", vdi.clone()),
            ("userdevice", "autodetect".into()),
            ("mode", "RW".into()),
            ("type", "Disk".into()),
            ("empty", false.into()),
        ])
    };
    let vbd = client.ok("VBD.create", &[drive(&vm)]).await;
    let one = std::slice::from_ref(&vbd);
    let name = vbd.as_str().unwrap();
    assert_eq!(client.refused("VBD.unplug", one).await, format!("DEVICE_ALREADY_DETACHED [{name}]"));
    client.ok("VBD.plug", one).await;
    assert_eq!(client.field("VBD", &vbd, "currently_attached").await, true.into());
    assert_eq!(client.refused("VBD.plug", one).await, format!("DEVICE_ALREADY_ATTACHED [{name}]"));
    // Who has it keeps it: another VM cannot have it, and it cannot go.
    let other = client.ok("VBD.create", &[drive(&client.vm("web-2").await)]).await;
    let disk = vdi.as_str().unwrap();
    assert_eq!(client.refused("VBD.plug", &[other]).await, format!("VDI_IN_USE [{disk}, plug]"));
    let refused = client.refused("VDI.destroy", std::slice::from_ref(&vdi)).await;
    assert_eq!(refused, format!("VDI_IN_USE [{disk}, destroy]"));
    let refused = client.refused("VBD.destroy", one).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED [VBD '"), "{refused}");
    client.ok("VBD.unplug", one).await;
    client.ok("VBD.destroy", one).await;
    client.ok("VDI.destroy", &[vdi]).await;
    let halted = client.vm("lab").await;
    let vbd = client.field("VM", &halted, "VBDs").await.as_array().unwrap()[0].clone();
    client.ok("VBD.set_unpluggable", &[vbd.clone(), true.into()]).await;
    let refused = client.refused("VBD.plug", &[vbd]).await;
    assert_eq!(refused, format!("VM_BAD_POWER_STATE [{}, running, halted]", halted.as_str().unwrap()));
}

#[tokio::test]
async fn a_cd_is_ejected_and_inserted() {
    let (running, client) = client::fast().await;
    let vm = client.vm("desktop-1").await;
    let mut drive = None;
    for vbd in client.field("VM", &vm, "VBDs").await.as_array().unwrap() {
        if client.field("VBD", vbd, "type").await == "CD".into() {
            drive = Some(vbd.clone());
        }
    }
    let drive = drive.unwrap();
    let name = drive.as_str().unwrap();
    let iso = named(&running, "VDI", "debian-13.1.0-amd64-netinst.iso");
    let refused = client.refused("VBD.insert", &[drive.clone(), iso.clone()]).await;
    assert_eq!(refused, format!("VBD_NOT_EMPTY [{name}]"));
    client.ok("VBD.eject", std::slice::from_ref(&drive)).await;
    assert_eq!(client.field("VBD", &drive, "VDI").await, NULL_REF.into());
    let refused = client.refused("VBD.eject", std::slice::from_ref(&drive)).await;
    assert_eq!(refused, format!("VBD_IS_EMPTY [{name}]"));
    let disk = named(&running, "VDI", "web-1 disk 0");
    let refused = client.refused("VBD.insert", &[drive.clone(), disk]).await;
    assert!(refused.starts_with("VDI_IS_NOT_ISO ["), "{refused}");
    client.ok("VBD.insert", &[drive.clone(), iso.clone()]).await;
    assert_eq!(client.field("VBD", &drive, "VDI").await, iso);
    let refused = client.refused("VBD.unplug", &[drive]).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED [HVM CDROMs"), "{refused}");
    let disk = client.field("VM", &client.vm("web-1").await, "VBDs").await.as_array().unwrap()[0].clone();
    let refused = client.refused("VBD.eject", std::slice::from_ref(&disk)).await;
    assert_eq!(refused, format!("VBD_NOT_REMOVABLE_MEDIA [{}]", disk.as_str().unwrap()));
    let writing = record([
        ("VM", vm),
        ("VDI", NULL_REF.into()),
        ("userdevice", "autodetect".into()),
        ("mode", "RW".into()),
        ("type", "CD".into()),
        ("empty", true.into()),
    ]);
    assert_eq!(client.refused("VBD.create", &[writing]).await, "VBD_CDS_MUST_BE_READONLY");
}

#[tokio::test]
async fn cards_come_and_go_and_move() {
    let (running, client) = client::fast().await;
    let vm = client.vm("web-1").await;
    let free = client.ok("VM.get_allowed_VIF_devices", std::slice::from_ref(&vm)).await;
    assert_eq!(free.as_array().unwrap().len(), 6);
    let tenants = named(&running, "network", "Tenants");
    let card = |mac: &'static str| {
        record([
            ("VM", vm.clone()),
            ("network", tenants.clone()),
            ("device", "1".into()),
            ("MAC", mac.into()),
        ])
    };
    assert_eq!(client.refused("VIF.create", &[card("00:16")]).await, "MAC_INVALID [00:16]");
    let vif = client.ok("VIF.create", &[card("00:16:3e:00:00:01")]).await;
    client.ok("VIF.plug", std::slice::from_ref(&vif)).await;
    let refused = client.refused("VIF.destroy", std::slice::from_ref(&vif)).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED [VIF '"), "{refused}");
    let management = named(&running, "network", "Management");
    client.ok("VIF.move", &[vif.clone(), management.clone()]).await;
    assert_eq!(client.field("VIF", &vif, "network").await, management);
    client.ok("VIF.unplug", std::slice::from_ref(&vif)).await;
    client.ok("VIF.destroy", &[vif]).await;
    let free = client.ok("VM.get_allowed_VBD_devices", &[vm]).await;
    assert_eq!(free.as_array().unwrap().len(), 15);
}
