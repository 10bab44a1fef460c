//! Users with roles: who they are, and which calls their role forbids.

use std::fmt;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::model::schema::{Method, Role};

/// Roles by the names that XAPI gives them, strongest first.
const NAMES: &[(Role, &str)] = &[
    (Role::PoolAdmin, "pool-admin"),
    (Role::PoolOperator, "pool-operator"),
    (Role::VmPowerAdmin, "vm-power-admin"),
    (Role::VmAdmin, "vm-admin"),
    (Role::VmOperator, "vm-operator"),
    (Role::ReadOnly, "read-only"),
];

/// Somebody who may log in beside root.
pub(crate) struct User {
    pub(crate) name: SmolStr,
    pub(crate) password: String,
    pub(crate) role: Role,
}

/// Shows no password.
impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Whether a role may call a method, whose full name is `full`.
pub(crate) fn permit(role: Role, full: &str, method: &Method) -> Result<(), Failure> {
    if role >= method.role {
        return Ok(());
    }
    let allowed: Vec<&str> =
        NAMES.iter().filter(|(role, _)| *role >= method.role).map(|(_, name)| *name).collect();
    let text = format!("No permission in user session. (Roles with this permission: {})", allowed.join(", "));
    Err(Failure::new("RBAC_PERMISSION_DENIED", [full.to_ascii_lowercase(), text]))
}
