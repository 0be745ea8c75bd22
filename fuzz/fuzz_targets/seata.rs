#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_seata::fuzz::fuzz_frames(data));
