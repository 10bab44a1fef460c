//! Finding objects as XAPI offers it: by uuid, by name, all of a class, or those that fit a query.
//!
//! [`Client::find`] gives typed views, [`Client::find_class`] takes a class by name. What is not there is `None` or an
//! empty list; every answer is checked to have the shape that was promised.

mod answer;
mod follow;

use std::marker::PhantomData;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::client::Client;
use crate::error::Error;
use crate::model::schema::{self, Class};
use crate::model::{FieldError, FromRecord, Object, Record, Ref};
use crate::query::{Query, QueryError};
use crate::suggestion;
use crate::value::Value;

/// Classes whose `get_all_records_where` ignores the query: they are not in the database, or only partly.
const IGNORE_QUERIES: [&str; 2] = ["message", "role"];

/// Why objects were not found out. That there are none is no error.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The schema has no such class. One of a newer pool can be asked for by [`Client::call`].
    #[error("there is no class {class:?}{}", suggestion::shown(.suggestion.as_deref()))]
    UnknownClass {
        /// What was asked for.
        class: SmolStr,
        /// A class of a similar name.
        suggestion: Option<SmolStr>,
    },
    /// XAPI cannot find objects of that class in that way.
    #[error("XAPI has no {class}.{method}")]
    NotOffered {
        /// The class.
        class: &'static str,
        /// The method that would be needed.
        method: &'static str,
    },
    /// The query cannot be asked. Nothing was sent.
    #[error("asking for objects of class {class}")]
    Query {
        /// The class.
        class: &'static str,
        /// Why not.
        #[source]
        source: QueryError,
    },
    /// The call gave no value.
    #[error("looking for objects of class {class}")]
    Call {
        /// The class.
        class: &'static str,
        /// Why not.
        #[source]
        source: Error,
    },
    /// A record on a path lacks the field to follow.
    #[error("following a path")]
    Field {
        /// Which.
        #[source]
        source: FieldError,
    },
    /// The pool answered with another shape than the method has.
    #[error("{method} answered with {found} where {wanted} belongs")]
    Shape {
        /// The method.
        method: String,
        /// What belongs there.
        wanted: &'static str,
        /// What was there.
        found: &'static str,
    },
}

/// Finds objects of one class. Made by [`Client::find`] or [`Client::find_class`]. All its verbs fail in the ways that [`FindError`] lists.
///
/// ```
/// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
/// # stage::example(|client| async move {
/// use xapi::model::enums::VmPowerState;
/// use xapi::model::views::Vm;
/// use xapi::query::field;
///
/// let vms = client.find::<Vm>();
/// for vm in vms.records_where(&field("power_state").is(VmPowerState::Running)).await? {
///     println!("{} has {} bytes", vm.name_label()?, vm.memory_target()?);
/// }
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct Finder<'c, T = Arc<Record>> {
    client: &'c Client,
    class: &'static Class,
    of: PhantomData<fn() -> T>,
}

impl Client {
    /// Finds objects of the class that a view is for: `client.find::<Vm>()`.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Task;
    ///
    /// let tasks = client.find::<Task>();
    /// assert_eq!(tasks.class().name, "task");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn find<T: Object>(&self) -> Finder<'_, T> {
        let class = schema::class(T::CLASS);
        Finder { client: self, class: class.expect("views and tables come from one table"), of: PhantomData }
    }

    /// Finds objects of a class by its name, which is looked up without regard to case.
    ///
    /// # Errors
    /// [`FindError::UnknownClass`].
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let error = client.find_class("hosts").unwrap_err();
    /// assert_eq!(error.to_string(), r#"there is no class "hosts", did you mean "host"?"#);
    /// # Ok(()) });
    /// ```
    pub fn find_class(&self, class: &str) -> Result<Finder<'_>, FindError> {
        let known = schema::class(class).ok_or_else(|| FindError::UnknownClass {
            class: class.into(),
            suggestion: suggestion::for_name(class, schema::classes().iter().map(|known| known.name)),
        })?;
        Ok(Finder { client: self, class: known, of: PhantomData })
    }
}

impl<T: FromRecord> Finder<'_, T> {
    /// The class.
    #[must_use]
    pub fn class(&self) -> &'static Class {
        self.class
    }

    /// The object of that uuid; nothing when there is none (UUID_INVALID).
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Pool;
    ///
    /// let pool = client.find::<Pool>().all_records().await?.remove(0);
    /// let found = client.find::<Pool>().by_uuid(pool.uuid()?).await?;
    /// assert_eq!(found, Some(pool.reference()));
    /// assert_eq!(client.find::<Pool>().by_uuid("no such uuid").await?, None);
    /// # Ok(()) });
    /// ```
    pub async fn by_uuid(&self, uuid: &str) -> Result<Option<Ref<T>>, FindError> {
        match self.ask("get_by_uuid", &[uuid.into()]).await {
            Ok((method, answer)) => answer::reference(&method, &answer).map(Some),
            Err(error) if error.is("UUID_INVALID") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Objects of that name. Names are not unique.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Sr;
    ///
    /// let found = client.find::<Sr>().by_name_label("no such storage").await?;
    /// assert!(found.is_empty());
    /// # Ok(()) });
    /// ```
    pub async fn by_name_label(&self, name: &str) -> Result<Vec<Ref<T>>, FindError> {
        let (method, answer) = self.ask("get_by_name_label", &[name.into()]).await?;
        answer::references(&method, &answer)
    }

    /// All objects.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Host;
    ///
    /// assert_eq!(client.find::<Host>().all().await?.len(), 2);
    /// # Ok(()) });
    /// ```
    pub async fn all(&self) -> Result<Vec<Ref<T>>, FindError> {
        let (method, answer) = self.ask("get_all", &[]).await?;
        answer::references(&method, &answer)
    }

    /// The objects that fit. Where the pool is older than `get_all_where`, it is asked for their records.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::{Vbd, Vm};
    /// use xapi::query::field;
    ///
    /// for vm in client.find::<Vm>().all_where(&field("is_control_domain").is(true)).await? {
    ///     let drives = client.find::<Vbd>().all_where(&field("VM").is(vm)).await?;
    ///     println!("{} drives", drives.len());
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn all_where(&self, query: &Query) -> Result<Vec<Ref<T>>, FindError> {
        if !IGNORE_QUERIES.contains(&self.class.name) {
            let text = self.text(query)?;
            match self.ask("get_all_where", &[text.into()]).await {
                Ok((method, answer)) => return answer::references(&method, &answer),
                // A role that may not call extensions is told so instead when the pool does not know a method.
                Err(error) if error.is("MESSAGE_METHOD_UNKNOWN") || error.is("RBAC_PERMISSION_DENIED") => {}
                Err(error) => return Err(error),
            }
        }
        let records = self.untyped_where(query).await?;
        Ok(records.into_iter().map(|record| Ref::new(record.reference.clone())).collect())
    }

    /// One object; nothing when it is gone (HANDLE_INVALID).
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::Ref;
    /// use xapi::model::views::Host;
    ///
    /// let hosts = client.find::<Host>();
    /// let first = hosts.all().await?.remove(0);
    /// let host = hosts.record(&first).await?.ok_or("gone meanwhile")?;
    /// assert!(host.enabled()?);
    /// assert!(hosts.record(&Ref::new("OpaqueRef:gone")).await?.is_none());
    /// # Ok(()) });
    /// ```
    pub async fn record(&self, reference: &Ref<T>) -> Result<Option<T>, FindError> {
        match self.ask("get_record", &[reference.into()]).await {
            Ok((method, answer)) => {
                let record = answer::record(&method, self.class, reference.as_str(), answer)?;
                Ok(self.typed([record]).pop())
            }
            Err(error) if error.is("HANDLE_INVALID") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects with all fields, in one call.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Pbd;
    ///
    /// for pbd in client.find::<Pbd>().all_records().await? {
    ///     println!("{:?} on {:?}: {}", pbd.sr()?, pbd.host()?, pbd.currently_attached()?);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn all_records(&self) -> Result<Vec<T>, FindError> {
        Ok(self.typed(self.untyped_all().await?))
    }

    /// The objects that fit with all fields, in one call. Alerts and roles, for which XAPI ignores queries, are all read
    /// and compared here.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::model::views::Vdi;
    /// use xapi::query::Query;
    ///
    /// // In the words of a person, for example from a command line.
    /// let query = Query::parse("is_a_snapshot = true and not snapshot_of = null")?;
    /// for snapshot in client.find::<Vdi>().records_where(&query).await? {
    ///     println!("{} of {:?}", snapshot.name_label()?, snapshot.snapshot_time()?.timestamp());
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn records_where(&self, query: &Query) -> Result<Vec<T>, FindError> {
        Ok(self.typed(self.untyped_where(query).await?))
    }

    async fn untyped_all(&self) -> Result<Vec<Arc<Record>>, FindError> {
        let (method, answer) = self.ask("get_all_records", &[]).await?;
        answer::records(&method, self.class, answer)
    }

    async fn untyped_where(&self, query: &Query) -> Result<Vec<Arc<Record>>, FindError> {
        let text = self.text(query)?;
        if !IGNORE_QUERIES.contains(&self.class.name) {
            let (method, answer) = self.ask("get_all_records_where", &[text.into()]).await?;
            return answer::records(&method, self.class, answer);
        }
        let mut fitting = Vec::new();
        for record in self.untyped_all().await? {
            if query.fits(self.class, &record).map_err(|source| self.unaskable(source))? {
                fitting.push(record);
            }
        }
        Ok(fitting)
    }

    /// Calls a method of the class, if it has it, and gives its full name with the answer.
    async fn ask(&self, method: &'static str, arguments: &[Value]) -> Result<(String, Value), FindError> {
        let class = self.class.name;
        // The published datamodel leaves out the two with a query.
        let queries = matches!(method, "get_all_where" | "get_all_records_where");
        if !(queries && self.class.answers_queries || self.class.method(method).is_some()) {
            return Err(FindError::NotOffered { class, method });
        }
        let full = format!("{class}.{method}");
        let answer = self.client.call(&full, arguments).await;
        answer.map(|answer| (full, answer)).map_err(|source| FindError::Call { class, source })
    }

    fn text(&self, query: &Query) -> Result<String, FindError> {
        query.text(self.class).map_err(|source| self.unaskable(source))
    }

    fn unaskable(&self, source: QueryError) -> FindError {
        FindError::Query { class: self.class.name, source }
    }

    /// All records are of the class of `T`, since the finder was made for it.
    fn typed(&self, records: impl IntoIterator<Item = Arc<Record>>) -> Vec<T> {
        records.into_iter().filter_map(T::from_record).collect()
    }
}

impl FindError {
    /// The call's error, if one was made and failed.
    #[must_use]
    pub fn call(&self) -> Option<&Error> {
        match self {
            FindError::Call { source, .. } => Some(source),
            _ => None,
        }
    }

    fn is(&self, code: &str) -> bool {
        self.call().is_some_and(|error| error.is(code))
    }
}
