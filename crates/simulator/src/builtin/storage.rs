//! Where disks lie: a local SR on each host, a shared NFS, a library of ISO images.

use smol_str::SmolStr;
use xapi::Value;

use super::{Builder, GIB, Site, map, set};

/// SRs that VMs use.
pub(super) struct Storage {
    /// One a host, in the order of hosts.
    pub(super) local: Vec<SmolStr>,
    /// One for some hosts each.
    pub(super) shared: Vec<SmolStr>,
    /// An image that is in some drives.
    pub(super) tools: SmolStr,
}

/// What a kind of SR can do.
const FEATURES: &[&str] = &[
    "SR_PROBE",
    "SR_UPDATE",
    "VDI_CREATE",
    "VDI_DELETE",
    "VDI_ATTACH",
    "VDI_DETACH",
    "VDI_CLONE",
    "VDI_SNAPSHOT",
    "VDI_RESIZE",
    "VDI_INTRODUCE",
    "VDI_MIRROR",
    "VDI_UPDATE",
    "VDI_RESET_ON_BOOT",
];
const LIBRARY_FEATURES: &[&str] = &["SR_PROBE", "VDI_ATTACH", "VDI_DETACH"];
const ISOS: &[&str] = &["debian-13.1.0-amd64-netinst.iso", "guest-tools-8.4.iso", "rescue-2026.07.iso"];

impl Builder {
    pub(super) fn storage(&mut self, site: &Site, shared: usize) -> Storage {
        let local = self.local_storage(site);
        let shared: Vec<SmolStr> = (1..=shared)
            .map(|number| {
                let name = if number == 1 { "NFS flash".into() } else { format!("NFS flash {number}") };
                self.sr(&name, "nfs", "user", true, 20_000 * GIB)
            })
            .collect();
        let library = self.sr("ISO library", "iso", "iso", true, 100 * GIB);
        for host in &site.hosts {
            for sr in &shared {
                self.plug(sr, host, &[("server", "10.20.2.5"), ("serverpath", "/export/flash")]);
            }
            self.plug(&library, host, &[("location", "10.20.2.5:/export/iso")]);
        }
        let mut tools = SmolStr::default();
        for name in ISOS {
            let image = self.row(
                "VDI",
                vec![
                    ("name_label", (*name).into()),
                    ("SR", Value::String(library.clone())),
                    ("virtual_size", (700 << 20).into()),
                    ("physical_utilisation", (700 << 20).into()),
                    ("read_only", true.into()),
                    ("location", (*name).into()),
                ],
            );
            if name.starts_with("guest-tools") {
                tools = image;
            }
        }
        let pool = site.pool.clone();
        for field in ["default_SR", "suspend_image_SR", "crash_dump_SR"] {
            self.write("pool", &pool, field, Value::String(shared.first().cloned().unwrap_or_default()));
        }
        Storage { local, shared, tools }
    }

    /// The drivers for storage, and the disks in the hosts themselves.
    pub(super) fn local_storage(&mut self, site: &Site) -> Vec<SmolStr> {
        for kind in ["ext", "nfs", "iso"] {
            self.row(
                "SM",
                vec![
                    ("name_label", kind.to_uppercase().into()),
                    ("type", kind.into()),
                    ("vendor", "simulated".into()),
                    ("version", "1.0".into()),
                    ("capabilities", set(if kind == "iso" { LIBRARY_FEATURES } else { FEATURES })),
                ],
            );
        }
        site.hosts
            .iter()
            .map(|host| {
                let sr = self.sr("Local storage", "ext", "user", false, 2000 * GIB);
                self.plug(&sr, host, &[("device", "/dev/disk/by-id/nvme-simulated-part3")]);
                sr
            })
            .collect()
    }

    fn sr(&mut self, name: &str, kind: &str, content: &str, shared: bool, size: i64) -> SmolStr {
        self.row(
            "SR",
            vec![
                ("name_label", name.into()),
                ("type", kind.into()),
                ("content_type", content.into()),
                ("shared", shared.into()),
                ("physical_size", size.into()),
                ("physical_utilisation", (size / 3).into()),
                ("virtual_allocation", (size / 2).into()),
                ("other_config", map(&[("auto-scan", "false")])),
            ],
        )
    }

    fn plug(&mut self, sr: &SmolStr, host: &SmolStr, config: &[(&'static str, &str)]) {
        self.row(
            "PBD",
            vec![
                ("SR", Value::String(sr.clone())),
                ("host", Value::String(host.clone())),
                ("device_config", map(config)),
                ("currently_attached", true.into()),
            ],
        );
    }
}
