//! Tokens: what stands for an account where no password is asked for each time. The database keeps what they hash to, so
//! whoever reads it cannot use them. A token is good for some things only, and its owner can end it.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, Epoch, store};
use crate::jid::BareJid;
use crate::random;

/// Tokens of one account that are good at the same time; with a further one, the oldest is not any more.
pub const TOKENS_PER_ACCOUNT_MAX: u32 = 50;
/// The length of every token there is; others need not be looked for.
const TOKEN_CHARS: usize = 32;

/// Something that a token may be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To read what the account can read.
    Read,
    /// To say something in its name.
    Send,
    /// To change what is the account's: contacts, rooms, keys, files, tokens.
    Manage,
}

impl Scope {
    /// All there are.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Send, Scope::Manage];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Send => "send",
            Scope::Manage => "manage",
        }
    }

    /// The one that is called so.
    pub fn of_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    pub fn all() -> Scopes {
        Scope::ALL.into_iter().collect()
    }

    /// Whether that is among it.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    pub(super) fn to_text(self) -> String {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        names.join(" ")
    }

    /// A name that is not known gives nothing.
    pub(super) fn of_text(text: &str) -> Scopes {
        text.split(' ').filter_map(Scope::of_name).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// A new token. Nobody can be told it again.
pub struct Token {
    /// What its holder shows: 160 random bits.
    pub text: Zeroizing<String>,
    /// What else is known of it.
    pub row: TokenRow,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// What an account knows of one of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What it is called by; no secret.
    pub id: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// Since when, in microseconds since 1970.
    pub created_at: i64,
    /// Until when.
    pub expires_at: i64,
}

/// For whom a token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The account.
    pub account: BareJid,
    /// What the token is called by.
    pub id: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// The account's password at that time.
    pub epoch: Epoch,
}

fn hash(token: &str) -> Option<[u8; 32]> {
    let is_token = token.len() == TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_token.then(|| Sha256::digest(token.as_bytes()).into())
}

impl Accounts {
    /// Makes a token that stands for an account for so many seconds. [`AccountError::Outdated`] where the password was
    /// changed after it was proved.
    pub async fn give_token(
        &self,
        account: &BareJid,
        epoch: Epoch,
        scopes: Scopes,
        seconds: u32,
    ) -> Result<Token, AccountError> {
        let text = Zeroizing::new(random::token());
        let now = crate::db::now_us();
        let row = TokenRow {
            id: random::token(),
            scopes,
            created_at: now,
            expires_at: now.saturating_add(i64::from(seconds) * 1_000_000),
        };
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let db = &self.inner.db;
        store::add_token(db, account, epoch, hash, row.clone(), TOKENS_PER_ACCOUNT_MAX).await?;
        Ok(Token { text, row })
    }

    /// Whom a token stands for, while it is good and the account is there. It is looked up by its hash, so the time that
    /// takes tells nothing about other tokens.
    pub async fn bearer(&self, token: &str) -> Result<Option<Bearer>, AccountError> {
        match hash(token) {
            Some(hash) => Ok(store::bearer(&self.inner.db, hash, crate::db::now_us()).await?),
            None => Ok(None),
        }
    }

    /// The tokens of an account that are good, the newest first.
    pub async fn tokens(&self, account: &BareJid) -> Result<Vec<TokenRow>, AccountError> {
        Ok(store::tokens(&self.inner.db, account, crate::db::now_us()).await?)
    }

    /// Makes a token of an account void. Tells whether there was one.
    pub async fn revoke_token(&self, account: &BareJid, id: &str) -> Result<bool, AccountError> {
        Ok(store::delete_token(&self.inner.db, account, id).await?)
    }

    /// Makes all tokens of an account void. Tells how many there were.
    pub async fn revoke_tokens(&self, account: &BareJid) -> Result<u64, AccountError> {
        Ok(store::delete_tokens(&self.inner.db, account).await?)
    }
}
