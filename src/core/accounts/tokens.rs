//! Tokens: what stands for an account where no password is asked for each time. The database keeps what they hash to, so
//! whoever reads it cannot use them.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, store};
use crate::jid::BareJid;
use crate::random;

/// Tokens of one account that are good at the same time; with a further one, the oldest is not any more.
pub const TOKENS_PER_ACCOUNT_MAX: u32 = 50;
/// The length of every token there is; others need not be looked for.
const TOKEN_CHARS: usize = 32;

/// A new token. Nobody can be told it again.
pub struct Token {
    /// What its holder shows: 160 random bits.
    pub text: Zeroizing<String>,
    /// Until when it is good, in microseconds since 1970.
    pub expires_at: i64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

fn hash(token: &str) -> Option<[u8; 32]> {
    let is_token = token.len() == TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_token.then(|| Sha256::digest(token.as_bytes()).into())
}

impl Accounts {
    /// Makes a token that stands for an account for so many seconds.
    pub async fn give_token(&self, account: &BareJid, seconds: u32) -> Result<Token, AccountError> {
        let text = Zeroizing::new(random::token());
        let now = crate::db::now_us();
        let expires_at = now.saturating_add(i64::from(seconds) * 1_000_000);
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let db = &self.inner.db;
        store::add_token(db, account, hash, now, expires_at, TOKENS_PER_ACCOUNT_MAX).await?;
        Ok(Token { text, expires_at })
    }

    /// Whom a token stands for, while it is good and the account is there. It is looked up by its hash, so the time that
    /// takes tells nothing about other tokens.
    pub async fn token_owner(&self, token: &str) -> Result<Option<BareJid>, AccountError> {
        match hash(token) {
            Some(hash) => Ok(store::token_owner(&self.inner.db, hash, crate::db::now_us()).await?),
            None => Ok(None),
        }
    }

    /// Makes a token void. Tells whether there was one.
    pub async fn revoke_token(&self, token: &str) -> Result<bool, AccountError> {
        match hash(token) {
            Some(hash) => Ok(store::delete_token(&self.inner.db, hash).await?),
            None => Ok(false),
        }
    }
}
