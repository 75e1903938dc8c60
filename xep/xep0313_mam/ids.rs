//! Archive ids (§6.2): opaque and unpredictable to everybody, and yet they lead straight to a place in the archive.
//!
//! An id is the random half of the place, followed by the other half, the time, masked with what only the owner's key can
//! compute from the first. It needs no index of its own, it tells nothing, neither when nor how many (XEP-0359 §6), and
//! nobody can guess one.

use kim_core::random;
use kim_core::seal;

use super::store::ArchiveKey;

/// Bytes of an id, before they are written as text.
const BYTES: usize = 16;
/// Its length as text.
pub const CHARS: usize = 26;

/// A new random half.
pub fn tie() -> i64 {
    // Neither negative nor the greatest, which stand for the ends of an archive.
    i64::from_le_bytes(random::bytes()) & (i64::MAX >> 1)
}

fn mask(key: &seal::Key, tie: i64) -> i64 {
    key.tag("archive id", &[&tie.to_be_bytes()])
}

/// The id of a place.
pub fn write(key: &seal::Key, place: ArchiveKey) -> String {
    let mut bytes = [0; BYTES];
    let (left, right) = bytes.split_at_mut(BYTES / 2);
    left.copy_from_slice(&place.tie.to_be_bytes());
    right.copy_from_slice(&(place.stamp ^ mask(key, place.tie)).to_be_bytes());
    let mut text = data_encoding::BASE32_NOPAD.encode(&bytes);
    text.make_ascii_lowercase();
    text
}

/// The place that an id stands for, whether or not there is a message. `None` if the text is not an id.
pub fn read(key: &seal::Key, id: &str) -> Option<ArchiveKey> {
    if id.len() != CHARS || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let bytes = data_encoding::BASE32_NOPAD
        .decode(id.to_ascii_uppercase().as_bytes())
        .ok()?;
    let (left, right) = bytes.split_first_chunk::<8>()?;
    let tie = i64::from_be_bytes(*left);
    let masked = i64::from_be_bytes(*right.first_chunk::<8>()?);
    Some(ArchiveKey {
        stamp: masked ^ mask(key, tie),
        tie,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_place_and_tells_nothing() {
        let (key, other) = (seal::Key::from_secret([1; 32]), seal::Key::from_secret([2; 32]));
        let stamp = 1_769_860_800_000_000;
        let place = ArchiveKey { stamp, tie: tie() };
        let id = write(&key, place);
        assert_eq!(id.len(), CHARS);
        assert!(id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')));
        assert_eq!(read(&key, &id), Some(place));
        assert_ne!(read(&other, &id), Some(place));
        // Neighbours have nothing in common.
        let next = write(
            &key,
            ArchiveKey {
                stamp: stamp + 1,
                tie: tie(),
            },
        );
        assert!(id.bytes().zip(next.bytes()).filter(|(a, b)| a == b).count() < CHARS / 2);
        for wrong in [
            "",
            "x",
            &id.to_uppercase(),
            &format!("{id}a"),
            "00000000000000000000000000",
            "äääääääääääää",
        ] {
            assert_eq!(read(&key, wrong), None, "{wrong}");
        }
    }
}
