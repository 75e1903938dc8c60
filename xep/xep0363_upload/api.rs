//! What the web's door needs to know and to say about files.

use std::sync::Arc;

use kim_core::clock::{Clock, Timestamp};
use kim_core::config::WebOrigin;
use kim_core::db::DbError;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::module::Registrar;
use kim_core::random;
use kim_core::seal::{Key, SealError, Seals};

use super::UploadConfig;
use super::names;
pub use super::names::{clean as clean_name, encode as encode_name};
use super::pace::SlotPace;
pub use super::slot::Slot;
use super::store::{FileRow, UploadStore};

/// Whose data key seals the tokens of slots.
const SLOT_KEY: &str = "upload slots";
/// Whose data key seals what guests upload: one for all, since theirs would be left behind when they are gone.
const GUESTS: &str = "upload guests";
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// How long an object may be there before its file is.
const WRITING_MICROS: i64 = DAY_MICROS;
/// Bytes of the key of a file's content.
pub const KEY_BYTES: usize = 32;

/// What a file is for (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A message; the usual.
    Message,
    /// A profile: small, and kept.
    Profile,
    /// Until then at most.
    Ephemeral(Timestamp),
    /// Without end.
    Permanent,
}

/// What somebody wants to upload.
pub struct UploadWish<'a> {
    /// The name they give it.
    pub name: &'a str,
    /// Its size.
    pub bytes: u64,
    /// Its type, if they say one.
    pub media_type: Option<&'a str>,
    /// What it is for.
    pub purpose: Purpose,
    /// They have no account.
    pub is_guest: bool,
}

/// Where a file goes, and where it will be.
pub struct Offer {
    /// To be put there, once.
    pub put: String,
    /// To be fetched there.
    pub get: String,
}

/// Why not.
#[derive(Debug)]
pub enum UploadRefusal {
    /// It is larger than a file may be.
    TooLarge {
        /// How large one may be.
        bytes_max: u64,
    },
    /// The account has too much.
    Quota {
        /// When it has less by itself, if that helps.
        retry: Option<Timestamp>,
    },
    /// The account asks for slots too fast.
    TooFast {
        /// When there is one again.
        retry: Timestamp,
    },
    /// Nobody like that may upload.
    NotAllowed,
    /// The request makes no sense.
    Impossible(&'static str),
    /// Not that purpose.
    Unsupported,
    /// The slot was used.
    Used,
    /// The database went away in the middle: it may have been done or not.
    Unknown,
    /// Our own failure.
    Failed(Box<Fault>),
}

impl From<DbError> for UploadRefusal {
    fn from(error: DbError) -> UploadRefusal {
        match error {
            DbError::OutcomeUnknown => UploadRefusal::Unknown,
            error => UploadRefusal::Failed(Box::new(error.into())),
        }
    }
}

impl From<SealError> for UploadRefusal {
    fn from(error: SealError) -> UploadRefusal {
        UploadRefusal::Failed(Box::new(error.into()))
    }
}

/// A file that is there.
#[derive(Clone, Debug)]
pub struct File {
    /// Its id.
    pub id: String,
    /// Where its content is.
    pub object: String,
    /// The size of its content, unsealed.
    pub bytes: u64,
    /// Its name.
    pub name: String,
    /// Its type, if the uploader said one.
    pub media_type: Option<String>,
    /// The key of its content; `None` if that lies there as it came.
    pub key: Option<ContentKey>,
    /// When it came, in microseconds since 1970.
    pub created_at: i64,
    /// When it goes.
    pub expires_at: Option<i64>,
}

/// The key of one file's content.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey(pub [u8; KEY_BYTES]);

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The files of all accounts.
pub struct Uploads {
    config: UploadConfig,
    origin: WebOrigin,
    pace: SlotPace,
    store: UploadStore,
    seals: Seals,
    clock: Clock,
    guest_domains: Vec<String>,
}

impl Uploads {
    pub(super) fn new(config: UploadConfig, origin: WebOrigin, house: &Registrar<'_>) -> Uploads {
        Uploads {
            pace: SlotPace::new(config.slots_per_minute),
            config,
            origin,
            store: UploadStore::new(house.db.clone()),
            seals: house.seals.clone(),
            clock: house.clock.clone(),
            guest_domains: house.config.guest_domains(),
        }
    }

    /// Where files are.
    pub fn origin(&self) -> &WebOrigin {
        &self.origin
    }

    /// The settings.
    pub fn config(&self) -> &UploadConfig {
        &self.config
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    // ——— slots ———

    /// Offers a slot, if the account may have one.
    pub async fn offer(&self, account: &BareJid, wish: UploadWish<'_>) -> Result<Offer, UploadRefusal> {
        let config = &self.config;
        if wish.is_guest && !config.guests {
            return Err(UploadRefusal::NotAllowed);
        }
        let bytes_max = match wish.purpose {
            Purpose::Profile => config.profile_bytes_max.min(config.file_bytes_max),
            Purpose::Permanent if !config.permanent || wish.is_guest => {
                return Err(UploadRefusal::Unsupported);
            }
            _ => config.file_bytes_max,
        };
        if wish.bytes > bytes_max {
            return Err(UploadRefusal::TooLarge { bytes_max });
        }
        if wish.bytes == 0 {
            return Err(UploadRefusal::Impossible("the file must not be empty"));
        }
        let media_type = match wish.media_type.map(names::media_type) {
            Some(None) => {
                return Err(UploadRefusal::Impossible(
                    "content-type must be a media type such as image/jpeg",
                ));
            }
            Some(known) => known,
            None => None,
        };
        let now = self.clock.now();
        let usual = (config.days_kept > 0).then(|| now.0 + i64::from(config.days_kept) * DAY_MICROS);
        let expires_at = match wish.purpose {
            _ if wish.is_guest => Some(usual.unwrap_or(i64::MAX).min(now.0 + DAY_MICROS)),
            Purpose::Message => usual,
            Purpose::Profile | Purpose::Permanent => None,
            Purpose::Ephemeral(before) => {
                if before.0 <= now.0 {
                    return Err(UploadRefusal::Impossible("expire-before must be in the future"));
                }
                Some(usual.unwrap_or(i64::MAX).min(before.0))
            }
        };
        self.pace
            .take(account, now)
            .map_err(|retry| UploadRefusal::TooFast { retry })?;
        self.check_quota(account, wish.bytes).await?;
        let slot = Slot {
            id: random::token(),
            name: names::clean(wish.name),
            account: account.clone(),
            bytes: wish.bytes,
            media_type,
            until: now.0 + i64::from(config.slot_seconds) * 1_000_000,
            expires_at,
        };
        let get = self.address(&slot.id, &slot.name);
        let put = format!("{get}?slot={}", slot.token(&*self.slot_key().await?));
        Ok(Offer { put, get })
    }

    /// Where a file is fetched.
    pub fn address(&self, id: &str, name: &str) -> String {
        format!("{}/upload/{id}/{}", self.origin, names::encode(name))
    }

    async fn slot_key(&self) -> Result<Arc<Key>, SealError> {
        self.seals.key(SLOT_KEY).await
    }

    /// Reads the token of a slot. `None`: it is not ours, not for this file, or too old.
    pub async fn slot(&self, id: &str, name: &str, token: &str) -> Result<Option<Slot>, UploadRefusal> {
        let slot = Slot::open(&*self.slot_key().await?, id, name, token);
        Ok(slot.filter(|slot| slot.until > self.clock.now().0))
    }

    async fn check_quota(&self, account: &BareJid, bytes: u64) -> Result<(), UploadRefusal> {
        let now = self.clock.now().0;
        let (all, today) = self.store.usage(account, now / DAY_MICROS).await?;
        self.judge(all, today, bytes, now)
    }

    fn judge(&self, all: u64, today: u64, bytes: u64, now: i64) -> Result<(), UploadRefusal> {
        if all.saturating_add(bytes) > self.config.account_bytes_max {
            return Err(UploadRefusal::Quota { retry: None });
        }
        if today.saturating_add(bytes) > self.config.day_bytes_max {
            let tomorrow = Timestamp((now / DAY_MICROS + 1) * DAY_MICROS);
            // Tomorrow does not help for what is larger than a day.
            let helps = bytes <= self.config.day_bytes_max;
            return Err(UploadRefusal::Quota {
                retry: helps.then_some(tomorrow),
            });
        }
        Ok(())
    }

    // ——— files ———

    /// Begins to store the content of a slot, and gives the name of its object. Should it never become a file, the object
    /// is waste.
    pub async fn begin(&self, slot: &Slot) -> Result<String, UploadRefusal> {
        if self.store.find(&slot.id).await?.is_some() {
            return Err(UploadRefusal::Used);
        }
        self.check_quota(&slot.account, slot.bytes).await?;
        let object = random::token();
        let now = self.clock.now().0;
        self.store.waste(&object, now + WRITING_MICROS).await?;
        Ok(object)
    }

    /// The content of a slot is stored as a whole: it becomes a file, which is committed when this returns.
    pub async fn finish(
        &self,
        slot: &Slot,
        object: &str,
        key: Option<&ContentKey>,
    ) -> Result<(), UploadRefusal> {
        let now = self.clock.now().0;
        let meta = Meta {
            name: slot.name.clone(),
            media_type: slot.media_type.clone(),
            key: key.cloned(),
        };
        let owner = match self.is_guest(&slot.account) {
            true => GUESTS,
            false => slot.account.as_str(),
        };
        let sealing = self.seals.key(owner).await?;
        let row = FileRow {
            id: slot.id.clone(),
            account: slot.account.as_str().to_owned(),
            object: object.to_owned(),
            bytes: slot.bytes,
            meta: sealing.seal(&[b"upload", slot.id.as_bytes()], &meta.write()),
            created_at: now,
            expires_at: slot.expires_at,
        };
        let limits = (self.config.account_bytes_max, self.config.day_bytes_max);
        self.store
            .insert(row, now / DAY_MICROS, limits)
            .await
            .map_err(|error| match error {
                DbError::Refused("used") => UploadRefusal::Used,
                DbError::Refused(_) => UploadRefusal::Quota { retry: None },
                other => other.into(),
            })
    }

    /// A file by its id, unless it is over.
    pub async fn find(&self, id: &str) -> Result<Option<File>, UploadRefusal> {
        let Some(row) = self.store.find(id).await? else {
            return Ok(None);
        };
        if row.expires_at.is_some_and(|at| at <= self.clock.now().0) {
            return Ok(None);
        }
        self.open(row).await.map(Some)
    }

    /// Whether that is somebody without an account.
    fn is_guest(&self, account: &BareJid) -> bool {
        self.guest_domains.iter().any(|domain| domain == account.domain())
    }

    async fn open(&self, row: FileRow) -> Result<File, UploadRefusal> {
        let aad: [&[u8]; 2] = [b"upload", row.id.as_bytes()];
        let is_guest = BareJid::parse(&row.account).is_ok_and(|account| self.is_guest(&account));
        // A guest's file from before lies under a key of its own, until it is over.
        let owner = match is_guest && self.seals.known_key(&row.account).await?.is_none() {
            true => GUESTS,
            false => &row.account,
        };
        let meta = self.seals.open_sealed(owner, &aad, &row.meta).await?;
        let meta = Meta::read(&meta)
            .ok_or_else(|| UploadRefusal::Failed(Box::new(Fault::Us("odd upload".into()))))?;
        Ok(File {
            id: row.id,
            object: row.object,
            bytes: row.bytes,
            name: meta.name,
            media_type: meta.media_type,
            key: meta.key,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }

    /// The files of an account, the newest first: so many of those that came before a time.
    pub async fn list(
        &self,
        account: &BareJid,
        before: Option<i64>,
        files_max: u32,
    ) -> Result<Vec<File>, UploadRefusal> {
        let mut files = Vec::new();
        for row in self
            .store
            .list(account, before.unwrap_or(i64::MAX), files_max)
            .await?
        {
            let id = row.id.clone();
            match self.open(row).await {
                Ok(file) => files.push(file),
                Err(UploadRefusal::Failed(fault)) if !matches!(*fault, Fault::Stanza(_)) => {
                    // What is sealed of this one is damaged; the others are there.
                    tracing::error!(event = "upload_unreadable", %account, id, ?fault);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(files)
    }

    /// Deletes a file of an account; tells whether there was one.
    pub async fn delete(&self, account: &BareJid, id: &str) -> Result<bool, UploadRefusal> {
        Ok(self.store.delete(account, id).await?)
    }

    // ——— waste ———

    /// Files that are over become waste; tells how many.
    pub async fn expire(&self) -> Result<u64, UploadRefusal> {
        let now = self.clock.now().0;
        let expired = self.store.expire(now).await?;
        self.store.forget_days(now / DAY_MICROS - 1).await?;
        Ok(expired)
    }

    /// Objects that nobody needs.
    pub async fn waste(&self, objects_max: u32) -> Result<Vec<String>, UploadRefusal> {
        Ok(self.store.wasted(self.clock.now().0, objects_max).await?)
    }

    /// An object is no longer needed, or no longer there.
    pub async fn wasted(&self, object: &str, is_gone: bool) -> Result<(), UploadRefusal> {
        if is_gone {
            self.store.forget_waste(object).await?;
        } else {
            self.store.waste(object, 0).await?;
        }
        Ok(())
    }
}

/// What is sealed of a file.
struct Meta {
    name: String,
    media_type: Option<String>,
    key: Option<ContentKey>,
}

impl Meta {
    /// The key, or nothing, behind the length of that; then the type and the name, a line each (neither has line ends).
    fn write(&self) -> Vec<u8> {
        let key = self.key.as_ref().map_or(&[][..], |key| &key.0);
        let mut bytes = vec![u8::from(!key.is_empty())];
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(self.media_type.as_deref().unwrap_or_default().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Meta> {
        let (has_key, mut rest) = bytes.split_first()?;
        let mut key = None;
        if *has_key == 1 {
            let (found, behind) = rest.split_first_chunk::<KEY_BYTES>()?;
            key = Some(ContentKey(*found));
            rest = behind;
        }
        let text = std::str::from_utf8(rest).ok()?;
        let (media_type, name) = text.split_once('\n')?;
        Some(Meta {
            name: name.to_owned(),
            media_type: (!media_type.is_empty()).then(|| media_type.to_owned()),
            key,
        })
    }
}
