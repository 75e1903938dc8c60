//! What an account's owner may do after login: see that it is registered, change its password (§3.3), remove it (§3.2).

use std::sync::Arc;

use kim_core::accounts::scram::{Password, PasswordError};
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError, StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::Writer;

use super::{NS, field};

/// The account that asks: one of this server, not a guest and not a stranger.
fn owner(iq: &Request<'_>, cx: &Cx) -> Result<BareJid, Fault> {
    let account = iq.from.bare();
    let served = iq.account.as_str() == account.as_str() || iq.account.as_str() == account.domain();
    if served && cx.router().destination(account.domain()) == Destination::Users {
        Ok(account)
    } else {
        Err(Condition::NotAllowed.into())
    }
}

/// Says under which name one is registered.
pub(super) struct Lookup;

impl HandleIq for Lookup {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let account = owner(iq, cx)?;
        let mut xml = Writer::new();
        xml.start("query", NS);
        xml.start("registered", NS).end();
        xml.start("username", NS)
            .text(account.local().unwrap_or_default())
            .end();
        xml.start("password", NS).end();
        xml.end();
        Ok(xml.into())
    }
}

/// Changes the password or removes the account.
pub(super) struct AccountChange;

impl HandleIq for AccountChange {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let account = owner(iq, cx)?;
        if iq.payload.child("remove", NS).is_some() {
            if iq.payload.children().count() != 1 {
                return Err(Condition::BadRequest.into());
            }
            return remove(iq, account, cx).await;
        }
        change_password(iq, account, cx).await
    }
}

/// The result is the last thing that the session hears before its stream ends, and comes only once everything is gone.
async fn remove(iq: &Request<'_>, account: BareJid, cx: &mut Cx) -> Result<Reply, Fault> {
    let router = cx.router().clone();
    let asking = router.sessions().get(iq.from);
    let ended = router.erase_account(&account).await?;
    if let Some(session) = asking {
        // Should its queue be full, the end of the stream says it too.
        let _ = session.outbox.push(
            Arc::new(iq.stanza.reply(Kind::Iq(IqType::Result), "")),
            cx.received,
        );
    }
    for session in ended {
        session.close(StreamError::new(StreamCondition::NotAuthorized).text("this account has been removed"));
    }
    tracing::info!(event = "account_removed", %account, by = "owner");
    Ok(Reply::Silent)
}

/// Other devices have to sign in again with the new password; the one that changed it stays.
async fn change_password(iq: &Request<'_>, account: BareJid, cx: &mut Cx) -> Result<Reply, Fault> {
    if let Some(name) = field(iq.payload, "username")
        && BareJid::new(Some(&name), account.domain())? != account
    {
        return Err(Condition::Forbidden.into());
    }
    let password = field(iq.payload, "password").unwrap_or_default();
    let password = Password::prepare(&password).map_err(|error| match error {
        // §3.3: the request did not contain all it needs.
        PasswordError::Empty => StanzaError::new(Condition::BadRequest)
            .text(error.to_string())
            .into(),
        error => Fault::from(error),
    })?;
    let router = cx.router();
    router.change_password(&account, &password, Some(iq.from)).await?;
    tracing::info!(event = "password_changed", %account);
    Ok(Reply::Empty)
}
