//! Another key-encryption key: every data key is wrapped anew, no row that was sealed is touched.
//!
//! Whatever moment the power fails in, the file holds every key that the database needs:
//! 1. the file gets the new key in front of the old one; 2. the database gets the proof of the new key;
//! 3. data keys are wrapped anew, some hundred in each transaction; 4. when none is left, the proof of the old key goes;
//! 5. what is left of the old rows is removed from the database's files; 6. the file keeps the new key only.
//!
//! A rotation that was cut off goes on at the next start, or when asked again.

use zeroize::Zeroizing;

use super::keyfile::Kek;
use super::{Ring, SealError, Seals, proof, store, unwrap, wrap};
use crate::db::Traces;

/// Data keys wrapped anew in one transaction.
const PAGE_KEYS_MAX: u32 = 256;
/// How often the table is gone through before it is said that something else keeps writing old keys.
const ROUNDS_MAX: usize = 8;

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The fingerprint of the key in use now.
    pub key: String,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
}

impl Seals {
    /// Replaces the key-encryption key, or finishes a replacement that was cut off.
    pub async fn rotate(&self) -> Result<Rotation, SealError> {
        let _one = self.inner.rotating.lock().await;
        self.begin().await?;
        let ring = self.ring();
        store::prove(&self.inner.db, ring.current.id.clone(), proof(&ring.current)).await?;
        let mut rewrapped = 0;
        for _ in 0..ROUNDS_MAX {
            rewrapped += self.rewrap_all(&ring).await?;
            if store::retire_others(&self.inner.db, ring.current.id.clone()).await? {
                // As long as anything is left of the old rows, the file keeps the old key, so that a start goes on here.
                store::repage(&self.inner.db).await?;
                self.inner.db.scrub(Traces::Keys).await?;
                self.inner.file.write(&[&ring.current])?;
                self.set_ring(Ring {
                    current: ring.current.clone(),
                    retiring: Vec::new(),
                });
                tracing::info!(event = "sealing_key_rotated", key = ring.current.id, rewrapped);
                return Ok(Rotation {
                    key: ring.current.id.clone(),
                    rewrapped,
                });
            }
        }
        Err(SealError::DataKey {
            owner: "somebody".to_owned(),
            cause: "another server keeps using the old sealing key; stop it and rotate again".to_owned(),
        })
    }

    /// Step 1. The ring follows the file, so nothing is wrapped by a key that is not on the disk.
    async fn begin(&self) -> Result<(), SealError> {
        let ring = self.ring();
        if !ring.retiring.is_empty() {
            return Ok(());
        }
        let (old, new) = (ring.current.clone(), Kek::random());
        self.inner.file.write(&[&new, &old])?;
        self.set_ring(Ring {
            current: new,
            retiring: vec![old],
        });
        Ok(())
    }

    /// Step 3.
    async fn rewrap_all(&self, ring: &Ring) -> Result<u64, SealError> {
        let mut rewrapped = 0;
        let mut after = String::new();
        loop {
            let page = store::page(&self.inner.db, &after, PAGE_KEYS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(rewrapped);
            };
            after = last.owner.clone();
            let (mut fresh, mut old) = (Vec::new(), Vec::new());
            for wrapped in page.iter().filter(|wrapped| wrapped.kek != ring.current.id) {
                let key = Zeroizing::new(unwrap(ring, wrapped)?);
                fresh.push(wrap(&ring.current, &wrapped.owner, &key));
                old.push(wrapped.kek.clone());
            }
            if !fresh.is_empty() {
                rewrapped += store::rewrap(&self.inner.db, fresh, old).await?;
            }
        }
    }
}
