//! What one call may want beside its method and arguments.

use std::time::Duration;

use smol_str::SmolStr;

use crate::task::Mark;

/// How a single call differs from others: its mark, its time, the task that it belongs to.
///
/// ```
/// use std::time::Duration;
/// use xapi::{CallOptions, Mark};
///
/// let mark = Mark::new("nightly-copy", "web-1")?;
/// let options = CallOptions::marked(mark).within(Duration::from_secs(300));
/// assert_eq!(options.mark().map(Mark::value), Some("web-1"));
/// # Ok::<(), xapi::MarkError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    mark: Option<Mark>,
    timeout: Option<Duration>,
    parent: Option<SmolStr>,
}

impl CallOptions {
    /// The call's task carries this mark, also the passing one of a synchronous call.
    #[must_use]
    pub fn marked(mark: Mark) -> Self {
        CallOptions { mark: Some(mark), ..CallOptions::default() }
    }

    /// The answer must be in within this time instead of the client's usual one. When it is not, the call may have
    /// been done all the same.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        CallOptions { timeout: Some(timeout), ..self }
    }

    /// The call's task becomes a child of the task with this reference.
    #[must_use]
    pub fn child_of(self, task: impl Into<SmolStr>) -> Self {
        CallOptions { parent: Some(task.into()), ..self }
    }

    /// The mark.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The HTTP headers by which xapi is told.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let mark = self.mark.as_ref().map(Mark::header);
        let parent = self.parent.as_ref().map(|task| ("subtask-of".to_owned(), task.to_string()));
        mark.into_iter().chain(parent).collect()
    }
}
