//! The rules for usernames. The pages, invitations, in-band registration, ad-hoc commands, REST and `kim user add` all ask
//! here, so a name that one of them refuses is refused by the others, for the same reason and in the same words. The rules for
//! passwords are [`super::scram::Password::prepare`].

use crate::jid::{BareJid, JidError, PART_BYTES_MAX, Part};

/// Characters that a localpart may not contain (RFC 7622 §3.3.1).
const FORBIDDEN: &str = "\"&'/:<>@";

/// Why a text cannot be a username. Each is a sentence for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Nothing is left of it.
    #[error("a username is required")]
    Empty,
    /// White space of any kind.
    #[error("a username cannot contain spaces")]
    Space,
    /// One of the characters that separate the parts of addresses and markup.
    #[error("a username cannot contain {0}")]
    Character(char),
    /// More than [`PART_BYTES_MAX`] bytes.
    #[error("a username cannot be longer than {PART_BYTES_MAX} bytes")]
    TooLong,
    /// Control characters, characters without an agreed form, and the like.
    #[error("a username cannot contain control characters or symbols that addresses do not allow")]
    Unsupported,
    /// The name may be right, the domain is not.
    #[error(transparent)]
    Domain(JidError),
}

impl UsernameError {
    /// A word for programs, which say it in the language of their people.
    pub fn reason(self) -> &'static str {
        match self {
            UsernameError::Empty => "username-empty",
            UsernameError::Space => "username-space",
            UsernameError::Character(_) => "username-character",
            UsernameError::TooLong => "username-long",
            UsernameError::Unsupported => "username-unsupported",
            UsernameError::Domain(_) => "domain",
        }
    }
}

/// The address of the account that has this username at a domain.
pub fn account(username: &str, domain: &str) -> Result<BareJid, UsernameError> {
    if username.is_empty() {
        return Err(UsernameError::Empty);
    }
    if username.chars().any(char::is_whitespace) {
        return Err(UsernameError::Space);
    }
    if let Some(character) = username.chars().find(|c| FORBIDDEN.contains(*c)) {
        return Err(UsernameError::Character(character));
    }
    BareJid::new(Some(username), domain).map_err(|error| match error {
        JidError::Empty(Part::Local) => UsernameError::Empty,
        JidError::TooLong(Part::Local) => UsernameError::TooLong,
        JidError::Forbidden(Part::Local) => UsernameError::Unsupported,
        error => UsernameError::Domain(error),
    })
}

/// The account that a whole address such as `alice@example.org` names.
pub fn account_at(address: &str) -> Result<BareJid, UsernameError> {
    let (username, domain) = address.split_once('@').unwrap_or(("", address));
    account(username, domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_that_is_refused_is_refused_with_its_reason() {
        let long = "x".repeat(PART_BYTES_MAX + 1);
        for (name, why) in [
            ("", UsernameError::Empty),
            ("al ice", UsernameError::Space),
            ("alice\u{3000}", UsernameError::Space),
            ("alice\t", UsernameError::Space),
            ("alice@example.org", UsernameError::Character('@')),
            ("al/ice", UsernameError::Character('/')),
            ("a&b", UsernameError::Character('&')),
            ("al\u{7}ice", UsernameError::Unsupported),
            (long.as_str(), UsernameError::TooLong),
        ] {
            assert_eq!(account(name, "example.org"), Err(why), "{name:?}");
        }
        assert_eq!(
            UsernameError::Space.to_string(),
            "a username cannot contain spaces"
        );
        assert!(matches!(
            account("alice", "exa mple"),
            Err(UsernameError::Domain(_))
        ));
    }

    #[test]
    fn a_good_username_is_prepared() {
        let found = account("Älice", "Example.org").map(|account| account.to_string());
        assert_eq!(found.as_deref(), Ok("älice@example.org"));
        assert_eq!(account_at("alice@example.org"), account("alice", "example.org"));
        assert_eq!(account_at("example.org"), Err(UsernameError::Empty));
    }
}
