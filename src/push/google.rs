//! Access to Google's services for a service account: its key signs for a token, which is kept until it is old.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gcp_auth::{CustomServiceAccount, Token, TokenProvider};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::exposed::unreadable;

/// What a token is for.
const SCOPES: &[&str] = &["https://www.googleapis.com/auth/firebase.messaging"];
/// A token that is refused is replaced at most so often.
const RENEWED_EVERY: Duration = Duration::from_secs(60);

/// A service account with its tokens.
pub(super) struct ServiceAccount {
    json: Zeroizing<String>,
    project: String,
    tokens: Mutex<Tokens>,
}

struct Tokens {
    account: Arc<CustomServiceAccount>,
    renewed_at: Option<Instant>,
}

/// What must be in the file; what is read for good is read by gcp_auth.
#[derive(Deserialize)]
struct KeyFile {
    project_id: Option<String>,
    client_email: Option<String>,
    token_uri: Option<String>,
    private_key: Option<String>,
}

impl ServiceAccount {
    /// Reads a key as it is downloaded from Google. The error says what is wrong with the file.
    pub fn open(path: &Path) -> Result<ServiceAccount, String> {
        let json = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let json = Zeroizing::new(json);
        let file: KeyFile = serde_json::from_str(&json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("is not the JSON of a service account's key (line {line}, column {column})")
        })?;
        let private_key = file.private_key.map(Zeroizing::new);
        for (name, is_there) in [
            ("project_id", file.project_id.is_some()),
            ("client_email", file.client_email.is_some()),
            ("token_uri", file.token_uri.is_some()),
            ("private_key", private_key.is_some()),
        ] {
            if !is_there {
                return Err(format!(
                    "has no \"{name}\": it is not the key of a service account"
                ));
            }
        }
        let project = file.project_id.unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if project.is_empty() || !project.chars().all(is_plain) {
            return Err("has a \"project_id\" that is none".to_owned());
        }
        let account = CustomServiceAccount::from_json(&json).map_err(|error| unusable(&error))?;
        let account = Arc::new(account);
        Ok(ServiceAccount {
            json,
            project,
            tokens: Mutex::new(Tokens {
                account,
                renewed_at: None,
            }),
        })
    }

    /// The project that the account belongs to.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The token of the day.
    pub async fn token(&self) -> Result<Arc<Token>, String> {
        let account = self.tokens().account.clone();
        account.token(SCOPES).await.map_err(|error| unusable(&error))
    }

    /// The next token after one that was refused; `None` if that one was new.
    pub async fn after(&self, refused: &Token) -> Option<Arc<Token>> {
        let current = self.token().await.ok()?;
        if current.as_str() != refused.as_str() {
            return Some(current);
        }
        {
            let mut tokens = self.tokens();
            if tokens.renewed_at.is_some_and(|at| at.elapsed() < RENEWED_EVERY) {
                return None;
            }
            tokens.renewed_at = Some(Instant::now());
        }
        // It reads the system's roots, which takes a moment.
        let json = self.json.clone();
        let account = tokio::task::spawn_blocking(move || CustomServiceAccount::from_json(&json));
        self.tokens().account = Arc::new(account.await.ok()?.ok()?);
        self.token().await.ok()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with what lies behind it. None of them holds a key.
fn unusable(error: &gcp_auth::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
