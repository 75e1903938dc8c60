//! Sealing: what people write lies in the database encrypted, so that a stolen disk or dump shows none of it.
//!
//! Each account (each room) has a data key of its own, random and 256 bits long. It lies in the database wrapped by the
//! key-encryption key, which lies in a file beside it (`[storage] sealing_key`). Without the file nothing opens; without
//! an account's row of `kim_data_keys` nothing of that account does, so removing it is what erases for good.
//! `docs/security.md` says what is sealed and what is not.

mod cipher;
mod keyfile;
mod rotate;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

pub use cipher::{KEY_BYTES, Key, OVERHEAD_BYTES, Unreadable};
pub use rotate::Rotation;
pub use store::erase;

use crate::db::{Db, DbError};
use crate::keyed::Shared;
use keyfile::{Kek, KeyFile};
use store::Wrapped;

/// Data keys held in memory; some 300 bytes each.
const KEYS_CACHED_MAX: usize = 32_768;
/// What is sealed to recognise a key-encryption key.
const PROOF: &[u8] = b"kIM: this key opens this database";

/// Why something cannot be sealed or opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SealError {
    /// The key file cannot be used.
    #[error("the sealing key {path} {cause}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// The file holds another key than the one that opens this database.
    #[error(
        "the sealing key {path} does not fit this database: it is key {found}, needed is {needed}; put the right file back \
         (a copy of the file from the machine where the database was made)"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The fingerprint of the key in the file.
        found: String,
        /// That of the key that is needed.
        needed: String,
    },
    /// There is no file, and the database needs one.
    #[error(
        "the sealing key {path} is missing, and the messages in this database can be read only with it (key {needed}); \
         put the file back, or name it in [storage] sealing_key"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// The fingerprint of the key that is needed.
        needed: String,
    },
    /// A data key cannot be opened.
    #[error("the data key of {owner} cannot be opened: {cause}")]
    DataKey {
        /// Whose.
        owner: String,
        /// Why.
        cause: String,
    },
    /// Sealed bytes cannot be opened.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The key-encryption keys: the one in use, and those that are being replaced by it.
#[derive(Clone)]
struct Ring {
    current: Kek,
    retiring: Vec<Kek>,
}

impl Ring {
    fn of(keys: Vec<Kek>) -> Option<Ring> {
        let mut keys = keys.into_iter();
        Some(Ring {
            current: keys.next()?,
            retiring: keys.collect(),
        })
    }

    fn find(&self, id: &str) -> Option<&Kek> {
        std::iter::once(&self.current)
            .chain(&self.retiring)
            .find(|kek| kek.id == id)
    }
}

struct Inner {
    db: Db,
    file: KeyFile,
    ring: RwLock<Arc<Ring>>,
    keys: Shared<String, Arc<Key>>,
    /// One rotation at a time.
    rotating: tokio::sync::Mutex<()>,
}

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Seals {
    inner: Arc<Inner>,
}

impl Seals {
    /// Takes the key-encryption key from a file, which is made (for its owner only) if the database is new. The tables of
    /// [`crate::db::CORE_MIGRATIONS`] must be there. The error is one line for the operator.
    pub async fn open(db: Db, path: &Path) -> Result<Seals, SealError> {
        let file = KeyFile::At(path.to_owned());
        let proofs = store::proofs(&db).await?;
        let ring = match file.read()?.and_then(Ring::of) {
            Some(ring) => ring,
            None => {
                if let Some((needed, _)) = proofs.first() {
                    return Err(SealError::Missing {
                        path: path.to_owned(),
                        needed: needed.clone(),
                    });
                }
                let kek = Kek::random();
                file.write(&[&kek])?;
                tracing::info!(event = "sealing_key_made", path = %path.display(), key = kek.id);
                Ring {
                    current: kek,
                    retiring: Vec::new(),
                }
            }
        };
        let seals = Seals::with(db, file, ring);
        seals.check(path).await?;
        // A rotation that was cut off goes on where it stood.
        if !seals.ring().retiring.is_empty() {
            seals.rotate().await?;
        }
        Ok(seals)
    }

    /// Looks whether a key file fits a database, and makes and changes nothing; gives the key's fingerprint, or `None` if
    /// the first start will make one.
    pub async fn inspect(db: Db, path: &Path) -> Result<Option<String>, SealError> {
        let proofs = match store::proofs(&db).await {
            // The one way for this statement to be refused: there is no such table yet.
            Err(DbError::Statement(_)) => Vec::new(),
            proofs => proofs?,
        };
        let file = KeyFile::At(path.to_owned());
        match (file.read()?.and_then(Ring::of), proofs.first()) {
            (None, None) => Ok(None),
            (None, Some((needed, _))) => Err(SealError::Missing {
                path: path.to_owned(),
                needed: needed.clone(),
            }),
            (Some(ring), _) => {
                let id = ring.current.id.clone();
                Seals::with(db, file, ring).fits(path, &proofs)?;
                Ok(Some(id))
            }
        }
    }

    /// With a key from elsewhere than a file: for a database in memory, and for tests, which guard nothing.
    pub async fn with_key(db: Db, secret: [u8; KEY_BYTES]) -> Result<Seals, SealError> {
        let ring = Ring {
            current: Kek::new(Key::from_secret(secret)),
            retiring: Vec::new(),
        };
        let seals = Seals::with(db, KeyFile::Memory, ring);
        seals.check(Path::new("(in memory)")).await?;
        Ok(seals)
    }

    fn with(db: Db, file: KeyFile, ring: Ring) -> Seals {
        Seals {
            inner: Arc::new(Inner {
                keys: Shared::new(db.caches(), "seal.keys", KEYS_CACHED_MAX),
                db,
                file,
                ring: RwLock::new(Arc::new(ring)),
                rotating: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Sees that one of the keys opens this database. A database without any proof is new and takes the one in use.
    async fn check(&self, path: &Path) -> Result<(), SealError> {
        let (db, ring) = (&self.inner.db, self.ring());
        let mut proofs = store::proofs(db).await?;
        if proofs.is_empty() {
            store::prove_first(db, ring.current.id.clone(), proof(&ring.current)).await?;
            proofs = store::proofs(db).await?;
        }
        self.fits(path, &proofs)
    }

    fn fits(&self, path: &Path, proofs: &[(String, Vec<u8>)]) -> Result<(), SealError> {
        let ring = self.ring();
        let fits = |(id, proof): &(String, Vec<u8>)| {
            ring.find(id)
                .is_some_and(|kek| kek.key.open(&[b"proof", id.as_bytes()], proof).is_ok())
        };
        match proofs.iter().find(|proof| !fits(proof)) {
            None => Ok(()),
            Some((needed, _)) => Err(SealError::Foreign {
                path: path.to_owned(),
                found: ring.current.id.clone(),
                needed: needed.clone(),
            }),
        }
    }

    fn ring(&self) -> Arc<Ring> {
        self.inner
            .ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_ring(&self, ring: Ring) {
        *self.inner.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// The data key of an account or room, made if there is none yet; the new one is committed before it is given.
    pub async fn key(&self, owner: &str) -> Result<Arc<Key>, SealError> {
        let made = self.inner.keys.read(owner, || async {
            if let Some(found) = store::find(&self.inner.db, owner).await? {
                return self.unwrap(found).await;
            }
            self.make(owner).await
        });
        made.await
    }

    /// The data key of an account or room, if it has one.
    pub async fn known_key(&self, owner: &str) -> Result<Option<Arc<Key>>, SealError> {
        if let Some(key) = self.inner.keys.get(owner) {
            return Ok(Some(key));
        }
        match store::find(&self.inner.db, owner).await? {
            Some(_) => self.key(owner).await.map(Some),
            None => Ok(None),
        }
    }

    /// Seals a text of an owner for one place; see [`Key::seal`].
    pub async fn seal(&self, owner: &str, aad: &[&[u8]], text: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(self.key(owner).await?.seal(aad, text))
    }

    /// Opens what was sealed for that place.
    pub async fn open_sealed(&self, owner: &str, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.known_key(owner).await?.ok_or(Unreadable)?;
        Ok(key.open(aad, sealed)?)
    }

    /// Forgets an owner's data key, which was destroyed in the database.
    pub fn forget(&self, owner: &str) {
        self.inner.keys.invalidate(owner);
    }

    async fn make(&self, owner: &str) -> Result<Arc<Key>, SealError> {
        let key = Key::random();
        // Once more if a rotation on another node has just retired the key that wrapped it.
        for _ in 0..2 {
            let fresh = wrap(&self.ring().current, owner, &key);
            if let Some(found) = store::make(&self.inner.db, fresh).await? {
                // It may be another one's, who was faster.
                return self.unwrap(found).await;
            }
            self.reload()?;
        }
        Err(data_key(
            owner,
            "the sealing key of this server is not in use any more; restart it with the new file",
        ))
    }

    async fn unwrap(&self, wrapped: Wrapped) -> Result<Arc<Key>, SealError> {
        if self.ring().find(&wrapped.kek).is_none() {
            // A rotation on another node: the file may have the new key by now.
            self.reload()?;
        }
        unwrap(&self.ring(), &wrapped).map(Arc::new)
    }

    fn reload(&self) -> Result<(), SealError> {
        if let Some(ring) = self.inner.file.read()?.and_then(Ring::of) {
            self.set_ring(ring);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seals")
            .field("file", &self.inner.file)
            .finish_non_exhaustive()
    }
}

fn proof(kek: &Kek) -> Vec<u8> {
    kek.key.seal(&[b"proof", kek.id.as_bytes()], PROOF)
}

fn wrap(kek: &Kek, owner: &str, key: &Key) -> Wrapped {
    Wrapped {
        owner: owner.to_owned(),
        kek: kek.id.clone(),
        bytes: kek.key.seal(&[b"data key", owner.as_bytes()], key.secret()),
    }
}

fn unwrap(ring: &Ring, wrapped: &Wrapped) -> Result<Key, SealError> {
    let kek = ring
        .find(&wrapped.kek)
        .ok_or_else(|| data_key(&wrapped.owner, "the key file does not hold the key that it needs"))?;
    let secret = kek
        .key
        .open(&[b"data key", wrapped.owner.as_bytes()], &wrapped.bytes);
    let secret = Zeroizing::new(secret.map_err(|error| data_key(&wrapped.owner, &error.to_string()))?);
    let secret: &[u8; KEY_BYTES] = secret
        .as_slice()
        .try_into()
        .map_err(|_| data_key(&wrapped.owner, "it is too short"))?;
    Ok(Key::from_secret(*secret))
}

fn data_key(owner: &str, cause: &str) -> SealError {
    SealError::DataKey {
        owner: owner.to_owned(),
        cause: cause.to_owned(),
    }
}
