//! An account as it is typed: its address, or its name alone where the server has one domain.

use kim_core::accounts::names::{self, UsernameError};
use kim_core::config::Config;
use kim_core::jid::BareJid;

use crate::failure::Failure;

/// Which account somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TypedAccount {
    Address(BareJid),
    /// To be completed by the domain of the server.
    Name(String),
}

impl TypedAccount {
    /// Reads what was typed; the rules for names are those of every door.
    pub fn parse(text: &str) -> Result<TypedAccount, String> {
        if text.contains('@') {
            let address = names::account_at(text).map_err(|error| match error {
                UsernameError::Empty => {
                    "an account needs a name before the @, such as alice@example.org".to_owned()
                }
                error => error.to_string(),
            });
            return Ok(TypedAccount::Address(address?));
        }
        names::account(text, "localhost").map_err(|error| error.to_string())?;
        Ok(TypedAccount::Name(text.to_owned()))
    }

    /// Its address on this server.
    pub fn at(self, config: &Config) -> Result<BareJid, Failure> {
        let name = match self {
            TypedAccount::Address(address) => return Ok(address),
            TypedAccount::Name(name) => name,
        };
        let domains = &config.server.domains;
        let whole =
            |domain: &str| names::account(&name, domain).map_err(|error| Failure::Other(error.to_string()));
        if domains.iter().any(|domain| domain.eq_ignore_ascii_case(&name)) {
            let problem =
                format!("{name} is a domain; an account needs a name before it, such as alice@{name}");
            return Err(Failure::Other(problem));
        }
        match domains.as_slice() {
            [domain] => whole(domain),
            several => {
                let addresses = several.iter().map(|domain| format!("{name}@{domain}"));
                let addresses = addresses.collect::<Vec<_>>().join(" or ");
                Err(Failure::Other(format!(
                    "this server has several domains; type the whole address: {addresses}"
                )))
            }
        }
    }
}
