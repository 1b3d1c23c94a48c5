//! `statement` of [`vouch_fuzz::TARGETS`] as a program of libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vouch_fuzz::run("statement", bytes));
