//! The header of the PROXY protocol.

use kim::http::proxy::parse;

/// The longest header that is taken, which also bounds what is waited for.
const BYTES_MAX: usize = 536;

pub fn check(data: &[u8]) {
    match parse(data) {
        Ok(Some((length, address))) => {
            assert!((1..=data.len().min(BYTES_MAX)).contains(&length));
            for end in 0..length {
                assert!(
                    matches!(parse(&data[..end]), Ok(None)),
                    "refused or taken after {end} bytes"
                );
            }
            let alone = parse(&data[..length]).expect("what stands behind it changes nothing");
            assert_eq!(alone, Some((length, address)));
        }
        Ok(None) => {
            assert!(data.len() < BYTES_MAX, "nothing more would be read");
            for end in 0..data.len() {
                assert!(
                    matches!(parse(&data[..end]), Ok(None)),
                    "refused or taken after {end} bytes"
                );
            }
        }
        // Then it is refused however much more comes.
        Err(_) => assert!(parse(&[data, b"\r\n", &[0; BYTES_MAX]].concat()).is_err()),
    }
}
