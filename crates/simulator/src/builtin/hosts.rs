//! The pool's own row, its hosts with processors and network cards, and the networks between them.

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;

use super::{Builder, GIB, Site, map, set};

/// What a control domain takes of it.
const DOM0_MEMORY: i64 = 8 * GIB;
const PROCESSORS: i64 = 16;

/// Name, bridge, device and first three numbers of the addresses.
const NETWORKS: &[(&str, &str, &str, &str)] = &[
    ("Management", "xenbr0", "eth0", "10.20.0"),
    ("Tenants", "xenbr1", "eth1", "10.20.1"),
    ("Storage", "xenbr2", "eth2", "10.20.2"),
];
const CAPABILITIES: &[&str] = &["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"];

impl Builder {
    /// The pool's row and its hosts, each with a name, an address and so much memory.
    pub(super) fn hosts(&mut self, name: &str, named: &[(SmolStr, SmolStr)], memory: i64) -> Site {
        let networks =
            NETWORKS.iter().map(|(name, bridge, device, _)| self.network(name, bridge, device)).collect();
        let hosts: Vec<SmolStr> = named
            .iter()
            .enumerate()
            .map(|(index, (name, address))| self.host(index, name, address, memory))
            .collect();
        let count = |each: i64| format!("{}", i64::try_from(named.len()).unwrap_or_default() * each);
        let site_hosts = hosts.clone();
        let master = hosts.first().cloned().unwrap_or_default();
        let pool = self.row(
            "pool",
            vec![
                ("name_label", name.into()),
                ("name_description", "A made-up pool".into()),
                ("master", Value::String(master)),
                ("ha_cluster_stack", "xhad".into()),
                ("tls_verification_enabled", true.into()),
                ("other_config", map(&[("memory-ratio-hvm", "0.25"), ("memory-ratio-pv", "0.25")])),
                (
                    "cpu_info",
                    map(&[
                        ("vendor", "GenuineIntel"),
                        ("cpu_count", &count(PROCESSORS)),
                        ("socket_count", &count(2)),
                    ]),
                ),
            ],
        );
        let site = Site { pool, hosts: site_hosts, networks };
        for (index, host) in hosts.iter().enumerate() {
            self.cards(index, host, &site);
        }
        site
    }

    fn network(&mut self, name: &str, bridge: &str, device: &str) -> SmolStr {
        let description = format!("Pool-wide network on {device}");
        self.row(
            "network",
            vec![
                ("name_label", name.into()),
                ("name_description", description.into()),
                ("bridge", bridge.into()),
            ],
        )
    }

    fn host(&mut self, index: usize, name: &str, address: &str, memory: i64) -> SmolStr {
        let date = self.pool.clock.date();
        let metrics = self.row(
            "host_metrics",
            vec![
                ("memory_total", memory.into()),
                ("memory_free", (memory - DOM0_MEMORY).into()),
                ("live", true.into()),
                ("last_updated", date),
            ],
        );
        let version = map(&[
            ("product_brand", "XCP-ng"),
            ("product_version", "8.3.0"),
            ("platform_version", "3.4.0"),
            ("xapi", "26.17"),
            ("xen", "4.17.5"),
            ("linux", "4.19.0+1"),
            ("db_schema", xapi::model::schema::DATABASE_SCHEMA),
            ("hostname", name),
        ]);
        let host = self.row(
            "host",
            vec![
                ("name_label", name.into()),
                ("name_description", "A host that is not there".into()),
                ("hostname", name.into()),
                ("address", address.into()),
                ("enabled", true.into()),
                ("metrics", Value::String(metrics)),
                ("API_version_major", 2i64.into()),
                ("API_version_minor", 23i64.into()),
                ("API_version_vendor", "XenSource".into()),
                ("software_version", version),
                ("capabilities", set(CAPABILITIES)),
                ("sched_policy", "credit".into()),
                ("supported_bootloaders", set(&["pygrub", "eliloader"])),
                ("edition", "xcp-ng".into()),
                ("cpu_info", map(&[("vendor", "GenuineIntel"), ("cpu_count", "16"), ("socket_count", "2")])),
                ("virtual_hardware_platform_versions", Value::Array((0..3).map(Value::Int).collect())),
                ("tls_verification_enabled", true.into()),
                ("https_only", true.into()),
            ],
        );
        for number in 0..PROCESSORS {
            self.row(
                "host_cpu",
                vec![
                    ("host", Value::String(host.clone())),
                    ("number", number.into()),
                    ("vendor", "GenuineIntel".into()),
                    ("speed", 2600i64.into()),
                    ("modelname", "Intel(R) Xeon(R) CPU".into()),
                    ("family", 6i64.into()),
                    ("model", 85i64.into()),
                ],
            );
        }
        self.control_domain(index, name, &host);
        host
    }

    fn control_domain(&mut self, index: usize, name: &str, host: &SmolStr) {
        let metrics = self.row(
            "VM_metrics",
            vec![
                ("memory_actual", DOM0_MEMORY.into()),
                ("VCPUs_number", 8i64.into()),
                ("state", set(&["running"])),
            ],
        );
        let memory = || Value::Int(DOM0_MEMORY);
        let domain = self.row(
            "VM",
            vec![
                ("name_label", format_smolstr!("Control domain on host: {name}").into()),
                (
                    "name_description",
                    "The domain which manages physical devices and manages other domains".into(),
                ),
                ("is_control_domain", true.into()),
                ("power_state", "Running".into()),
                ("resident_on", Value::String(host.clone())),
                ("affinity", Value::String(host.clone())),
                ("domid", 0i64.into()),
                ("domain_type", "pv".into()),
                ("memory_target", memory()),
                ("memory_static_max", memory()),
                ("memory_dynamic_max", memory()),
                ("memory_dynamic_min", memory()),
                ("memory_static_min", memory()),
                ("VCPUs_max", 8i64.into()),
                ("VCPUs_at_startup", 8i64.into()),
                ("metrics", Value::String(metrics)),
                ("order", i64::try_from(index).unwrap_or_default().into()),
            ],
        );
        self.write("host", host, "control_domain", Value::String(domain));
    }

    fn cards(&mut self, index: usize, host: &SmolStr, site: &Site) {
        for ((_, _, device, net), network) in NETWORKS.iter().zip(&site.networks) {
            let metrics = self.row(
                "PIF_metrics",
                vec![
                    ("carrier", true.into()),
                    ("speed", 10_000i64.into()),
                    ("duplex", true.into()),
                    ("device_name", "Ethernet Controller X710".into()),
                ],
            );
            let mac = self.pool.random.mac();
            let management = *device == "eth0";
            self.row(
                "PIF",
                vec![
                    ("device", (*device).into()),
                    ("network", Value::String(network.clone())),
                    ("host", Value::String(host.clone())),
                    ("MAC", Value::String(mac)),
                    ("MTU", 1500i64.into()),
                    ("VLAN", (-1i64).into()),
                    ("metrics", Value::String(metrics)),
                    ("physical", true.into()),
                    ("currently_attached", true.into()),
                    ("management", management.into()),
                    ("ip_configuration_mode", if *device == "eth1" { "None" } else { "Static" }.into()),
                    ("IP", if *device == "eth1" { String::new() } else { address(net, index) }.into()),
                    ("netmask", if *device == "eth1" { "" } else { "255.255.255.0" }.into()),
                ],
            );
        }
    }
}

/// Hosts that a block of addresses has room for.
const ADDRESSES: usize = 240;

/// A host's address on a net that is named by three numbers; hosts beyond a block are in the next one.
pub(super) fn address(net: &str, index: usize) -> String {
    let (block, last) = (index / ADDRESSES, 11 + index % ADDRESSES);
    let third = net.rsplit('.').next().unwrap_or_default();
    format!("10.{}.{third}.{last}", 20 + block)
}
