//! Feeds arbitrary bytes to the reader. From the repository's root:
//!
//! ```sh
//! mkdir -p fuzz/found
//! cargo +nightly fuzz run stream fuzz/found fuzz/corpus/stream -- -dict=fuzz/xml.dict -max_total_time=120
//! ```
//!
//! New inputs go to `fuzz/found`; `fuzz/corpus/stream` is the kept corpus, which the ordinary tests replay as well.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
