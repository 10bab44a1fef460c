//! The VMs: some that must not stop, some that nobody misses, templates, and snapshots of what is dear.

use smol_str::{SmolStr, format_smolstr};
use xapi::{Struct, Value};

use super::storage::Storage;
use super::{Builder, GIB, Site, map, set};

/// VMs of one sort: name, how many, GiB of memory, processors, GiB of each disk, tags, what runs inside.
pub(super) struct Sort(
    &'static str,
    usize,
    i64,
    i64,
    &'static [i64],
    &'static [&'static str],
    &'static Inside,
);

impl Sort {
    pub(super) fn name(&self) -> &'static str {
        self.0
    }

    /// How many of them the small pool has.
    pub(super) fn count(&self) -> usize {
        self.1
    }

    /// What must not stop lies on shared storage, the rest where it is cheap.
    pub(super) fn is_dear(&self) -> bool {
        self.5.contains(&"production") || self.5.contains(&"infrastructure")
    }

    /// Whether there is a drive with the guest tools.
    pub(super) fn has_drive(&self) -> bool {
        self.6.distribution == "windows"
    }
}

/// What a guest agent says of its system.
struct Inside {
    name: &'static str,
    distribution: &'static str,
    kernel: &'static str,
}

const DEBIAN: Inside =
    Inside { name: "Debian GNU/Linux 13 (trixie)", distribution: "debian", kernel: "6.12.43-amd64" };
const ALMA: Inside =
    Inside { name: "AlmaLinux 9.6 (Sage Margay)", distribution: "almalinux", kernel: "5.14.0-570.el9" };
const WINDOWS: Inside =
    Inside { name: "Windows Server 2022 Standard", distribution: "windows", kernel: "10.0.20348" };

/// The disks that a VM made of a shipped template gets.
const TEMPLATE_DISKS: &str =
    r#"<provision><disk device="0" size="10737418240" sr="" bootable="true" type="system"/></provision>"#;

pub(super) const SORTS: &[Sort] = &[
    Sort("web", 6, 4, 2, &[20], &["keepalive", "production", "web"], &DEBIAN),
    Sort("app", 6, 8, 4, &[30], &["production"], &DEBIAN),
    Sort("db", 3, 32, 8, &[40, 500], &["keepalive", "production", "database"], &ALMA),
    Sort("cache", 2, 16, 4, &[20], &["production"], &DEBIAN),
    Sort("queue", 2, 8, 2, &[20, 50], &["production"], &DEBIAN),
    Sort("dns", 2, 1, 1, &[10], &["keepalive", "infrastructure"], &DEBIAN),
    Sort("ldap", 2, 2, 1, &[15], &["keepalive", "infrastructure"], &ALMA),
    Sort("mail", 1, 8, 4, &[30, 1000], &["keepalive", "production"], &DEBIAN),
    Sort("vpn", 1, 2, 2, &[10], &["infrastructure"], &DEBIAN),
    Sort("monitor", 1, 8, 4, &[30, 200], &["infrastructure"], &DEBIAN),
    Sort("logs", 1, 16, 4, &[30, 800], &["infrastructure"], &ALMA),
    Sort("git", 1, 8, 4, &[30, 300], &["development"], &DEBIAN),
    Sort("wiki", 1, 2, 1, &[20], &[], &DEBIAN),
    Sort("backup", 1, 4, 2, &[20, 2000], &["infrastructure"], &ALMA),
    Sort("crm-legacy", 1, 8, 2, &[60], &[], &WINDOWS),
    Sort("desktop", 4, 8, 4, &[80], &["office"], &WINDOWS),
    Sort("build", 4, 8, 8, &[60], &["development"], &DEBIAN),
    Sort("lab", 1, 4, 2, &[20], &["development"], &ALMA),
];

/// VMs that do not run.
const STATES: &[(&str, &str)] = &[
    ("wiki", "Paused"),
    ("backup", "Halted"),
    ("crm-legacy", "Halted"),
    ("desktop-3", "Suspended"),
    ("desktop-4", "Halted"),
    ("build-3", "Halted"),
    ("build-4", "Halted"),
    ("lab", "Halted"),
];

impl Builder {
    pub(super) fn machines(&mut self, site: &Site, storage: &Storage) {
        let mut address = 20;
        for sort in SORTS {
            for number in 1..=sort.1 {
                let name = if sort.1 == 1 { sort.0.into() } else { format_smolstr!("{}-{number}", sort.0) };
                let place = address % site.hosts.len().max(1);
                let (Some(host), Some(local)) = (site.hosts.get(place), storage.local.get(place)) else {
                    continue;
                };
                let state = STATES.iter().find(|(of, _)| *of == name).map_or("Running", |(_, state)| state);
                let sr = if sort.is_dear() { storage.shared.first().unwrap_or(local) } else { local };
                let vm = self.vm(&name, sort, sr, host);
                self.card(&vm, "0", site.networks.get(1));
                self.inhabit(&vm, sort, address);
                self.pool.settle_in(&vm, host, state);
                self.age(&vm, 2 + i64::try_from(address).unwrap_or_default());
                if sort.has_drive() {
                    self.drive(&vm, storage);
                }
                if name == "db-1" {
                    for snapshot in ["db-1 before upgrade", "db-1 nightly"] {
                        self.pool.snapshot_at_once(&vm, &snapshot.into());
                    }
                }
                address += 1;
            }
        }
    }

    /// What new VMs are made of.
    pub(super) fn templates(&mut self) {
        for (name, inside) in
            [("Debian 13", &DEBIAN), ("AlmaLinux 9", &ALMA), ("Windows Server 2022", &WINDOWS)]
        {
            self.template(name, inside, true);
        }
        self.template("golden-web", &DEBIAN, false);
    }

    /// Puts a system into a VM, which will say so when it runs.
    pub(super) fn inhabit(&mut self, vm: &SmolStr, sort: &Sort, address: usize) {
        self.pool.remember_guest(vm, guest(sort.6, address));
    }

    pub(super) fn vm(&mut self, name: &SmolStr, sort: &Sort, sr: &SmolStr, host: &SmolStr) -> SmolStr {
        let Sort(_, _, memory, processors, disks, tags, _) = sort;
        let fields = self.hardware(memory * GIB, *processors);
        let vm = self.row("VM", fields);
        self.pool.metrics_of(&vm);
        for (field, value) in [
            ("name_label", Value::String(name.clone())),
            ("tags", set(tags)),
            ("affinity", Value::String(host.clone())),
        ] {
            self.write("VM", &vm, field, value);
        }
        for (index, gib) in disks.iter().enumerate() {
            let disk = self.row(
                "VDI",
                vec![
                    ("name_label", format_smolstr!("{name} disk {index}").into()),
                    ("SR", Value::String(sr.clone())),
                    ("virtual_size", (gib * GIB).into()),
                    ("physical_utilisation", (gib * GIB / 3).into()),
                    ("sm_config", map(&[("image-format", "vhd")])),
                ],
            );
            let location = SmolStr::new(self.pool.database.text("VDI", &disk, "uuid"));
            self.write("VDI", &disk, "location", Value::String(location));
            self.row(
                "VBD",
                vec![
                    ("VM", Value::String(vm.clone())),
                    ("VDI", Value::String(disk)),
                    ("userdevice", format_smolstr!("{index}").into()),
                    ("device", format_smolstr!("xvd{}", ["a", "b", "c"].get(index).unwrap_or(&"e")).into()),
                    ("bootable", (index == 0).into()),
                    ("unpluggable", (index != 0).into()),
                ],
            );
        }
        vm
    }

    fn hardware(&mut self, memory: i64, processors: i64) -> Vec<(&'static str, Value)> {
        let seed = self.pool.random.uuid();
        vec![
            ("user_version", 1i64.into()),
            ("memory_overhead", (4 << 20).into()),
            ("memory_target", memory.into()),
            ("memory_static_max", memory.into()),
            ("memory_dynamic_max", memory.into()),
            ("memory_dynamic_min", memory.into()),
            ("VCPUs_max", processors.into()),
            ("VCPUs_at_startup", processors.into()),
            ("domain_type", "hvm".into()),
            ("actions_after_crash", "restart".into()),
            ("HVM_boot_policy", "BIOS order".into()),
            ("HVM_boot_params", map(&[("order", "cdn"), ("firmware", "uefi")])),
            (
                "platform",
                map(&[
                    ("apic", "true"),
                    ("pae", "true"),
                    ("acpi", "1"),
                    ("viridian", "true"),
                    ("nx", "true"),
                ]),
            ),
            ("other_config", map(&[("mac_seed", &seed), ("base_template_name", "Other install media")])),
            ("hardware_platform_version", 2i64.into()),
        ]
    }

    pub(super) fn card(&mut self, vm: &SmolStr, device: &str, network: Option<&SmolStr>) {
        let mac = self.pool.random.mac();
        self.row(
            "VIF",
            vec![
                ("VM", Value::String(vm.clone())),
                ("network", Value::String(network.cloned().unwrap_or_default())),
                ("device", device.into()),
                ("MAC", Value::String(mac)),
                ("MAC_autogenerated", true.into()),
                ("MTU", 1500i64.into()),
            ],
        );
    }

    pub(super) fn drive(&mut self, vm: &SmolStr, storage: &Storage) {
        let running = self.pool.database.text("VM", vm, "power_state") == "Running";
        self.row(
            "VBD",
            vec![
                ("VM", Value::String(vm.clone())),
                ("VDI", Value::String(storage.tools.clone())),
                ("userdevice", "3".into()),
                ("device", "xvdd".into()),
                ("type", "CD".into()),
                ("mode", "RO".into()),
                ("unpluggable", true.into()),
                ("currently_attached", running.into()),
            ],
        );
    }

    /// The VM was installed and started some days ago.
    pub(super) fn age(&mut self, vm: &SmolStr, days: i64) {
        let metrics = SmolStr::new(self.pool.database.text("VM", vm, "metrics"));
        let started = Value::DateTime(self.pool.clock.date_before(days * 86_400));
        let installed = Value::DateTime(self.pool.clock.date_before((days + 300) * 86_400));
        self.write("VM_metrics", &metrics, "install_time", installed);
        if self.pool.database.text("VM", vm, "power_state") != "Halted" {
            self.write("VM_metrics", &metrics, "start_time", started);
        }
    }

    fn template(&mut self, name: &str, inside: &Inside, shipped: bool) {
        let fields = self.hardware(2 * GIB, 2);
        let template = self.row("VM", fields);
        self.pool.metrics_of(&template);
        let config = if shipped {
            map(&[("default_template", "true"), ("install-methods", "cdrom,http"), ("disks", TEMPLATE_DISKS)])
        } else {
            map(&[])
        };
        for (field, value) in [
            ("name_label", name.into()),
            ("name_description", format!("Makes a VM with {}", inside.name).into()),
            ("is_a_template", true.into()),
            ("is_default_template", shipped.into()),
            ("other_config", config),
        ] {
            self.write("VM", &template, field, value);
        }
    }
}

/// What a guest agent says.
fn guest(inside: &Inside, address: usize) -> Struct {
    let (block, rest) = (address / 62_500, address % 62_500);
    let ip = format!("10.{}.{}.{}", 20 + block, 1 + rest / 250, rest % 250);
    [
        (
            "os_version",
            map(&[("name", inside.name), ("distro", inside.distribution), ("uname", inside.kernel)]),
        ),
        ("networks", map(&[("0/ip", &ip), ("0/ipv4/0", &ip)])),
        ("PV_drivers_version", map(&[("major", "8"), ("minor", "4"), ("micro", "0"), ("build", "9")])),
        ("PV_drivers_up_to_date", true.into()),
        ("PV_drivers_detected", true.into()),
        (
            "other",
            map(&[
                ("feature-shutdown", "1"),
                ("feature-reboot", "1"),
                ("feature-suspend", "1"),
                ("feature-balloon", "1"),
            ]),
        ),
        ("can_use_hotplug_vbd", "yes".into()),
        ("can_use_hotplug_vif", "yes".into()),
    ]
    .into_iter()
    .map(|(name, value)| (SmolStr::new_static(name), value))
    .collect()
}
