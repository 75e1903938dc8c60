//! The handshake of an external component (XEP-0114 §3): in pieces of any size it ends as it does all at once, and only the
//! program that shows the sum of the stream's id and the secret gets in.

use std::sync::LazyLock;

use bytes::BytesMut;
use kim::component::handshake::{Handshake, HandshakeStep};
use kim_core::config::{Config, Sources};
use kim_core::error::StreamCondition;
use kim_core::wire::Limits;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let toml = "[[component]]\njid = \"plays.shakespeare.lit\"\nsecret = \"open sesame\"\n";
    Config::load(&Sources::none().text("fuzz.toml", toml), &[]).expect("a valid configuration")
});
/// The sum of the id `3BF96D32` and the secret.
const PROOF: &str = "dab7e27c4d2dcbb4bbabb203700dd710a41ed55f";

/// What is said back, and how it ends: with the domain of the component, with an error, or not yet.
fn shake<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (String, Result<Option<String>, StreamCondition>) {
    let mut handshake = Handshake::new(&CONFIG.components, "3BF96D32".to_owned(), Limits::default());
    let (mut said, mut input) = (String::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match handshake.read(&mut input) {
                Ok(HandshakeStep::More) => break,
                Ok(HandshakeStep::Answer(words)) => said.push_str(&words),
                Ok(HandshakeStep::Proven(domain)) => return (said, Ok(Some(domain))),
                Err(error) => return (said, Err(error.condition)),
            }
        }
    }
    (said, Ok(None))
}

pub fn check(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else {
        return;
    };
    let (said, end) = shake(std::iter::once(data));
    let in_pieces = shake(data.chunks(usize::from(piece % 64) + 1));
    assert_eq!(in_pieces, (said, end.clone()), "pieces make a difference");
    if let Ok(Some(domain)) = end {
        assert_eq!(domain, "plays.shakespeare.lit");
        let shows = |window: &[u8]| window == PROOF.as_bytes();
        assert!(
            data.windows(PROOF.len()).any(shows),
            "somebody got in without the secret"
        );
    }
}
