//! The one place where randomness comes from: the operating system. Session ids, upload names, nonces and invitations are
//! all made here, so that none of them is ever guessable.

/// Bytes of randomness in a [`token`]: 160 bits, which base32 writes as 32 characters without a remainder.
const TOKEN_BYTES: usize = 20;

/// A token nobody can guess: 32 characters of lower-case base32 (`a`–`z`, `2`–`7`), good in addresses, paths and XML alike.
pub fn token() -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(&bytes::<TOKEN_BYTES>());
    text.make_ascii_lowercase();
    text
}

/// `N` random bytes.
///
/// Without randomness there is nothing safe to go on with: not with weak tokens, nor with a server on which every login
/// fails for a reason nobody sees. The process ends and says why.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if let Err(error) = getrandom::fill(&mut out) {
        eprintln!("kim: the operating system gives no random numbers ({error}); stopping");
        std::process::abort();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_plain_and_never_the_same() {
        let token = token();
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')));
        assert_ne!(token, super::token());
        assert_ne!(bytes::<16>(), bytes::<16>());
    }
}
