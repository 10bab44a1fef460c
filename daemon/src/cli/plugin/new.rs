//! `xapiary plugin new`: a small whole project. Nothing that is there is overwritten.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::language::Language;
use crate::cli::Answer;
use crate::cli::stage::toml_text;

/// Longest name of a plugin, as manifests allow it.
const NAME_MAX: usize = 64;
/// Where the SDK lies in a clone of the repository.
const SDK_IN_CLONE: &str = "plugin-sdk/rust";

/// A file of a project and what is in it.
type File = (&'static str, &'static str);

macro_rules! template {
    ($language:literal: $($path:literal = $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../../plugin-sdk/templates/", $language, "/", $file))),)*]
    };
}

const RUST: &[File] = template! { "rust":
    "Cargo.toml" = "Cargo.toml.template",
    ".gitignore" = "gitignore.template",
    "README.md" = "README.md",
    "plugin.toml" = "plugin.toml",
    "grant.toml" = "grant.toml",
    "src/lib.rs" = "src/lib.rs",
    "src/tests.rs" = "src/tests.rs",
    "scenarios/crash.toml" = "scenarios/crash.toml",
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct New {
    /// The plugin's name, which is its folder's too: lower-case letters, digits and dashes
    name: String,
    /// The language to write it in
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// Where the SDK lies; without it, it is looked for in the clone of the repository that this is run in or was built in
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

pub(super) fn new(arguments: &New) -> Result<Answer> {
    let name = &arguments.name;
    if let Some(wrong) = wrong(name) {
        anstream::eprintln!("xapiary: {name:?} is no name for a plugin: {wrong}");
        return Ok(Answer::Misused);
    }
    let folder = Path::new(name);
    if folder.exists() {
        anstream::eprintln!(
            "xapiary: {name} is there already: choose another name, or another folder to run this in"
        );
        return Ok(Answer::Misused);
    }
    let Language::Rust = arguments.language;
    let sdk = match sdk(arguments.sdk.as_deref())? {
        Ok(sdk) => sdk,
        Err(why) => {
            anstream::eprintln!("xapiary: {why}");
            return Ok(Answer::Misused);
        }
    };
    for (path, text) in RUST {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        let text = filled(text, name, &format!("{{ path = {} }}", toml_text(&sdk.display().to_string())));
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    anstream::println!(
        "{name} is begun, with the SDK of {}. Go on with\n\n  cd {name}\n  cargo test               # the handlers, natively\n  \
         xapiary plugin build     # the component\n  xapiary plugin test      # against a simulated pool",
        sdk.display()
    );
    Ok(Answer::Done)
}

/// What keeps a text from being a plugin's name and, as Rust wants it, a package's.
fn wrong(name: &str) -> Option<&'static str> {
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.len() > NAME_MAX {
        Some("it has more than 64 characters")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Some("it begins with a lower-case letter")
    } else if !name.chars().all(letters) {
        Some("it has lower-case letters, digits and dashes only")
    } else if name.ends_with('-') {
        Some("it ends with a letter or a digit")
    } else if name == "test" {
        Some("cargo keeps it for itself")
    } else {
        None
    }
}

/// A template with its blanks filled in.
fn filled(text: &str, name: &str, sdk: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{Type}}", &type_name(name))
        .replace("{{component}}", &format!("{}.wasm", name.replace('-', "_")))
        .replace("{{sdk}}", sdk)
}

/// `stop-tag` as `StopTag`.
fn type_name(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(part).collect()
}

/// The folder of the SDK.
fn sdk(named: Option<&Path>) -> Result<Result<PathBuf, String>> {
    if let Some(named) = named {
        let is_sdk = std::fs::read_to_string(named.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.contains("name = \"xapiary-sdk\""));
        if !is_sdk {
            return Ok(Err(format!(
                "{} is not the SDK: it is the folder {SDK_IN_CLONE} of a clone of the repository",
                named.display()
            )));
        }
        return Ok(Ok(std::fs::canonicalize(named).context("finding the SDK")?));
    }
    let here = std::env::current_dir().context("finding where this is")?;
    let program = std::env::current_exe().context("finding where this program is")?;
    let places = here.ancestors().chain(program.ancestors());
    let found = places.map(|place| place.join(SDK_IN_CLONE)).find(|place| place.join("Cargo.toml").is_file());
    Ok(found.ok_or_else(|| {
        format!(
            "the SDK is not in a registry yet, and no clone of the repository is around here: say where it lies, with \
             --sdk CLONE/{SDK_IN_CLONE}"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_a_manifest_would_refuse_are_refused() {
        for name in ["", "Stop", "stop_tag", "1st", "stop-", "-stop", "test", "tag!", &"x".repeat(65)] {
            assert!(wrong(name).is_some(), "{name}");
        }
        for name in ["stop-tag", "a", "k8s", "x1-2"] {
            assert_eq!(wrong(name), None, "{name}");
        }
    }

    #[test]
    fn no_blank_is_left_open() {
        for (path, text) in RUST {
            let text = filled(text, "stop-tag", "{ path = \"/sdk\" }");
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
        }
        assert_eq!(type_name("stop-tag"), "StopTag");
    }
}
