//! SASL PLAIN (RFC 4616): the password itself, for clients that know nothing better. Offered under TLS only, and only if the
//! operator allows it.

use kim_core::accounts::scram::{Hash, Password, ScramKeys};
use kim_core::jid::BareJid;

use super::{Identity, Lookup, SaslFailure, Step, With, account};

/// Reads `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
pub(super) fn answer(host: &str, message: &[u8]) -> Result<Step, SaslFailure> {
    let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
    let mut parts = text.split('\0');
    let (Some(authzid), Some(name), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslFailure::MalformedRequest);
    };
    if name.is_empty() || password.is_empty() {
        return Err(SaslFailure::MalformedRequest);
    }
    let account = account(host, name, authzid)?;
    let password = Password::prepare(password).map_err(|_| SaslFailure::NotAuthorized)?;
    Ok(Step::NeedKeys(Lookup {
        account,
        hash: Hash::Sha256,
        with: With::Plain(password),
    }))
}

/// Compares the password with the keys. Known and unknown names cost the same: one derivation with the keys' iterations.
pub(super) fn judge(account: BareJid, password: &Password, keys: &ScramKeys) -> Step {
    if keys.verify(password) {
        Step::Success {
            identity: Identity::Account(account),
            additional_data: None,
        }
    } else {
        Step::Wrong
    }
}
