//! `VM.provision`: what a template asks for is made, and the template becomes a VM.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use crate::failures;
use crate::pool::Pool;

/// A disk that a template asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    device: SmolStr,
    size: i64,
    /// The uuid of an SR; empty for the pool's default.
    sr: SmolStr,
    bootable: bool,
    kind: SmolStr,
}

impl Pool {
    /// Makes the disks that `other_config` asks for; the VM is no template any more.
    pub(super) fn provision(&mut self, vm: &str) -> Result<(), Failure> {
        let config = self.database.value("VM", vm, "other_config").and_then(Value::as_struct);
        let mut config = config.cloned().unwrap_or_default();
        let wanted = match config.get("disks").and_then(Value::as_str) {
            Some(text) => wanted(text).ok_or_else(|| failures::invalid_value("disks", text))?,
            None => Vec::new(),
        };
        // All or nothing: room and SRs are looked for before the first disk is made.
        let mut places = Vec::with_capacity(wanted.len());
        for disk in &wanted {
            let sr = self.sr_for(&disk.sr)?;
            self.assert_plugged(&sr)?;
            self.assert_room(&sr, disk.size)?;
            places.push(sr);
        }
        for (disk, sr) in wanted.iter().zip(places) {
            self.make_disk(vm, disk, &sr);
        }
        config.remove("disks");
        config.remove("default_template");
        self.database.write("VM", vm, "other_config", Value::Struct(config));
        self.database.write("VM", vm, "is_a_template", false);
        self.database.write("VM", vm, "is_default_template", false);
        Ok(())
    }

    fn sr_for(&self, uuid: &str) -> Result<SmolStr, Failure> {
        if !uuid.is_empty() {
            return self.database.by_uuid("SR", uuid).ok_or_else(|| failures::uuid_invalid("SR", uuid));
        }
        let pool = self.database.table("pool").and_then(|table| table.rows.keys().next());
        let pool = pool.map(SmolStr::as_str).unwrap_or_default();
        let sr = self.database.text("pool", pool, "default_SR");
        match self.database.row("SR", sr) {
            Some(_) => Ok(sr.into()),
            None => Err(Failure::new("DEFAULT_SR_NOT_FOUND", [sr])),
        }
    }

    fn make_disk(&mut self, vm: &str, disk: &Wanted, sr: &SmolStr) {
        let vdi = self.random.reference();
        let name = SmolStr::new(self.database.text("VM", vm, "name_label"));
        self.add_vdi(
            &vdi,
            vec![
                ("name_label", smol_str::format_smolstr!("{name} {}", disk.device).into()),
                ("name_description", "Created by template provisioner".into()),
                ("SR", Value::String(sr.clone())),
                ("virtual_size", disk.size.into()),
                ("physical_utilisation", self.first_use(sr, disk.size).into()),
                ("type", Value::String(disk.kind.clone())),
            ],
        );
        let fields: [(&str, Value); 6] = [
            ("VM", vm.into()),
            ("VDI", Value::String(vdi)),
            ("userdevice", Value::String(disk.device.clone())),
            ("bootable", disk.bootable.into()),
            ("type", "Disk".into()),
            ("mode", "RW".into()),
        ];
        let record: Struct = fields.into_iter().map(|(name, value)| (SmolStr::new(name), value)).collect();
        self.create_device("VBD", &record);
    }
}

/// The disks of a `<provision>` element; `None` when it is none.
fn wanted(text: &str) -> Option<Vec<Wanted>> {
    let mut reader = Reader::from_str(text);
    let mut disks = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Empty(tag) | Event::Start(tag) if tag.name().as_ref() == "disk" => disks.push(disk(&tag)?),
            Event::Eof => return Some(disks),
            _ => {}
        }
    }
}

fn disk(tag: &BytesStart<'_>) -> Option<Wanted> {
    let attribute = |name: &str| {
        let found = tag.try_get_attribute(name).ok().flatten()?;
        Some(SmolStr::new(&found.value))
    };
    let size = attribute("size")?.parse().ok().filter(|size| *size > 0)?;
    Some(Wanted {
        device: attribute("device")?,
        size,
        sr: attribute("sr").filter(|sr| sr != NULL_REF).unwrap_or_default(),
        bootable: attribute("bootable").is_some_and(|text| text == "true"),
        kind: attribute("type").filter(|kind| kind == "system").unwrap_or("user".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_from_the_template() {
        let text = r#"<provision><disk device="0" size="1024" sr="" bootable="true" type="system"/>
            <disk device="1" size="2048" sr="uuid"></disk></provision>"#;
        let disks = wanted(text).unwrap();
        assert_eq!(
            disks,
            [
                Wanted {
                    device: "0".into(),
                    size: 1024,
                    sr: "".into(),
                    bootable: true,
                    kind: "system".into()
                },
                Wanted {
                    device: "1".into(),
                    size: 2048,
                    sr: "uuid".into(),
                    bootable: false,
                    kind: "user".into()
                },
            ]
        );
        for bad in ["<provision><disk device='0'/></provision>", "<disk device='0' size='-1'/>", "<a></b>"] {
            assert_eq!(wanted(bad), None, "{bad}");
        }
    }
}
