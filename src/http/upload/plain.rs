//! Whether a file is recognisably not encrypted. Ciphertext (XEP-0454 is AES-256-GCM without any header) looks like noise, and
//! noise is rare elsewhere; so what has a known beginning, reads as text, or is not spread evenly over all bytes is plain.
//! Compressed data without a known beginning may pass as encrypted; nobody can tell more from outside.

/// Where known kinds of files begin, and with what.
const BEGINNINGS: &[(usize, &[u8])] = &[
    (0, b"\x89PNG\r\n"),
    (0, b"\xFF\xD8\xFF"),
    (0, b"GIF8"),
    (0, b"RIFF"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (4, b"ftyp"),
    (0, b"\x1A\x45\xDF\xA3"),
    (0, b"OggS"),
    (0, b"ID3"),
    (0, b"fLaC"),
    (0, b"%PDF-"),
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"\x1F\x8B\x08"),
    (0, b"BZh"),
    (0, b"\xFD7zXZ\0"),
    (0, b"\x28\xB5\x2F\xFD"),
    (0, b"7z\xBC\xAF\x27\x1C"),
    (0, b"Rar!\x1A\x07"),
    (257, b"ustar"),
    (0, b"\x7FELF"),
    (0, b"MZ"),
    (0, b"\xCA\xFE\xBA\xBE"),
    (0, b"SQLite format 3\0"),
    (0, b"{\\rtf"),
    (0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"),
    (0, b"wOFF"),
    (0, b"\0\x01\0\0\0"),
];
/// Bytes from which on every value is expected five times, as the chi-squared test wants it.
const SPREAD_BYTES_MIN: usize = 1_280;
/// The sum for noise is 255 on average, with a standard deviation of 22.6: ten of these above, chance is no explanation.
const SPREAD_MAX: f64 = 255.0 + 10.0 * 22.6;
/// Standard deviations from half of all bits being set.
const BITS_OFF_MAX: f64 = 8.0;

/// Whether the first bytes of a file (64 kB, or all of it) are recognisably plain.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // Two bytes are too little to know anything by in a short file of noise, and one in 32 768 would be refused.
    let begins = |(at, what): &(usize, &[u8])| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(what)) && (what.len() > 2 || !is_noise(bytes))
    };
    BEGINNINGS.iter().any(begins) || is_text(bytes) || !is_noise(bytes)
}

fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    whole.len() >= 8 && !whole.chars().any(|c| c.is_control() && !c.is_whitespace())
}

fn is_noise(bytes: &[u8]) -> bool {
    if bytes.len() >= SPREAD_BYTES_MIN {
        let mut counts = [0_u32; 256];
        for byte in bytes {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let expected = bytes.len() as f64 / 256.0;
        let sum: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum();
        return sum < SPREAD_MAX;
    }
    let bits = bytes.len() as f64 * 8.0;
    let set: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    (f64::from(set) - bits / 2.0).abs() < BITS_OFF_MAX * bits.sqrt() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_passes_and_what_has_a_form_does_not() {
        for _ in 0..40 {
            let noise: Vec<u8> = (0..2_048).flat_map(|_| kim_core::random::bytes::<32>()).collect();
            for length in [16, 33, 100, 1_279, 1_280, 65_536] {
                assert!(!is_plain(&noise[..length]), "{length}");
            }
        }
        let text = "Call me Ishmael. Some years ago — never mind how long precisely. ".repeat(1_000);
        let wave: Vec<u8> = (0..65_536_u32).map(|at| (at % 251) as u8 / 2).collect();
        let mut pixels = b"\x89PNG\r\n\x1A\n".to_vec();
        pixels.extend((0..1_000).flat_map(|_| kim_core::random::bytes::<32>()));
        for (what, plain) in [
            ("text", text.as_bytes()),
            ("a cut text", &text.as_bytes()[..text.find('—').unwrap() + 1]),
            ("nothing but zeros", &[0; 65_536]),
            ("a few zeros", &[0; 40]),
            ("sound", &wave),
            ("a picture", &pixels),
        ] {
            assert!(is_plain(plain), "{what}");
        }
    }
}
