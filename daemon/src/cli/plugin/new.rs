//! `xapiary plugin new`: a small whole project. Nothing that is there is overwritten.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::language::Language;
use super::sdk::{File, write};
use crate::cli::Answer;
use crate::cli::stage::toml_text;

/// Longest name of a plugin, as manifests allow it.
const NAME_MAX: usize = 64;
/// Where the SDK lies in a clone of the repository.
const SDK_IN_CLONE: &str = "plugin-sdk/rust";

macro_rules! template {
    ($language:literal: $($path:literal = $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../../plugin-sdk/templates/", $language, "/", $file))),)*]
    };
}

/// What a project has in every language.
const PROJECT: &[File] = template! { "project":
    "plugin.toml" = "plugin.toml",
    "grant.toml" = "grant.toml",
    "scenarios/crash.toml" = "scenarios/crash.toml",
};

const RUST: &[File] = template! { "rust":
    "Cargo.toml" = "Cargo.toml.template",
    ".gitignore" = "gitignore.template",
    "README.md" = "README.md",
    "src/lib.rs" = "src/lib.rs",
    "src/tests.rs" = "src/tests.rs",
};

const PYTHON: &[File] = template! { "python":
    ".gitignore" = "gitignore.template",
    "README.md" = "README.md",
    "plugin.py" = "plugin.py",
    "requirements.txt" = "requirements.txt",
    "test_plugin.py" = "test_plugin.py",
};

const JAVASCRIPT: &[File] = template! { "javascript":
    ".gitignore" = "gitignore.template",
    "README.md" = "README.md",
    "decide.js" = "decide.js",
    "decide.test.js" = "decide.test.js",
    "package.json" = "package.json",
    "plugin.js" = "plugin.js",
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct New {
    /// The plugin's name, which is its folder's too: lower-case letters, digits and dashes
    name: String,
    /// The language to write it in
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// Of a Rust project: where the SDK lies; without it, it is looked for in the clone of the repository that this is run in or was built in
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
    let started = match arguments.language {
        Language::Rust => match sdk(arguments.sdk.as_deref())? {
            Ok(sdk) => Started::rust(name, &sdk),
            Err(why) => {
                anstream::eprintln!("xapiary: {why}");
                return Ok(Answer::Misused);
            }
        },
        _ if arguments.sdk.is_some() => {
            anstream::eprintln!(
                "xapiary: --sdk is for Rust: other languages have their SDK from this program"
            );
            return Ok(Answer::Misused);
        }
        Language::Python => Started::python(name),
        Language::JavaScript => Started::javascript(name),
    };
    for (path, text) in PROJECT.iter().chain(started.files) {
        write(&folder.join(path), &started.filled(text, name))?;
    }
    anstream::println!("{name} is begun. Go on with\n\n  cd {name}\n{}", started.next);
    Ok(Answer::Done)
}

/// A project that begins: what is of its language.
struct Started {
    files: &'static [File],
    /// The name of the file that building makes.
    component: String,
    /// How the project names the SDK.
    sdk: String,
    /// The commands to go on with.
    next: &'static str,
}

impl Started {
    fn rust(name: &str, sdk: &Path) -> Self {
        Started {
            files: RUST,
            component: format!("{}.wasm", name.replace('-', "_")),
            sdk: format!("{{ path = {} }}", toml_text(&sdk.display().to_string())),
            next: "  cargo test               # the handlers, natively\n  \
                   xapiary plugin build     # the component\n  \
                   xapiary plugin test      # against a simulated pool",
        }
    }

    fn python(name: &str) -> Self {
        Started {
            files: PYTHON,
            component: format!("{name}.wasm"),
            sdk: String::new(),
            next: "  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt\n  \
                   xapiary plugin build                      # the component\n  \
                   PYTHONPATH=build/sdk python3 -m unittest  # what it decides\n  \
                   xapiary plugin test                       # against a simulated pool",
        }
    }

    fn javascript(name: &str) -> Self {
        Started {
            files: JAVASCRIPT,
            component: format!("{name}.wasm"),
            sdk: String::new(),
            next: "  npm install\n  \
                   npm test                 # what it decides\n  \
                   xapiary plugin build     # the component\n  \
                   xapiary plugin test      # against a simulated pool",
        }
    }

    /// A template with its blanks filled in.
    fn filled(&self, text: &str, name: &str) -> String {
        text.replace("{{name}}", name)
            .replace("{{Type}}", &type_name(name))
            .replace("{{component}}", &self.component)
            .replace("{{sdk}}", &self.sdk)
    }
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
        for started in [
            Started::rust("stop-tag", Path::new("/sdk")),
            Started::python("stop-tag"),
            Started::javascript("stop-tag"),
        ] {
            for (path, text) in PROJECT.iter().chain(started.files) {
                let text = started.filled(text, "stop-tag");
                assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
            }
        }
        assert_eq!(type_name("stop-tag"), "StopTag");
    }
}
