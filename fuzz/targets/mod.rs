//! One check for each parser of hostile bytes: it feeds the bytes to the parser and panics if something does not hold. The
//! fuzzer calls the checks (`main.rs`), and an ordinary test replays what is kept in `corpus/` (`tests/corpora.rs`).
//!
//! A new target is a file here, a line in [`TARGETS`] and a folder in `corpus/`.

mod bosh;
mod certificate;
mod component;
mod dialback;
mod forms;
mod jid;
mod mam;
mod omemo;
mod proxy;
mod rest;
mod rsm;
mod sasl;
mod stream;
mod time;
mod websocket;

use kim_core::wire::{Element, Limits};

/// Panics if something does not hold for these bytes.
pub type Check = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("bosh", bosh::check),
    ("certificate", certificate::check),
    ("component", component::check),
    ("dialback", dialback::check),
    ("forms", forms::check),
    ("jid", jid::check),
    ("mam", mam::check),
    ("omemo", omemo::check),
    ("proxy", proxy::check),
    ("rest", rest::check),
    ("rsm", rsm::check),
    ("sasl", sasl::check),
    ("stream", stream::check),
    ("time", time::check),
    ("websocket", websocket::check),
];

/// The element that the bytes are, as an authenticated client may send it.
fn element(data: &[u8]) -> Option<Element> {
    let text = std::str::from_utf8(data).ok()?;
    Element::parse_within(text, Limits::after_login()).ok()
}
