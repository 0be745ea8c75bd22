#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_zookeeper::fuzz::fuzz_packets(data));
