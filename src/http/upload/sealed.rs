//! Files sealed while they pass: AES-256-GCM in chunks of 64 kB (the STREAM construction of Hoang, Reyhanitabar, Rogaway and
//! Vizár, 2015), under a key of their own. Each chunk's nonce is its number and whether it is the last, so that chunks cannot be
//! left out, moved or cut off unnoticed; a key is used for one file, so no nonce comes twice. A part of a file needs only the
//! chunks it lies in, and memory for one of them.

use bytes::{Bytes, BytesMut};
use kim_core::random;
use kim_xep::xep0363_upload::api::ContentKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of a chunk before it is sealed.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// What sealing adds to each.
const TAG_BYTES: usize = 16;
/// Bytes of a chunk when it is.
pub(super) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// A chunk that was changed, or is not where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A new key.
pub(super) fn new_key() -> ContentKey {
    ContentKey(random::bytes())
}

fn cipher(key: &ContentKey) -> Result<LessSafeKey, Broken> {
    let key = UnboundKey::new(&AES_256_GCM, &key.0).map_err(|_| Broken)?;
    Ok(LessSafeKey::new(key))
}

/// How many chunks a file has.
fn chunks(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    let (counter, last) = nonce.split_at_mut(11);
    counter
        .iter_mut()
        .rev()
        .zip(number.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    last.fill(u8::from(is_last));
    Nonce::assume_unique_for_key(nonce)
}

/// Seals a file of known size.
pub(super) struct Sealer {
    cipher: LessSafeKey,
    number: u64,
    chunks: u64,
}

impl Sealer {
    pub fn new(key: &ContentKey, bytes: u64) -> Result<Sealer, Broken> {
        Ok(Sealer {
            cipher: cipher(key)?,
            number: 0,
            chunks: chunks(bytes),
        })
    }

    /// Seals the next chunk in place: whole, but for the last one.
    pub fn seal(&mut self, chunk: &mut BytesMut) -> Result<(), Broken> {
        let nonce = nonce(self.number, self.number + 1 == self.chunks);
        self.number += 1;
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, Aad::empty(), chunk)
            .map_err(|_| Broken)?;
        chunk.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens a part of a file.
pub(super) struct Opener {
    cipher: LessSafeKey,
    number: u64,
    chunks: u64,
    /// Bytes of the first chunk that were not asked for.
    skip: usize,
    /// Bytes still to be given.
    left: u64,
    sealed: BytesMut,
}

impl Opener {
    /// For the bytes `first` to `last` of a file of so many; gives also where they are in the sealed file.
    pub fn new(
        key: &ContentKey,
        bytes: u64,
        first: u64,
        last: u64,
    ) -> Result<(Opener, std::ops::Range<u64>), Broken> {
        let chunk = CHUNK_BYTES as u64;
        let (from, to) = (first / chunk, last / chunk + 1);
        let whole = bytes + chunks(bytes) * TAG_BYTES as u64;
        let range = from * SEALED_CHUNK_BYTES as u64..(to * SEALED_CHUNK_BYTES as u64).min(whole);
        let opener = Opener {
            cipher: cipher(key)?,
            number: from,
            chunks: chunks(bytes),
            skip: (first % chunk) as usize,
            left: last - first + 1,
            sealed: BytesMut::new(),
        };
        Ok((opener, range))
    }

    /// Whether all of the part was given.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Takes sealed bytes as they come.
    pub fn push(&mut self, sealed: &[u8]) {
        self.sealed.extend_from_slice(sealed);
    }

    /// What the next chunk holds of the part; `None` while it is not whole. `is_end`: no more sealed bytes come.
    pub fn next(&mut self, is_end: bool) -> Result<Option<Bytes>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        let is_last = self.number + 1 == self.chunks;
        let length = match self.sealed.len() {
            enough if enough >= SEALED_CHUNK_BYTES => SEALED_CHUNK_BYTES,
            rest if is_end && is_last => rest,
            _ if is_end => return Err(Broken),
            _ => return Ok(None),
        };
        let mut chunk = self.sealed.split_to(length);
        let opened = self
            .cipher
            .open_in_place(nonce(self.number, is_last), Aad::empty(), &mut chunk)
            .map_err(|_| Broken)?;
        let length = opened.len();
        chunk.truncate(length);
        self.number += 1;
        let mut plain = chunk.freeze();
        let skip = std::mem::take(&mut self.skip);
        if skip > plain.len() {
            return Err(Broken);
        }
        plain = plain.slice(skip..);
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        plain.truncate(most);
        self.left -= plain.len() as u64;
        if plain.is_empty() {
            Err(Broken)
        } else {
            Ok(Some(plain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &ContentKey, plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(key, plain.len() as u64).unwrap();
        let mut out = Vec::new();
        for chunk in plain.chunks(CHUNK_BYTES) {
            let mut chunk = BytesMut::from(chunk);
            sealer.seal(&mut chunk).unwrap();
            out.extend_from_slice(&chunk);
        }
        out
    }

    fn open(key: &ContentKey, sealed: &[u8], bytes: u64, first: u64, last: u64) -> Result<Vec<u8>, Broken> {
        let (mut opener, range) = Opener::new(key, bytes, first, last)?;
        let part = sealed
            .get(range.start as usize..(range.end as usize).min(sealed.len()))
            .ok_or(Broken)?;
        let mut out = Vec::new();
        for piece in part.chunks(10_007) {
            opener.push(piece);
            while let Some(plain) = opener.next(false)? {
                out.extend_from_slice(&plain);
            }
        }
        while let Some(plain) = opener.next(true)? {
            out.extend_from_slice(&plain);
        }
        opener.is_done().then_some(out).ok_or(Broken)
    }

    #[test]
    fn every_part_of_every_size() {
        let key = new_key();
        let chunk = CHUNK_BYTES as u64;
        for bytes in [1, 2, chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 5] {
            let plain: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let sealed = seal(&key, &plain);
            assert_eq!(sealed.len() as u64, bytes + chunks(bytes) * 16);
            let edges = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, bytes - 1];
            for first in edges.into_iter().filter(|at| *at < bytes) {
                for last in edges.into_iter().filter(|at| (first..bytes).contains(at)) {
                    let part = open(&key, &sealed, bytes, first, last).unwrap();
                    assert!(
                        part == plain[first as usize..=last as usize],
                        "{bytes}: {first}-{last}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let key = new_key();
        let plain = vec![7; 3 * CHUNK_BYTES];
        let sealed = seal(&key, &plain);
        let all = |sealed: &[u8]| open(&key, sealed, plain.len() as u64, 0, plain.len() as u64 - 1);
        assert!(all(&sealed) == Ok(plain.clone()));
        let mut flipped = sealed.clone();
        flipped[SEALED_CHUNK_BYTES + 5] ^= 1;
        let mut swapped = sealed.clone();
        swapped.rotate_left(SEALED_CHUNK_BYTES);
        let cut = &sealed[..2 * SEALED_CHUNK_BYTES];
        for (what, bytes) in [
            ("flipped", &flipped[..]),
            ("swapped", &swapped),
            ("cut", cut),
            ("nothing", &[]),
        ] {
            assert_eq!(all(bytes), Err(Broken), "{what}");
        }
        // A shorter file of which the last chunk was one in the middle.
        assert_eq!(
            open(&key, cut, 2 * CHUNK_BYTES as u64, 0, 2 * CHUNK_BYTES as u64 - 1),
            Err(Broken)
        );
        assert_eq!(
            open(&new_key(), &sealed, plain.len() as u64, 0, 9),
            Err(Broken),
            "another's key"
        );
    }
}
