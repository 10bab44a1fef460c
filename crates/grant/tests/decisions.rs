//! The decision compared with a slow reference: what the fuzz target `grant` does, on scripts that proptest makes up and on
//! grant files that are nearly right.

#[path = "../../../fuzz/src/grant.rs"]
#[expect(unreachable_pub, reason = "it is a library elsewhere")]
mod fuzzed;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn decisions_agree_with_the_slow_reference(script in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0];
        bytes.extend(script);
        fuzzed::decisions(&bytes);
    }

    #[test]
    fn any_grant_file_is_an_answer_and_no_panic(text in "\\PC{0,60}") {
        for file in [
            format!("[[allow]]\ncall = [\"VM.start\"]\non = '{text}'\n"),
            format!("[[allow]]\ncall = [\"VM.start\"]\nargs = {{ start_paused = '{text}' }}\n"),
            format!("[[allow]]\ncall = ['{text}']\n[[read]]\nclass = ['{text}']\nfields = ['{text}']\n"),
        ] {
            fuzzed::decisions(file.as_bytes());
        }
    }
}
