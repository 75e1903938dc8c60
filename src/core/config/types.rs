//! Types of settings that are more than text: each is checked when it is read, and whoever holds one need not check again.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::raw::Located;
use super::value::{Value, Wrong, read_text, toml_text, written};
use crate::jid::{BareJid, prepare_username};

/// A domain of this server, prepared (RFC 7622 section 3.2): it can be compared byte for byte with an address's domain.
#[derive(Clone, PartialEq, Eq)]
pub struct Domain(BareJid);

impl Domain {
    /// Reads and prepares a domain.
    pub fn parse(text: &str) -> Option<Domain> {
        BareJid::parse(text)
            .ok()
            .filter(|jid| jid.is_domain())
            .map(Domain)
    }

    /// As DNS and certificates have it (IDNA 2008); `None` for what they cannot have.
    pub fn to_ascii(&self) -> Option<String> {
        idna::domain_to_ascii(self).ok()
    }

    /// The same for a text that may be a domain.
    pub fn ascii_of(text: &str) -> Option<String> {
        Domain::parse(text)?.to_ascii()
    }

    /// The account that administers a domain unless told otherwise.
    pub fn administrator(&self) -> Vec<BareJid> {
        BareJid::new(Some("admin"), self).into_iter().collect()
    }
}

impl Deref for Domain {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Value for Domain {
    fn expects() -> String {
        "a domain such as \"example.org\"".to_owned()
    }

    fn read(located: &Located) -> Result<Domain, Wrong> {
        let text = read_text(located)?;
        Domain::parse(text).ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(self))
    }
}

/// An account: an address with a localpart and without a resource.
impl Value for BareJid {
    fn expects() -> String {
        "an account such as \"admin@example.org\"".to_owned()
    }

    fn read(located: &Located) -> Result<BareJid, Wrong> {
        let text = read_text(located)?;
        let jid = BareJid::parse(text).ok().filter(|jid| !jid.is_domain());
        jid.ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(self.as_str()))
    }
}

/// The localpart of a room's address, prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    /// Reads and prepares a name.
    pub fn parse(text: &str) -> Option<RoomName> {
        prepare_username(text).ok().map(RoomName)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for RoomName {
    fn expects() -> String {
        "the name of a room such as \"lobby\"".to_owned()
    }

    fn read(located: &Located) -> Result<RoomName, Wrong> {
        let text = read_text(located)?;
        RoomName::parse(text).ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.0))
    }
}

/// A URI, as far as a scheme and no blanks make one (RFC 3986 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Uri {
    fn expects() -> String {
        "a URI such as \"mailto:admin@example.org\"".to_owned()
    }

    fn read(located: &Located) -> Result<Uri, Wrong> {
        let text = read_text(located)?;
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        match text.split_once(':') {
            Some((scheme, rest))
                if is_scheme(scheme) && !rest.is_empty() && !text.contains(char::is_whitespace) =>
            {
                Ok(Uri(text.to_owned()))
            }
            _ => Err(Wrong::found(written(text))),
        }
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.0))
    }
}

/// The address of a database. It may hold a password: `Debug` and messages never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct StorageUrl(String);

impl StorageUrl {
    /// The text for the database driver.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is SQLite's.
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }

    /// The file of a SQLite database.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let path = self.0.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
    }

    /// The database `kim.db` in a directory.
    pub fn sqlite_in(directory: &Path) -> StorageUrl {
        StorageUrl(format!("sqlite://{}", directory.join("kim.db").display()))
    }
}

impl fmt::Debug for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// As an operator may see it: without the password.
impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://").filter(|_| !self.is_sqlite()) else {
            return f.write_str(&self.0);
        };
        // What follows the question mark may hold a password too.
        let rest = rest.split('?').next().unwrap_or(rest);
        match rest.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split(':').next().unwrap_or(login);
                write!(f, "{scheme}://{user}:***@{host}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl Value for StorageUrl {
    fn expects() -> String {
        "\"sqlite://FILE\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"".to_owned()
    }

    fn read(located: &Located) -> Result<StorageUrl, Wrong> {
        let text = read_text(located)
            .map_err(|_| Wrong::found("what is written there"))?
            .trim();
        let has = |scheme: &str| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
        if ["sqlite://", "postgres://", "postgresql://"].into_iter().any(has) {
            Ok(StorageUrl(text.to_owned()))
        } else {
            // Not repeated in the message: it may hold a password.
            Err(Wrong::found("what is written there"))
        }
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.0))
    }
}
