//! What projects in Python and JavaScript stand on, carried in this program: the contract and the SDK of its own version.

use std::path::Path;

use anyhow::{Context as _, Result};

/// A file of a project and what is in it.
pub(super) type File = (&'static str, &'static str);

/// The contract.
pub(super) const WIT: &[File] = &[
    ("calls.wit", include_str!("../../../../plugin-sdk/wit/calls.wit")),
    ("events.wit", include_str!("../../../../plugin-sdk/wit/events.wit")),
    ("log.wit", include_str!("../../../../plugin-sdk/wit/log.wit")),
    ("objects.wit", include_str!("../../../../plugin-sdk/wit/objects.wit")),
    ("settings.wit", include_str!("../../../../plugin-sdk/wit/settings.wit")),
    ("store.wit", include_str!("../../../../plugin-sdk/wit/store.wit")),
    ("types.wit", include_str!("../../../../plugin-sdk/wit/types.wit")),
    ("world.wit", include_str!("../../../../plugin-sdk/wit/world.wit")),
];

/// The Python package.
pub(super) const PYTHON: &[File] = &[
    ("xapiary_component.py", include_str!("../../../../plugin-sdk/python/xapiary_component.py")),
    ("xapiary/__init__.py", include_str!("../../../../plugin-sdk/python/xapiary/__init__.py")),
    ("xapiary/calls.py", include_str!("../../../../plugin-sdk/python/xapiary/calls.py")),
    ("xapiary/dispatch.py", include_str!("../../../../plugin-sdk/python/xapiary/dispatch.py")),
    ("xapiary/errors.py", include_str!("../../../../plugin-sdk/python/xapiary/errors.py")),
    ("xapiary/event.py", include_str!("../../../../plugin-sdk/python/xapiary/event.py")),
    ("xapiary/log.py", include_str!("../../../../plugin-sdk/python/xapiary/log.py")),
    ("xapiary/objects.py", include_str!("../../../../plugin-sdk/python/xapiary/objects.py")),
    ("xapiary/py.typed", include_str!("../../../../plugin-sdk/python/xapiary/py.typed")),
    ("xapiary/settings.py", include_str!("../../../../plugin-sdk/python/xapiary/settings.py")),
    ("xapiary/store.py", include_str!("../../../../plugin-sdk/python/xapiary/store.py")),
    ("xapiary/values.py", include_str!("../../../../plugin-sdk/python/xapiary/values.py")),
    ("xapiary/wire.py", include_str!("../../../../plugin-sdk/python/xapiary/wire.py")),
];

/// The JavaScript package.
pub(super) const JAVASCRIPT: &[File] = &[
    ("package.json", include_str!("../../../../plugin-sdk/javascript/package.json")),
    ("index.js", include_str!("../../../../plugin-sdk/javascript/index.js")),
    ("index.d.ts", include_str!("../../../../plugin-sdk/javascript/index.d.ts")),
    ("src/calls.js", include_str!("../../../../plugin-sdk/javascript/src/calls.js")),
    ("src/errors.js", include_str!("../../../../plugin-sdk/javascript/src/errors.js")),
    ("src/log.js", include_str!("../../../../plugin-sdk/javascript/src/log.js")),
    ("src/objects.js", include_str!("../../../../plugin-sdk/javascript/src/objects.js")),
    ("src/plugin.js", include_str!("../../../../plugin-sdk/javascript/src/plugin.js")),
    ("src/settings.js", include_str!("../../../../plugin-sdk/javascript/src/settings.js")),
    ("src/store.js", include_str!("../../../../plugin-sdk/javascript/src/store.js")),
    ("src/values.js", include_str!("../../../../plugin-sdk/javascript/src/values.js")),
];

/// Writes files into a folder, which is made where it is not there.
pub(super) fn lay_out(files: &[File], folder: &Path) -> Result<()> {
    for (path, text) in files {
        write(&folder.join(path), text)?;
    }
    Ok(())
}

/// Writes a file and makes the folders that it lies in.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_sdk_is_left_behind() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk");
        for (files, folder) in [(WIT, "wit"), (PYTHON, "python/xapiary"), (JAVASCRIPT, "javascript/src")] {
            for entry in std::fs::read_dir(sdk.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let carried = files.iter().any(|(path, _)| path.ends_with(&name));
                assert!(carried || name == "__pycache__", "{folder}/{name} is not carried");
            }
        }
    }
}
