#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_raft::fuzz::fuzz_member(data));
