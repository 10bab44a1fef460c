//! How much room there is, and what each disk takes of it.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::rules::{DiskFacts, RepositoryFacts};
use crate::pool::Pool;

/// What an empty or just branched disk takes where room is given out as it is written, in bytes.
const THIN: i64 = 4 << 20;
/// Sizes of disks are rounded up to this many bytes.
const GRAIN: i64 = 2 << 20;
/// Bytes that a full copy comes forward in a second.
const COPIED_PER_SECOND: f64 = 300.0 * 1024.0 * 1024.0;
/// Kinds of SR that give a disk all its room at once.
const THICK: &[&str] = &["lvm", "lvmoiscsi", "lvmohba", "lvmofcoe", "rawhba"];

impl Pool {
    /// Refuses when no host reaches the SR.
    pub(crate) fn assert_plugged(&self, sr: &str) -> Result<(), Failure> {
        self.known("SR", sr)?;
        if self.is_plugged(sr) { Ok(()) } else { Err(Failure::new("SR_HAS_NO_PBDS", [sr])) }
    }

    /// Refuses when so many bytes do not fit on the SR any more.
    pub(crate) fn assert_room(&self, sr: &str, bytes: i64) -> Result<(), Failure> {
        let size = self.database.int("SR", sr, "physical_size");
        let used = self.database.int("SR", sr, "physical_utilisation");
        if bytes <= size.saturating_sub(used) {
            return Ok(());
        }
        Err(Failure::new("SR_BACKEND_FAILURE_44", ["", "There is insufficient space", ""]))
    }

    /// What a new disk of that size takes at first.
    pub(crate) fn first_use(&self, sr: &str, size: i64) -> i64 {
        if THICK.contains(&self.database.text("SR", sr, "type")) { size } else { THIN.min(size) }
    }

    /// How long it takes to read a whole disk at speed 1.
    pub(crate) fn reading_seconds(&self, vdi: &str) -> f64 {
        // No disk is so large that its size in bytes would lose anything that matters here.
        #[expect(clippy::cast_precision_loss, reason = "a duration needs no more precision")]
        let bytes = self.database.int("VDI", vdi, "physical_utilisation") as f64;
        (bytes / COPIED_PER_SECOND).clamp(1.0, 120.0)
    }

    /// Adds a disk and takes its room.
    pub(crate) fn add_vdi(&mut self, reference: &SmolStr, mut fields: Vec<(&str, Value)>) {
        let uuid = self.random.uuid();
        fields.insert(0, ("uuid", Value::String(uuid.clone())));
        if !fields.iter().any(|(name, _)| *name == "location") {
            fields.push(("location", Value::String(uuid)));
        }
        self.database.create("VDI", reference, fields);
        self.account(reference, 1);
    }

    /// Takes a disk away, with the drives that hold it, and gives its room back.
    pub(crate) fn remove_vdi(&mut self, vdi: &str) {
        self.account(vdi, -1);
        if self.database.text("VDI", vdi, "type") == "suspend" {
            // A suspended VM without its image stays so, and cannot be resumed.
            let sleepers: Vec<SmolStr> = self
                .database
                .table("VM")
                .map(|table| table.with("suspend_VDI", vdi).cloned().collect())
                .unwrap_or_default();
            for vm in sleepers {
                self.database.write("VM", &vm, "suspend_VDI", NULL_REF);
            }
        }
        for vbd in self.database.words("VDI", vdi, "VBDs") {
            self.database.delete("VBD", &vbd);
        }
        self.database.delete("VDI", vdi);
    }

    /// Changes how large a disk is and what it takes.
    pub(super) fn resize_vdi(&mut self, vdi: &str, size: i64) {
        self.account(vdi, -1);
        let sr = SmolStr::new(self.database.text("VDI", vdi, "SR"));
        let used = self.database.int("VDI", vdi, "physical_utilisation").max(self.first_use(&sr, size));
        self.database.write("VDI", vdi, "virtual_size", size);
        self.database.write("VDI", vdi, "physical_utilisation", used);
        self.account(vdi, 1);
    }

    /// Whether some host reaches the SR.
    pub(crate) fn is_plugged(&self, sr: &str) -> bool {
        let pbds = self.database.words("SR", sr, "PBDs");
        pbds.iter().any(|pbd| {
            self.database.truth("PBD", pbd, "currently_attached")
                && self.is_live(self.database.text("PBD", pbd, "host"))
        })
    }

    pub(super) fn disk_facts(&self, vdi: &str) -> DiskFacts {
        let text = |field| self.database.text("VDI", vdi, field);
        let sr = text("SR");
        let vbds = self.database.words("VDI", vdi, "VBDs");
        let pool = self.database.table("pool").and_then(|table| table.rows.keys().next());
        DiskFacts {
            vdi: vdi.into(),
            sr: sr.into(),
            kind: text("type").into(),
            current: self.current("VDI", vdi),
            attached: vbds.iter().any(|vbd| self.database.truth("VBD", vbd, "currently_attached")),
            drive_busy: vbds.iter().find_map(|vbd| self.current("VBD", vbd).first().cloned()),
            plugged: self.is_plugged(sr),
            able: self.abilities(self.database.text("SR", sr, "type")),
            sharable: self.database.truth("VDI", vdi, "sharable"),
            resets: text("on_boot") == "reset",
            physical: self.database.text("SR", sr, "type") == "udev",
            tools: self.database.truth("SR", sr, "is_tools_sr"),
            ha_enabled: pool.is_some_and(|pool| self.database.truth("pool", pool, "ha_enabled")),
        }
    }

    pub(super) fn repository_facts(&self, sr: &str) -> RepositoryFacts {
        let managed = |vdi: &Value| self.database.truth("VDI", vdi.as_str().unwrap_or_default(), "managed");
        let vdis = self.database.value("SR", sr, "VDIs").and_then(Value::as_array).unwrap_or_default();
        RepositoryFacts {
            sr: sr.into(),
            current: self.current("SR", sr),
            plugs: self.database.words("SR", sr, "PBDs").len(),
            plugged: self.is_plugged(sr),
            able: self.abilities(self.database.text("SR", sr, "type")),
            used: vdis.iter().any(managed),
        }
    }

    /// What the driver of a kind of SR can do; none when no driver says anything.
    fn abilities(&self, kind: &str) -> Option<Vec<SmolStr>> {
        let driver = self.database.table("SM")?.with("type", kind).next()?;
        // Newer pools tell versions, too: VDI_RESET_ON_BOOT/2.
        let words = self.database.words("SM", driver, "capabilities").into_iter();
        let words: Vec<SmolStr> =
            words.map(|word| word.split('/').next().map(SmolStr::new).unwrap_or_default()).collect();
        (!words.is_empty()).then_some(words)
    }

    /// Adds what a disk takes to its SR's account, or takes it off.
    fn account(&mut self, vdi: &str, sign: i64) {
        let sr = SmolStr::new(self.database.text("VDI", vdi, "SR"));
        if sr == NULL_REF {
            return;
        }
        for (total, part) in
            [("physical_utilisation", "physical_utilisation"), ("virtual_allocation", "virtual_size")]
        {
            let before = self.database.int("SR", &sr, total);
            let change = self.database.int("VDI", vdi, part).saturating_mul(sign);
            self.database.write("SR", &sr, total, before.saturating_add(change).max(0));
        }
    }
}

/// The size that a disk gets when so much is asked for; `None` for what no disk can have.
pub(super) fn rounded(size: i64) -> Option<i64> {
    if size <= 0 {
        return None;
    }
    size.checked_add(GRAIN - 1).map(|size| size / GRAIN * GRAIN)
}
