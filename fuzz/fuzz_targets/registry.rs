#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_registry_wire::fuzz::fuzz_messages(data));
