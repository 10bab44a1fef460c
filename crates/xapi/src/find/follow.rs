//! Fetching what lies on a path, level by level, without a call per object where there are many.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{FindError, Finder};
use crate::client::Client;
use crate::model::path::{Path, Step};
use crate::model::{Record, Ref, World, schema};
use crate::query::field;

/// So many objects are still read one by one: a whole class may be far larger.
const FEW: usize = 16;
/// So many objects are still named in a query: it stays far below the bound on a request's size.
const OWNERS_MAX: usize = 64;
/// How many calls for single objects are on their way at once.
const AT_ONCE: usize = 4;

impl Client {
    /// Fetches the objects on a path, those of all its steps, for [`Path::chains`] and [`Path::reached`]. The starts are not
    /// among them.
    ///
    /// Few objects of a step are read one by one, more by one query for what belongs to the objects of the step before,
    /// where the object model has that, and otherwise by reading their whole class. Objects that are gone are left out.
    ///
    /// # Errors
    /// Those of [`FindError`].
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::Path;
    /// use xapi::query::field;
    ///
    /// let vms = client.find_class("VM")?;
    /// let path = Path::parse(vms.class(), "VBDs.VDI.SR")?;
    /// let running = vms.records_where(&field("power_state").is("Running")).await?;
    /// let fetched = client.follow(&running, &path).await?;
    /// for vm in &running {
    ///     for sr in path.reached([vm], |class, reference| fetched.get(class, reference).cloned())? {
    ///         println!("{} has disks on {}", vm.text("name_label"), sr.text("name_label"));
    ///     }
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn follow(&self, starts: &[Arc<Record>], path: &Path) -> Result<World, FindError> {
        let mut world = World::new();
        let mut level = starts.to_vec();
        for step in path.steps() {
            let mut wanted = Vec::new();
            let mut seen = HashSet::new();
            for record in &level {
                let references = step.references(record).map_err(|source| FindError::Field { source })?;
                wanted.extend(references.into_iter().filter(|reference| seen.insert(reference.clone())));
            }
            let missing: Vec<Ref> = wanted
                .iter()
                .filter(|reference| world.get(step.to.name, reference.as_str()).is_none())
                .cloned()
                .collect();
            for record in self.fetch(step, &level, missing).await? {
                world.insert(record);
            }
            level = wanted
                .iter()
                .filter_map(|reference| world.get(step.to.name, reference.as_str()).cloned())
                .collect();
        }
        Ok(world)
    }

    /// The objects of these references, which a step from `owners` led to.
    async fn fetch(
        &self,
        step: &Step,
        owners: &[Arc<Record>],
        references: Vec<Ref>,
    ) -> Result<Vec<Arc<Record>>, FindError> {
        let finder = self.find_class(step.to.name)?;
        if references.len() <= FEW || step.to.method("get_all_records").is_none() {
            return one_by_one(&finder, references).await;
        }
        // The field is a reference's other end: whoever refers to the owners is meant.
        let other_end = schema::relations().iter().find(|relation| {
            relation.other_class == step.from.name
                && relation.other_field == step.field.name
                && relation.class == step.to.name
                && !relation.many_to_many
        });
        let records = match other_end {
            Some(relation) if step.to.answers_queries && owners.len() <= OWNERS_MAX => {
                let owners = owners.iter().map(|owner| owner.reference.clone());
                finder.records_where(&field(relation.field).is_one_of(owners)).await?
            }
            _ => finder.all_records().await?,
        };
        let references: HashSet<&str> = references.iter().map(Ref::as_str).collect();
        Ok(records.into_iter().filter(|record| references.contains(record.reference.as_str())).collect())
    }
}

async fn one_by_one(finder: &Finder<'_>, references: Vec<Ref>) -> Result<Vec<Arc<Record>>, FindError> {
    stream::iter(references)
        .map(|reference| async move { finder.record(&reference).await })
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|record| async move { Ok(record) })
        .try_collect()
        .await
}
