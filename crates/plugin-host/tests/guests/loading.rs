//! Bytes that are no plugin, and how that is told.

use plugin_host::{Host, LoadError, Options, PackError, inspect, pack};
use proptest::prelude::*;

use crate::stage::{component, host};

fn refused(bytes: &[u8]) -> String {
    let error = host().load(bytes).expect_err("it should be refused");
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

/// The component with a text in it replaced by another of the same length, wherever it stands.
fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component(name);
    let mut at = 0;
    let mut count = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes[at + found..at + found + from.len()].copy_from_slice(to.as_bytes());
        at += found + from.len();
        count += 1;
    }
    assert!(count > 0, "{from} is not in {name}");
    bytes
}

/// A component of nothing but custom sections.
fn empty_component(manifests: &[&str]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let number = |mut value: usize, bytes: &mut Vec<u8>| {
        while value >= 0x80 {
            bytes.push((value % 0x80) as u8 | 0x80);
            value /= 0x80;
        }
        bytes.push(value as u8);
    };
    for manifest in manifests {
        let mut section = Vec::new();
        number("xapiary:manifest".len(), &mut section);
        section.extend_from_slice(b"xapiary:manifest");
        section.extend_from_slice(manifest.as_bytes());
        bytes.push(0);
        number(section.len(), &mut bytes);
        bytes.extend_from_slice(&section);
    }
    bytes
}

const MANIFEST: &str = "name = \"a\"\nversion = \"1.0.0\"\ncontract = \"0.1.0\"\ndescription = \"d\"\n\
                        [[subscribe]]\nname = \"s\"\nclass = \"VM\"\n";

#[test]
fn every_guest_says_what_it_is() {
    let guests = [
        "caller",
        "deep_recursion",
        "give_up",
        "log_flood",
        "loop_forever",
        "no_op",
        "out_of_memory",
        "panic",
        "reader",
        "retry_twice",
        "store_writer",
    ];
    for name in guests {
        let found = inspect(&component(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.manifest.name.replace('-', "_"), name);
        assert_eq!(found.digest.len(), 64);
        assert!(
            found
                .imports
                .iter()
                .all(|import| import.starts_with("xapiary:plugin/") || import.starts_with("wasi:"))
        );
    }
    let found = inspect(&component("vm_keepalive")).unwrap();
    assert_eq!(found.manifest.name, "vm-keepalive");
    assert_eq!(found.manifest.requests[0].call, "VM.start");
}

#[test]
fn what_is_no_plugin_is_refused_with_what_to_do() {
    let whole = component("no_op");
    for (bytes, words) in [
        (b"".to_vec(), "this is no WebAssembly file: build the plugin for the target wasm32-wasip2"),
        (b"\x7fELF and more".to_vec(), "this is no WebAssembly file"),
        (b"\0asm\x01\0\0\0".to_vec(), "this is a core module and no component"),
        (whole[..whole.len() / 2].to_vec(), "the WebAssembly is not valid at byte"),
        (empty_component(&[]), "the component has no manifest"),
        (empty_component(&[MANIFEST, MANIFEST]), "the component has 2 manifests"),
        (empty_component(&[MANIFEST]), "does not export `handle`"),
        (empty_component(&["name = 3\n"]), "the component's manifest cannot be used: the manifest has"),
        (
            empty_component(&[&MANIFEST.replace("0.1.0", "0.9.0")]),
            "the plugin was built for contract 0.9.0 and this host runs 0.1.0",
        ),
        (
            patched("no_op", "xapiary:plugin/types@0.1.0", "xapiary:plugin/types@0.2.0"),
            "the plugin was built for contract 0.2.0 and this host runs 0.1.0",
        ),
        (
            patched("no_op", "wasi:cli/environment@", "wasi:cly/environment@"),
            "imports what plugins are not given: wasi:cly/environment@",
        ),
    ] {
        let told = refused(&bytes);
        assert!(told.contains(words), "want {words}\ngot  {told}");
    }
}

#[test]
fn what_is_packed_is_a_whole_plugin() {
    // As another toolchain leaves it: no manifest, only a section that means nothing here.
    let bare = patched("no_op", "xapiary:manifest", "somebody:s-notes");
    assert!(matches!(inspect(&bare), Err(LoadError::NoManifest)));
    let (packed, inspection) = pack(&bare, MANIFEST).unwrap();
    assert_eq!(inspection.manifest.name, "a");
    assert_eq!(inspect(&packed).unwrap().digest, inspection.digest);
    assert!(packed.starts_with(&bare), "the component stays as it is");
    host().load(&packed).unwrap();

    assert!(matches!(pack(&packed, MANIFEST), Err(PackError::Packed)));
    assert!(matches!(pack(&bare, "name = 1"), Err(PackError::Manifest(_))));
    let hollow = empty_component(&[]);
    assert!(matches!(pack(&hollow, MANIFEST), Err(PackError::Component(LoadError::NoHandle))));
}

#[test]
fn a_file_that_is_too_large_is_not_looked_at() {
    let host = Host::new(Options { component_max: 100, ..Options::default() }).unwrap();
    let error = host.load(&component("no_op")).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { allowed: 100, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_plugin_is_an_error_and_no_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = component("no_op");
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = inspect(&bytes);
    }

    #[test]
    fn any_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let bytes = if magic { [b"\0asm\x0d\0\x01\0".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(inspect(&bytes).is_err());
    }
}
