#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_engine::fuzz::fuzz_blocks(data));
