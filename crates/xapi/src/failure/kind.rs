//! XAPI's common errors by name, with named parameters and what to do about them.

use smol_str::SmolStr;

use super::Failure;

/// A row is `Variant = "CODE" { parameter, ... }`, in the order in which XAPI sends the parameters.
macro_rules! kinds {
    ($($(#[$about:meta])* $variant:ident = $code:literal $({ $($(#[$what:meta])* $parameter:ident,)* })?,)*) => {
        /// XAPI's common errors, with the parameters that they are known to carry. Made by [`Failure::kind`].
        ///
        /// The parameters of an error are no contract: one that the pool left out is the empty text, further ones are in
        /// [`Failure::parameters`].
        ///
        /// ```
        /// use xapi::{Failure, Kind};
        ///
        /// let failure = Failure::new("VM_BAD_POWER_STATE", ["OpaqueRef:1", "Halted", "Running"]);
        /// let Kind::VmBadPowerState { actual, .. } = failure.kind() else { unreachable!() };
        /// assert_eq!(actual, "Running");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Kind<'f> {
            $(
                #[doc = concat!("`", $code, "`: ")]
                $(#[$about])*
                $variant $({ $($(#[$what])* $parameter: &'f str,)* })?,
            )*
            /// A member that is up and not ready to serve, as for some minutes after its start. The password and the session
            /// are not to blame: try again later, or another member. It has one of [`NOT_READY`].
            NotReady,
            /// Any other code. See [`schema::errors`](crate::model::schema::errors) for the names of its parameters.
            Other,
        }

        impl Failure {
            /// Which of the common errors it is.
            #[must_use]
            pub fn kind(&self) -> Kind<'_> {
                let mut parameters = self.parameters.iter().map(SmolStr::as_str);
                match &*self.code {
                    // Fields of a struct are evaluated in the order in which they are written.
                    $($code => Kind::$variant $({ $($parameter: parameters.next().unwrap_or_default(),)* })?,)*
                    code if NOT_READY.contains(&code) => Kind::NotReady,
                    _ => Kind::Other,
                }
            }
        }

        /// Codes with the names of their parameters, for the test against the schema.
        #[cfg(test)]
        const KNOWN: &[(&str, &[&str])] = &[$(($code, &[$($(stringify!($parameter),)*)?]),)*];
    };
}

/// Codes of a member that is up and not ready, most of them of xapi's emergency mode.
pub const NOT_READY: &[&str] = &[
    "HA_HEARTBEAT_DAEMON_STARTUP_FAILED",
    "HA_HOST_CANNOT_ACCESS_STATEFILE",
    "HOST_BROKEN",
    "HOST_HAS_NO_MANAGEMENT_IP",
    "HOST_IN_EMERGENCY_MODE",
    "HOST_ITS_OWN_SLAVE",
    "HOST_MASTER_CANNOT_TALK_BACK",
    "HOST_STILL_BOOTING",
    "HOST_UNKNOWN_TO_MASTER",
    "HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR",
];

kinds! {
    /// the object is gone, or its reference is from before a restored database. Find it anew by uuid.
    HandleInvalid = "HANDLE_INVALID" {
        /// The class, with its case on the wire.
        class,
        /// The reference.
        reference,
    },
    /// there is no object of that class and uuid. Check where the uuid comes from.
    UuidInvalid = "UUID_INVALID" {
        /// The class.
        class,
        /// The uuid.
        uuid,
    },
    /// the VM is in another power state than the call is for. Read it again: somebody may have done it already.
    VmBadPowerState = "VM_BAD_POWER_STATE" {
        /// The VM's reference.
        vm,
        /// The states that the call is for, in lower case on some pools.
        expected,
        /// The state that it has.
        actual,
    },
    /// something else is being done to the object. Wait for that task, then try again.
    OtherOperationInProgress = "OTHER_OPERATION_IN_PROGRESS" {
        /// The class.
        class,
        /// The reference.
        reference,
        /// What is being done, such as `clean_reboot`; told by newer pools.
        operation,
        /// By which task; told by newer pools.
        task,
    },
    /// the state of the object, or a `blocked_operations` entry, forbids it. Not worth a second try as it is.
    OperationNotAllowed = "OPERATION_NOT_ALLOWED" {
        /// Why.
        reason,
    },
    /// the session has ended: it was destroyed, or xapi has restarted. [`Client::call`](crate::Client::call) logs in
    /// again by itself; references stay good, event tokens do not.
    SessionInvalid = "SESSION_INVALID",
    /// name or password are wrong. Have them changed; trying again locks accounts and slows xapi down.
    SessionAuthenticationFailed = "SESSION_AUTHENTICATION_FAILED" {
        /// The account.
        user,
        /// What xapi says of it.
        message,
    },
    /// the account is known and has no role in this pool. Have it given one.
    SessionAuthorizationFailed = "SESSION_AUTHORIZATION_FAILED" {
        /// The account.
        user,
        /// What xapi says of it.
        message,
    },
    /// this member is not the coordinator. [`Client`](crate::Client) follows it once by itself.
    HostIsSlave = "HOST_IS_SLAVE" {
        /// The coordinator's address, IPv6 without brackets.
        coordinator,
    },
    /// the account's role may not do that. Have it given the role that [`Method::role`](crate::model::Method::role) names.
    /// For a role that may not call extensions, an unknown method looks the same.
    RbacPermissionDenied = "RBAC_PERMISSION_DENIED" {
        /// What would be needed, such as `vm.start`.
        permission,
        /// What xapi says of it.
        message,
    },
    /// no host of the pool can run the VM. Free memory, enable a host or attach its storage, then try again.
    NoHostsAvailable = "NO_HOSTS_AVAILABLE",
    /// the host lacks memory for the VM. Choose another host, or free memory.
    HostNotEnoughFreeMemory = "HOST_NOT_ENOUGH_FREE_MEMORY" {
        /// Bytes needed.
        needed,
        /// Bytes available.
        available,
    },
    /// the host takes no VMs. Enable it (`host.enable`), or choose another.
    HostDisabled = "HOST_DISABLED" {
        /// The host's reference.
        host,
    },
    /// the host is not reachable for the coordinator. Wait until it is back, or choose another.
    HostOffline = "HOST_OFFLINE" {
        /// The host's reference.
        host,
    },
    /// the coordinator could not pass the call on. What the host had begun is not known: read the objects again.
    CannotContactHost = "CANNOT_CONTACT_HOST" {
        /// The host's reference.
        host,
    },
    /// somebody cancelled the task. What it had done by then may stay.
    TaskCancelled = "TASK_CANCELLED" {
        /// The task's reference.
        task,
    },
    /// the pool is older or newer than the method, or its name is mistyped.
    MessageMethodUnknown = "MESSAGE_METHOD_UNKNOWN" {
        /// The method.
        method,
    },
    /// the method was removed. [`Method::removed`](field@crate::model::Method::removed) says when.
    MessageRemoved = "MESSAGE_REMOVED",
    /// too few or too many arguments. The counts have the session among them.
    MessageParameterCountMismatch = "MESSAGE_PARAMETER_COUNT_MISMATCH" {
        /// The method.
        method,
        /// How many it takes.
        expected,
        /// How many came.
        received,
    },
    /// an `add_to_` call for a key that is there. Remove the key first; there is no call that does both at once.
    MapDuplicateKey = "MAP_DUPLICATE_KEY" {
        /// The class.
        class,
        /// The field.
        field,
        /// The object.
        object,
        /// The key.
        key,
    },
    /// an argument has a value that makes no sense, or a query does not parse.
    InvalidValue = "INVALID_VALUE" {
        /// The parameter or field.
        field,
        /// The value.
        value,
    },
    /// a mistake within xapi, or an argument of another type than the method takes. Its text is for xapi's developers.
    InternalError = "INTERNAL_ERROR" {
        /// The text.
        message,
    },
    /// the storage repository has no room. Free some, or choose another.
    SrFull = "SR_FULL" {
        /// Bytes requested.
        requested,
        /// Bytes that there are.
        maximum,
    },
    /// the disk is attached or worked on. Detach it or wait.
    VdiInUse = "VDI_IN_USE" {
        /// The disk's reference.
        vdi,
        /// What was wanted of it.
        operation,
    },
    /// the guest lacks the drivers for that. Install them, or take the hard form of the call.
    VmMissingPvDrivers = "VM_MISSING_PV_DRIVERS" {
        /// The VM's reference.
        vm,
    },
    /// the guest does not offer that now: its agent is not up yet, or it never will be. Wait, or take the hard form of the
    /// call.
    VmLacksFeature = "VM_LACKS_FEATURE" {
        /// The VM's reference.
        vm,
    },
    /// the VM is a template, which cannot be run.
    VmIsTemplate = "VM_IS_TEMPLATE" {
        /// The template's reference.
        vm,
    },
    /// it would leave too few hosts for the VMs that high availability protects.
    HaOperationWouldBreakFailoverPlan = "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
    /// the pool is being upgraded host by host. Try again afterwards.
    NotSupportedDuringUpgrade = "NOT_SUPPORTED_DURING_UPGRADE",
    /// the pool's licence lacks that.
    LicenceRestriction = "LICENCE_RESTRICTION" {
        /// The feature.
        feature,
    },
    /// xapi has too much to do. Try again later.
    TooBusy = "TOO_BUSY",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema;

    #[test]
    fn parameters_are_taken_by_name_and_may_be_missing() {
        let failure = Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM", "OpaqueRef:1"]);
        let kind =
            Kind::OtherOperationInProgress { class: "VM", reference: "OpaqueRef:1", operation: "", task: "" };
        assert_eq!(failure.kind(), kind);
        let none: [&str; 0] = [];
        assert_eq!(Failure::new("NO_HOSTS_AVAILABLE", none).kind(), Kind::NoHostsAvailable);
        assert_eq!(Failure::new("HOST_STILL_BOOTING", none).kind(), Kind::NotReady);
        assert_eq!(Failure::new("SR_BACKEND_FAILURE_46", ["", "x"]).kind(), Kind::Other);
    }

    #[test]
    fn every_code_is_of_the_datamodel_and_takes_no_more_than_it_declares() {
        let declared = |code: &str| {
            let found = schema::errors().iter().find(|(known, _)| *known == code);
            found.unwrap_or_else(|| panic!("no error {code}")).1
        };
        for (code, parameters) in KNOWN {
            let count = match *code {
                // Declared without, raised with two.
                "SESSION_AUTHENTICATION_FAILED" => continue,
                // The session's reference is a secret, not a parameter.
                "SESSION_INVALID" => parameters.len() + 1,
                _ => parameters.len(),
            };
            assert_eq!(declared(code).map(<[_]>::len), Some(count), "{code}");
        }
        assert!(NOT_READY.iter().all(|code| declared(code).is_some()));
    }
}
