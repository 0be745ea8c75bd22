#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_sofarpc::fuzz::fuzz_messages(data));
