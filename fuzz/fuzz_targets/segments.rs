#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_wal::fuzz::fuzz_segments(data));
