#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diwan_hessian::testing::fuzz_final(data));
