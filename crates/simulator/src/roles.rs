//! Users with roles: who they are, and which calls their role forbids.

use std::fmt;

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::Failure;
use xapi::model::schema::{self, Method, Role};

/// Roles by the names that XAPI gives them, strongest first.
const NAMES: &[(Role, &str)] = &[
    (Role::PoolAdmin, "pool-admin"),
    (Role::PoolOperator, "pool-operator"),
    (Role::VmPowerAdmin, "vm-power-admin"),
    (Role::VmAdmin, "vm-admin"),
    (Role::VmOperator, "vm-operator"),
    (Role::ReadOnly, "read-only"),
];

/// What lets somebody touch tasks of others.
const ANY_TASK: &str = "task.destroy/any";

/// Somebody who may log in beside root.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: SmolStr,
    pub(crate) password: String,
    pub(crate) role: Role,
    /// Tells users apart, as the last part of a directory's identifier does.
    pub(crate) number: usize,
}

impl User {
    /// What a directory would call him; the same whatever his name.
    pub(crate) fn sid(&self) -> SmolStr {
        format_smolstr!("S-1-5-21-1-2-3-{}", 1000 + self.number)
    }
}

/// Shows no password.
impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The role that XAPI calls so; none for other words, and for root alone there is no word.
#[must_use]
pub fn role_named(name: &str) -> Option<Role> {
    NAMES.iter().find(|(_, word)| *word == name).map(|(role, _)| *role)
}

/// The names of all roles, strongest first.
pub fn role_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(_, name)| *name)
}

/// Whether a role may call a method, whose full name is `full`.
pub(crate) fn permit(role: Role, full: &str, method: &Method) -> Result<(), Failure> {
    demand(role, method.role, &full.to_ascii_lowercase())
}

/// Whether a role may touch tasks of others.
pub(crate) fn permit_any_task(role: Role) -> Result<(), Failure> {
    demand(role, Role::PoolOperator, ANY_TASK)
}

/// All that a role may do, as `rbac_permissions` lists it.
pub(crate) fn permissions(role: Role) -> Value {
    let methods = schema::classes().iter().flat_map(|class| {
        let allowed = class.methods.iter().filter(move |method| role >= method.role);
        allowed.map(|method| format!("{}.{}", class.name, method.name).to_ascii_lowercase())
    });
    let any_task = (role >= Role::PoolOperator).then(|| ANY_TASK.to_owned());
    Value::Array(methods.chain(any_task).map(Value::from).collect())
}

fn demand(role: Role, least: Role, permission: &str) -> Result<(), Failure> {
    if role >= least {
        return Ok(());
    }
    let allowed: Vec<&str> = NAMES.iter().filter(|(role, _)| *role >= least).map(|(_, name)| *name).collect();
    let text = format!("No permission in user session. (Roles with this permission: {})", allowed.join(", "));
    Err(Failure::new("RBAC_PERMISSION_DENIED", [permission, &text]))
}
