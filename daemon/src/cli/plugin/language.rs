//! The languages that plugins are written in, as far as this program knows how to begin and build them.

use std::path::Path;

/// A language of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// Rust, with the crate `xapiary-sdk`
    Rust,
    /// Python, with the package `xapiary`
    Python,
    /// JavaScript, with the package `xapiary`
    #[value(name = "javascript")]
    JavaScript,
}

impl Language {
    /// The language of the project in a folder, told by its files.
    pub(super) fn of(folder: &Path) -> Option<Language> {
        [("Cargo.toml", Language::Rust), ("plugin.py", Language::Python), ("plugin.js", Language::JavaScript)]
            .into_iter()
            .find_map(|(mark, language)| folder.join(mark).is_file().then_some(language))
    }

    /// The files by which a project is known.
    pub(super) const MARKS: &'static str = "Cargo.toml (Rust), plugin.py (Python), plugin.js (JavaScript)";
}
