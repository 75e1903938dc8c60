//! The sections every server has, but for `[limits]`: their keys, defaults, bounds and documentation.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::raw::Located;
use super::value::{Value, Wrong, read_text, toml_text, written};
use crate::section;

section! {
    /// Who this server is.
    pub struct Server {
        /// The domains it serves: the part after the @ in its users' addresses. The first is the main one.
        pub domains: Vec<String> = vec!["localhost".to_owned()], check check_domains;
        /// Where it keeps what it must not lose: the database of SQLite, keys, the control socket.
        pub data_dir: PathBuf = PathBuf::from("data");
        /// The accounts that may administer it. Not set: admin at the main domain.
        pub admins: Vec<String> = vec!["admin@localhost".to_owned()], check check_admins;
    }
}

section! {
    /// Addresses and ports, each a list; an empty list closes the door.
    pub struct Listen {
        /// For clients, who ask for TLS after connecting (STARTTLS, RFC 6120 section 5).
        pub c2s: Vec<SocketAddr> = vec![any_address(5222)];
        /// For clients, TLS from the first byte (XEP-0368).
        pub c2s_tls: Vec<SocketAddr> = vec![any_address(5223)];
    }
}

section! {
    /// The certificate. Without one the server makes a self-signed one at its first start.
    pub struct Tls {
        /// File with the certificate and its chain, PEM.
        pub cert: Option<PathBuf> = None, example r#""/etc/kim/fullchain.pem""#;
        /// File with its private key, PEM.
        pub key: Option<PathBuf> = None, example r#""/etc/kim/privkey.pem""#;
    }
}

section! {
    /// Where accounts, rosters and messages are kept.
    pub struct Storage {
        /// The database. Not set: SQLite, as kim.db in data_dir.
        pub url: Option<StorageUrl> = None, example r#""postgres://kim:PASSWORD@localhost/kim""#;
    }
}

section! {
    /// How people get in.
    pub struct Registration {
        /// Anybody may make an account from a client (XEP-0077).
        pub open: bool = false;
        /// Anybody may come without an account (SASL ANONYMOUS), on guest.DOMAIN and for as long as they are connected.
        pub guests: bool = true;
    }
}

section! {
    /// Client connections.
    pub struct C2s {
        /// Nothing but TLS is offered until the connection is encrypted. false is honoured on loopback addresses only.
        pub require_tls: bool = true;
        /// Offer SASL PLAIN too: the password itself travels, inside TLS. Only for clients without SCRAM.
        pub plain: bool = false;
    }
}

section! {
    /// Whom to write to, each a list of URIs such as "mailto:abuse@example.org" or "xmpp:admin@example.org" (XEP-0157).
    pub struct Contact {
        /// About abuse.
        pub abuse: Vec<String> = Vec::new(), check check_uris;
        /// About the server's operation.
        pub admin: Vec<String> = Vec::new(), check check_uris;
        /// With an opinion.
        pub feedback: Vec<String> = Vec::new(), check check_uris;
        /// About buying.
        pub sales: Vec<String> = Vec::new(), check check_uris;
        /// About a hole in its security.
        pub security: Vec<String> = Vec::new(), check check_uris;
        /// Where it says how it is.
        pub status: Vec<String> = Vec::new(), check check_uris;
        /// For help.
        pub support: Vec<String> = Vec::new(), check check_uris;
    }
}

fn any_address(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))
}

/// More domains than this need another plan than one process.
const DOMAINS_MAX: usize = 256;

fn check_domains(domains: &Vec<String>) -> Result<(), String> {
    if domains.is_empty() {
        return Err("a server needs at least one domain".to_owned());
    }
    if domains.len() > DOMAINS_MAX {
        return Err(format!("at most {DOMAINS_MAX} domains"));
    }
    for (index, domain) in domains.iter().enumerate() {
        if !is_domain(domain) {
            return Err(format!(
                "{} is not a domain such as \"example.org\"",
                written(domain)
            ));
        }
        if domains
            .iter()
            .take(index)
            .any(|earlier| earlier.eq_ignore_ascii_case(domain))
        {
            return Err(format!("{} stands twice", written(domain)));
        }
    }
    Ok(())
}

fn check_admins(admins: &Vec<String>) -> Result<(), String> {
    for admin in admins {
        if !admin
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && is_domain(domain))
        {
            return Err(format!(
                "{} is not an account such as \"admin@example.org\"",
                written(admin)
            ));
        }
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 1023
        && !text.contains(|c: char| c == '@' || c == '/' || c.is_whitespace())
}

fn check_uris(uris: &Vec<String>) -> Result<(), String> {
    for uri in uris {
        let scheme = uri
            .split_once(':')
            .map(|(scheme, rest)| (scheme, rest.is_empty()));
        let is_uri = matches!(scheme, Some((scheme, false)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)));
        if !is_uri || uri.contains(char::is_whitespace) {
            return Err(format!(
                "{} is not a URI such as \"mailto:admin@example.org\"",
                written(uri)
            ));
        }
    }
    Ok(())
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
    pub fn sqlite_in(directory: &std::path::Path) -> StorageUrl {
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
