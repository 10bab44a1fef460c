//! The grant that an author runs the plugin under: a file as an administrator would write it, read by the daemon as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json};

use crate::config::Problems;

/// Where a project has its grant.
pub(super) const GRANT: &str = "grant.toml";
/// The name of the simulated pool, where the grant names none.
const POOL: &str = "lab";

/// What keeps a plugin from being run; it is the files' fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(pub(super) String);

/// A grant file, as far as a stage must know it; the daemon reads it whole.
pub(super) struct Grant {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// The component's file, beside the grant.
    pub(super) file: String,
    /// The pool that it is for.
    pub(super) pool: String,
}

impl Grant {
    pub(super) fn read(path: &Path) -> Result<Grant> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let told = |why: String| Unusable(format!("{}: {why}", path.display()));
        let table: Map<String, Json> = toml::from_str(&text).map_err(|error| told(error.to_string()))?;
        let file =
            table.get("file").and_then(Json::as_str).ok_or_else(|| told("file is missing".to_owned()))?;
        if Path::new(file).components().count() != 1 || Path::new(file).is_absolute() {
            return Err(told(format!(
                "file = {file:?}: in a test the component lies beside the grant, name it without a folder"
            ))
            .into());
        }
        let pools =
            table.get("pools").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let pool = pools.into_iter().find(|pool| !pool.contains('*')).unwrap_or(POOL).to_owned();
        Ok(Grant { path: path.to_owned(), file: file.to_owned(), pool, text })
    }

    /// What is wrong with it, under its own name and not that of the copy which the daemon read.
    pub(super) fn problems(&self, problems: &Problems, copy: &Path) -> anyhow::Error {
        let told = problems.to_string();
        Unusable(
            told.replace(&copy.display().to_string(), &self.path.display().to_string()).trim_end().to_owned(),
        )
        .into()
    }

    /// Its text with the mode dry-run, on a line that said nothing where there is one, so that lines keep their numbers.
    pub(super) fn dry(&self) -> String {
        const MODE: &str = "mode = \"dry-run\"";
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let top = lines.iter().position(|line| line.starts_with('[')).unwrap_or(lines.len());
        let key = |line: &String| line.split_once('=').is_some_and(|(key, _)| key.trim() == "mode");
        let silent = |line: &String| line.trim().is_empty() || line.starts_with('#');
        if let Some(at) = lines[..top].iter().position(key) {
            lines[at] = MODE.to_owned();
        } else if let Some(at) = lines[..top].iter().position(silent) {
            lines[at] = format!("{MODE} {}", lines[at]);
        } else {
            lines.insert(0, MODE.to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_becomes_dry_without_moving_its_lines() {
        for (text, wanted) in [
            ("# a grant\nfile = \"a\"", "mode = \"dry-run\" # a grant\nfile = \"a\""),
            ("file = \"a\"\nmode = \"enforce\"\n[x]", "file = \"a\"\nmode = \"dry-run\"\n[x]"),
            ("file = \"a\"\n[x]\n# later", "mode = \"dry-run\"\nfile = \"a\"\n[x]\n# later"),
        ] {
            let grant =
                Grant { path: PathBuf::new(), text: text.into(), file: "a".into(), pool: "lab".into() };
            assert_eq!(grant.dry(), wanted);
        }
    }
}
