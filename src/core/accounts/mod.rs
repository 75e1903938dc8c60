//! Registered accounts: who exists, what is kept instead of their passwords, and how one is removed without a trace.

mod enrolment;
pub mod names;
pub mod scram;
mod store;
mod tokens;

#[cfg(test)]
mod tests;

pub use enrolment::{Enrolled, Enrolment};
pub use store::Account;
pub use tokens::{Bearer, Scope, Scopes, TOKENS_PER_ACCOUNT_MAX, Token, TokenRow};

use crate::db::{BoxFuture, Db, DbError, Tx};
use crate::jid::BareJid;
use crate::keyed::Shared;
use scram::{Hash, ITERATIONS_DEFAULT, Password, ScramKeys};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// The secret behind the invented salts of unknown names.
const FAKE_SECRET: &str = "scram_fake_salt";
/// The hash functions for which keys are made of a password.
const HASHES: [Hash; 2] = [Hash::Sha256, Hash::Sha1];
/// Names of which is remembered whether somebody has them, some 150 bytes each.
const NAMES_MAX: usize = 65_536;
/// The most rows that [`Accounts::list`] gives at once.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// Why something cannot be done with an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Somebody has this name.
    #[error("the account exists already")]
    Exists,
    /// Somebody had this name; it is not given away again unless the operator insists.
    #[error("an account of this name was removed and the name is held back")]
    Removed {
        /// When, in microseconds since 1970.
        removed_at: i64,
    },
    /// Somebody has a name that people would take for this one.
    #[error("this username looks like that of another account; choose one that differs more")]
    Lookalike,
    /// The password was changed, or the account removed, since it was proved.
    #[error("the password was changed; sign in again")]
    Outdated,
    /// Nobody has this name.
    #[error("there is no such account")]
    NotFound,
    /// The address has no part before the `@`, so it cannot be an account's.
    #[error("an account needs a name before the @")]
    NotAnAccount,
    /// What was to hold for it does not.
    #[error("{0}")]
    NotMet(&'static str),
    /// Too many passwords are being hashed; try again later.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Whether a name that was removed may be registered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstone {
    /// The rule (XEP-0077 leaves it to the server): the name stays taken.
    Respect,
    /// The operator insists.
    Override,
}

/// Which password of an account a login proved. Every new password has another epoch, and so has a new account of an old
/// name: what was proved before counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(i64);

/// Removes what one module keeps of an account; all modules' erasers run in one transaction.
pub type Eraser = for<'a> fn(&'a mut Tx, &'a BareJid) -> BoxFuture<'a, Result<(), DbError>>;

/// What has to hold for an account to be made, and is used up by it, in the same transaction: an invitation. It says no with
/// [`DbError::Refused`], before it has written anything.
pub type Proviso = Arc<dyn for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> + Send + Sync>;

/// Settings of [`Accounts`].
#[derive(Debug, Clone)]
pub struct AccountsOptions {
    /// PBKDF2 iterations for new passwords.
    pub iterations: u32,
    /// Passwords hashed at the same time; each takes a core for some milliseconds.
    pub hashing_max: usize,
    /// Passwords that may wait for their turn.
    pub hashing_waiting_max: usize,
}

impl Default for AccountsOptions {
    fn default() -> AccountsOptions {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        // Half of the cores, so that a storm of logins leaves the rest for messages.
        AccountsOptions {
            iterations: ITERATIONS_DEFAULT,
            hashing_max: (cores / 2).max(1),
            hashing_waiting_max: 256,
        }
    }
}

struct Inner {
    db: Db,
    iterations: u32,
    fake_secret: Zeroizing<Vec<u8>>,
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// How the account of this name came to be, if there is one: asked for every stanza to somebody who is away.
    existing: Shared<BareJid, Option<Enrolled>>,
}

/// The accounts of this server. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

impl Accounts {
    /// Needs the tables of [`crate::db::CORE_MIGRATIONS`].
    pub async fn open(db: Db, options: AccountsOptions) -> Result<Accounts, AccountError> {
        while store::add_skeletons(&db, PAGE_ROWS_MAX).await? > 0 {}
        let fake_secret = db.secret(FAKE_SECRET).await?;
        let hashing_max = options.hashing_max.max(1);
        let inner = Inner {
            existing: Shared::new(db.caches(), "accounts.existing", NAMES_MAX),
            db,
            iterations: options.iterations,
            fake_secret,
            hashing: Arc::new(Semaphore::new(hashing_max)),
            waiting: Arc::new(Semaphore::new(hashing_max + options.hashing_waiting_max)),
        };
        Ok(Accounts {
            inner: Arc::new(inner),
        })
    }

    /// Makes an account for somebody whom an administrator knows. Exactly one of several that race for a name gets it.
    pub async fn create(
        &self,
        account: &BareJid,
        password: &Password,
        tombstone: Tombstone,
    ) -> Result<(), AccountError> {
        let enrolment = Enrolment::Provisioned;
        self.make(account, password, tombstone, enrolment, None).await
    }

    /// Makes an account for somebody nobody knows, where registration is open (XEP-0077 §3.1).
    pub async fn register(&self, account: &BareJid, password: &Password) -> Result<(), AccountError> {
        let (tombstone, enrolment) = (Tombstone::Respect, Enrolment::Registered);
        self.make(account, password, tombstone, enrolment, None).await
    }

    /// Makes an account for somebody who was invited; `enrolment` says what the inviter's word is worth. If the proviso says no,
    /// it is [`AccountError::NotMet`].
    pub async fn create_invited(
        &self,
        account: &BareJid,
        password: &Password,
        tombstone: Tombstone,
        enrolment: Enrolment,
        proviso: Proviso,
    ) -> Result<(), AccountError> {
        self.make(account, password, tombstone, enrolment, Some(proviso))
            .await
    }

    async fn make(
        &self,
        account: &BareJid,
        password: &Password,
        tombstone: Tombstone,
        enrolment: Enrolment,
        proviso: Option<Proviso>,
    ) -> Result<(), AccountError> {
        may_be_account(account)?;
        // Hashing is dear; who asks for a taken name should not make us do it.
        if self.find(account).await?.is_some() {
            return Err(AccountError::Exists);
        }
        let keys = self.derive(password).await?;
        let enrolled = Enrolled {
            at: crate::db::now_us(),
            by: enrolment,
        };
        self.add(account, keys, enrolled, tombstone, proviso).await
    }

    /// Whether [`Accounts::create`] would take this name now. Somebody else may still be faster.
    pub async fn may_create(&self, account: &BareJid, tombstone: Tombstone) -> Result<(), AccountError> {
        may_be_account(account)?;
        store::may_create(&self.inner.db, account, tombstone).await
    }

    /// Registers an account with keys that another server made of its password.
    pub async fn import(
        &self,
        account: &BareJid,
        keys: Vec<ScramKeys>,
        created_at: i64,
        tombstone: Tombstone,
    ) -> Result<(), AccountError> {
        may_be_account(account)?;
        let enrolled = Enrolled {
            at: created_at,
            by: Enrolment::Provisioned,
        };
        self.add(account, keys, enrolled, tombstone, None).await
    }

    async fn add(
        &self,
        account: &BareJid,
        keys: Vec<ScramKeys>,
        enrolled: Enrolled,
        tombstone: Tombstone,
        proviso: Option<Proviso>,
    ) -> Result<(), AccountError> {
        let (db, name) = (self.inner.db.clone(), account.clone());
        let work = async move { store::create(&db, &name, keys, enrolled, tombstone, proviso).await };
        let done = self.inner.existing.change(account, work).await;
        done.map_err(|_| DbError::Panicked)?
    }

    /// Whether somebody has this name. Asked again, it comes from memory.
    pub async fn exists(&self, account: &BareJid) -> Result<bool, AccountError> {
        Ok(self.enrolled(account).await?.is_some())
    }

    /// How the account of this name came to be, and when; `None` if there is none. Asked again, it comes from memory.
    pub async fn enrolled(&self, account: &BareJid) -> Result<Option<Enrolled>, AccountError> {
        let read = || async { Ok(self.find(account).await?.map(|found| found.enrolled())) };
        self.inner.existing.read(account, read).await
    }

    /// The account of this name, if there is one.
    pub async fn find(&self, account: &BareJid) -> Result<Option<Account>, AccountError> {
        Ok(store::find(&self.inner.db, account).await?)
    }

    /// The keys of an account; `None` if there is no such account, or none for this hash.
    pub async fn keys(&self, account: &BareJid, hash: Hash) -> Result<Option<ScramKeys>, AccountError> {
        let keys = store::keys(&self.inner.db, account, hash).await?;
        Ok(keys.map(|(keys, _)| keys))
    }

    /// The epoch of an account's password; `None` if there is no such account.
    pub async fn epoch(&self, account: &BareJid) -> Result<Option<Epoch>, AccountError> {
        Ok(store::epoch(&self.inner.db, account).await?)
    }

    /// The keys of an account or, for a name that nobody has, invented ones that no proof matches: a stranger cannot
    /// tell the two apart (RFC 5802 §9, "user enumeration"). With the epoch of the password that they prove.
    pub async fn keys_or_fake(
        &self,
        account: &BareJid,
        hash: Hash,
    ) -> Result<(ScramKeys, Epoch), AccountError> {
        let keys = store::keys(&self.inner.db, account, hash).await?;
        let inner = &self.inner;
        let fake = || ScramKeys::fake(&inner.fake_secret, account, hash, inner.iterations);
        Ok(keys.unwrap_or_else(|| (fake(), Epoch(0))))
    }

    /// Whether this is the account's password. Costs the same for unknown names.
    pub async fn verify(&self, account: &BareJid, password: &Password) -> Result<bool, AccountError> {
        Ok(self.prove(account, password).await?.is_some())
    }

    /// The epoch that this password proves; `None` where it is not the account's. Costs the same for unknown names.
    pub async fn prove(&self, account: &BareJid, password: &Password) -> Result<Option<Epoch>, AccountError> {
        let (keys, epoch) = self.keys_or_fake(account, Hash::Sha256).await?;
        let permit = self.hashing_turn().await?;
        let password = password.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            keys.verify(&password).then_some(epoch)
        });
        verified.await.map_err(|_| AccountError::Busy)
    }

    /// Replaces the password. The account's tokens are void from then on, and no session begins any more by what was proved
    /// before. [`crate::router::Router::change_password`] also ends the sessions that there are.
    pub async fn set_password(&self, account: &BareJid, password: &Password) -> Result<(), AccountError> {
        if self.find(account).await?.is_none() {
            return Err(AccountError::NotFound);
        }
        let keys = self.derive(password).await?;
        store::set_keys(&self.inner.db, account, keys).await
    }

    /// Up to `rows_max` accounts in the order of their addresses, beginning after `after`.
    pub async fn list(&self, after: Option<&BareJid>, rows_max: u32) -> Result<Vec<Account>, AccountError> {
        Ok(store::list(&self.inner.db, after, rows_max.min(PAGE_ROWS_MAX)).await?)
    }

    /// How many accounts there are.
    pub async fn count(&self) -> Result<u64, AccountError> {
        Ok(store::count(&self.inner.db).await?)
    }

    /// Removes an account with everything that the erasers know of, in one transaction, and leaves a tombstone.
    /// Its sessions must have been ended before, or they could store something afterwards.
    pub async fn delete(&self, account: &BareJid, erasers: &[Eraser]) -> Result<(), AccountError> {
        let (db, name, erasers) = (self.inner.db.clone(), account.clone(), erasers.to_vec());
        let work = async move { store::delete(&db, &name, erasers, crate::db::now_us()).await };
        let done = self.inner.existing.change(account, work).await;
        done.map_err(|_| DbError::Panicked)?
    }

    /// When an account of this name was removed, in microseconds since 1970.
    pub async fn removed_at(&self, account: &BareJid) -> Result<Option<i64>, AccountError> {
        Ok(store::removed_at(&self.inner.db, account).await?)
    }

    /// Clears away tokens that are over, a page at a time; tells how many.
    pub async fn tidy_tokens(&self) -> Result<u64, DbError> {
        self.inner
            .db
            .clear_away(store::OVER_TOKENS, crate::db::now_us())
            .await
    }

    /// Makes keys of a password for every hash, away from the threads that serve connections.
    async fn derive(&self, password: &Password) -> Result<Vec<ScramKeys>, AccountError> {
        let permit = self.hashing_turn().await?;
        let (password, iterations) = (password.clone(), self.inner.iterations);
        let derived = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            HASHES
                .map(|hash| ScramKeys::derive(&password, hash, iterations))
                .to_vec()
        });
        // It fails only when the runtime is going down.
        derived.await.map_err(|_| AccountError::Busy)
    }

    async fn hashing_turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), AccountError> {
        let waiting = self
            .inner
            .waiting
            .clone()
            .try_acquire_owned()
            .map_err(|_| AccountError::Busy)?;
        let turn = self
            .inner
            .hashing
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| AccountError::Busy)?;
        Ok((waiting, turn))
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("db", &self.inner.db)
            .finish_non_exhaustive()
    }
}

fn may_be_account(account: &BareJid) -> Result<(), AccountError> {
    if account.local().is_some() {
        Ok(())
    } else {
        Err(AccountError::NotAnAccount)
    }
}
