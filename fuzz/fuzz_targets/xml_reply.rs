#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xapi_fuzz::xml_reply(bytes));
