//! What a host is asked before it may join, in xapi's order: of itself, and of the pool that it looks at.

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::Failure;
use xapi::model::Record;

use crate::failures::{self, bare};
use crate::pool::Pool;

/// The pool that is to be joined, as far as its door tells.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) pool: Record,
    /// Its coordinator, a host.
    pub(crate) coordinator: Record,
    /// The coordinator's management card, if it has one.
    pub(crate) management: Option<Record>,
    pub(crate) hosts: Vec<Record>,
    pub(crate) networks: Vec<Record>,
}

/// One side of the comparison.
struct Joiner<'p> {
    pool: &'p Pool,
    row: Record,
    host: Record,
    management: Record,
}

/// Refuses a join that xapi refuses. `force` leaves out what `pool.join_force` leaves out.
pub(crate) fn assert(pool: &Pool, target: &Target, force: bool) -> Result<(), Failure> {
    let joiner = Joiner::of(pool)?;
    if [&joiner.row, &target.pool].into_iter().any(|row| truth(row, "ha_enabled")) {
        return Err(bare("HA_IS_ENABLED"));
    }
    joiner.assert_another(target)?;
    joiner.assert_free()?;
    joiner.assert_compatible(target)?;
    if !force {
        joiner.assert_homogeneous(target)?;
    }
    joiner.assert_own_only()?;
    joiner.assert_same_management(target)?;
    joiner.assert_same_users(target)?;
    joiner.assert_same_edition(target)?;
    joiner.assert_same_release(target)?;
    joiner.assert_same_addresses(target)?;
    if truth(&joiner.row, "tls_verification_enabled") != truth(&target.pool, "tls_verification_enabled") {
        return Err(bare("POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH"));
    }
    Ok(())
}

impl<'p> Joiner<'p> {
    fn of(pool: &'p Pool) -> Result<Self, Failure> {
        let record = |class: &str, reference: &SmolStr| {
            let fields = pool.database.record(class, reference)?;
            Some(Record::new(class, reference.clone(), fields))
        };
        let host = pool.coordinator();
        let pifs = pool.database.words("host", &host, "PIFs");
        let management = pifs.iter().find(|pif| pool.database.truth("PIF", pif, "management"));
        let joiner = || {
            let (row, host) = (record("pool", &pool.pool_row())?, record("host", &host)?);
            Some(Joiner { pool, row, host, management: record("PIF", management?)? })
        };
        // What has no management card yet is taken for a host that has not booted to its end.
        joiner().ok_or_else(|| bare("HOST_STILL_BOOTING"))
    }

    fn records(&self, class: &str) -> impl Iterator<Item = &SmolStr> {
        self.pool.database.table(class).into_iter().flat_map(|table| table.rows.keys())
    }

    fn assert_another(&self, target: &Target) -> Result<(), Failure> {
        let many = self.records("host").nth(1).is_some();
        if self.host.text("uuid") == target.coordinator.text("uuid") {
            let known =
                if many { "Host is already part of a pool" } else { "Host cannot become slave of itself" };
            return Err(failures::not_allowed(known));
        }
        if many { Err(bare("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS")) } else { Ok(()) }
    }

    /// Nothing runs here, and nothing is under way.
    fn assert_free(&self) -> Result<(), Failure> {
        let database = &self.pool.database;
        let runs = |vm: &&SmolStr| {
            database.text("VM", vm, "power_state") == "Running"
                && !database.truth("VM", vm, "is_control_domain")
        };
        if self.records("VM").any(|vm| runs(&vm)) {
            return Err(bare("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS"));
        }
        if self.records("VM").any(|vm| !self.pool.current("VM", vm).is_empty()) {
            return Err(bare("JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS"));
        }
        Ok(())
    }

    fn assert_compatible(&self, target: &Target) -> Result<(), Failure> {
        let [here, there] =
            [&self.host, &target.coordinator].map(|host| (version(host, "platform_version"), brand(host)));
        if here == there { Ok(()) } else { Err(bare("HOSTS_NOT_COMPATIBLE")) }
    }

    fn assert_homogeneous(&self, target: &Target) -> Result<(), Failure> {
        let differ = |what: &str| Err(Failure::new("HOSTS_NOT_HOMOGENEOUS", [what]));
        let software = |host: &Record| {
            let pack = version(host, "xs:linux").is_some();
            (version(host, "platform_version"), brand(host), version(host, "git_id"), pack)
        };
        if software(&self.host) != software(&target.coordinator) {
            return differ("Software version differs");
        }
        if member(&self.host, "cpu_info", "vendor") != member(&target.pool, "cpu_info", "vendor") {
            return differ("CPUs differ");
        }
        Ok(())
    }

    /// All that is here is the host's alone, and plain.
    fn assert_own_only(&self) -> Result<(), Failure> {
        let database = &self.pool.database;
        let shared =
            |sr: &SmolStr| database.truth("SR", sr, "shared") && !database.truth("SR", sr, "is_tools_sr");
        if self.records("SR").any(shared) {
            return Err(bare("JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"));
        }
        if self.records("Bond").next().is_some() {
            return Err(bare("POOL_JOINING_HOST_HAS_BONDS"));
        }
        if self.records("tunnel").next().is_some() {
            return Err(bare("POOL_JOINING_HOST_HAS_TUNNELS"));
        }
        let of_management =
            |vlan: &SmolStr| database.truth("PIF", database.text("VLAN", vlan, "untagged_PIF"), "management");
        if !self.records("VLAN").all(of_management) {
            return Err(bare("POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS"));
        }
        Ok(())
    }

    fn assert_same_management(&self, target: &Target) -> Result<(), Failure> {
        let there = target.management.as_ref().map_or(-1, |pif| number(pif, "VLAN"));
        let here = number(&self.management, "VLAN");
        if here == there {
            return Ok(());
        }
        let tags = [here, there].map(|tag| format_smolstr!("{tag}"));
        Err(Failure::new("POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH", tags))
    }

    fn assert_same_users(&self, target: &Target) -> Result<(), Failure> {
        let directory = |host: &Record| {
            ["external_auth_type", "external_auth_service_name"].map(|field| host.text(field).to_owned())
        };
        if directory(&self.host) == directory(&target.coordinator) {
            return Ok(());
        }
        Err(bare("POOL_JOINING_EXTERNAL_AUTH_MISMATCH"))
    }

    fn assert_same_edition(&self, target: &Target) -> Result<(), Failure> {
        let here = self.host.text("edition");
        match target.hosts.iter().map(|host| host.text("edition")).find(|there| *there != here) {
            None => Ok(()),
            Some(there) => {
                let told = [format!("host edition = \"{here}\""), format!("pool edition = \"{there}\"")];
                Err(Failure::new("LICENSE_HOST_POOL_MISMATCH", told))
            }
        }
    }

    fn assert_same_release(&self, target: &Target) -> Result<(), Failure> {
        let backend = |host: &Record| version(host, "network_backend").unwrap_or_else(|| "bridge".into());
        if backend(&self.host) != backend(&target.coordinator) {
            return Err(failures::not_allowed("Network backends differ"));
        }
        let api = |host: &Record| {
            let [major, minor] = ["API_version_major", "API_version_minor"].map(|field| number(host, field));
            format_smolstr!("{major}.{minor}")
        };
        let schema = |host: &Record| version(host, "db_schema").unwrap_or_default();
        for (code, words) in [
            ("POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION", [api(&self.host), api(&target.coordinator)]),
            ("POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA", [schema(&self.host), schema(&target.coordinator)]),
        ] {
            if words[0] != words[1] {
                return Err(Failure::new(code, words));
            }
        }
        Ok(())
    }

    fn assert_same_addresses(&self, target: &Target) -> Result<(), Failure> {
        let there = target.management.as_ref().map(|pif| pif.text("primary_address_type"));
        if there.is_some_and(|there| there != self.management.text("primary_address_type")) {
            return Err(failures::not_allowed("Primary address type differs"));
        }
        let purposes = |networks: &mut dyn Iterator<Item = Vec<SmolStr>>| {
            networks.flatten().find(|purpose| purpose == "nbd" || purpose == "insecure_nbd")
        };
        let mut here =
            self.records("network").map(|network| self.pool.database.words("network", network, "purpose"));
        let words = |network: &Record| {
            let set = network.get("purpose").and_then(Value::as_array).unwrap_or_default();
            set.iter().filter_map(Value::as_str).map(SmolStr::new).collect::<Vec<_>>()
        };
        let (here, there) = (purposes(&mut here), purposes(&mut target.networks.iter().map(words)));
        if here.is_some() && there.is_some() && here != there {
            return Err(failures::not_allowed("Incompatible network purposes: nbd and insecure_nbd"));
        }
        Ok(())
    }
}

fn truth(record: &Record, field: &str) -> bool {
    record.get(field).and_then(Value::as_bool).unwrap_or_default()
}

fn number(record: &Record, field: &str) -> i64 {
    record.get(field).and_then(Value::as_int).unwrap_or_default()
}

fn member(record: &Record, field: &str, key: &str) -> Option<SmolStr> {
    record.get(field)?.as_struct()?.get(key)?.as_str().map(SmolStr::new)
}

fn version(host: &Record, key: &str) -> Option<SmolStr> {
    member(host, "software_version", key)
}

/// What tells the products apart that are made of the same parts.
fn brand(host: &Record) -> Option<SmolStr> {
    version(host, "product_brand").or_else(|| version(host, "platform_name"))
}
