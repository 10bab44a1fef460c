//! The languages that plugins are written in, as far as this program knows how to begin and build them.

use std::path::Path;

/// A language of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// Rust, with the crate `xapiary-sdk`
    Rust,
}

impl Language {
    /// The language of the project in a folder, told by its files.
    pub(super) fn of(folder: &Path) -> Option<Language> {
        folder.join("Cargo.toml").is_file().then_some(Language::Rust)
    }

    /// The file by which a project of it is known.
    pub(super) const MARKS: &'static str = "Cargo.toml (Rust)";
}
