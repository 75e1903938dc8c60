//! Presence probes (RFC 6121 §4.3).

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Arrival;
use kim_core::jid::Jid;
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::{Kind, PresenceType, Stanza};

use super::directed::Directed;
use super::rosters::Rosters;
use super::{follow, presence};

/// Whether a client may probe: its own account, contacts whose presence it sees, and whom it told of its own. A stranger's
/// answer could tell nothing anyway.
pub async fn is_allowed(rosters: &Rosters, session: &Session, to: &Jid) -> Result<bool, Fault> {
    if presence::is_own(session, to) || Directed::contains(session, to) {
        return Ok(true);
    }
    if session.guest {
        return Ok(false);
    }
    Ok(rosters.of(&session.account).await?.state(&to.bare()).is_to())
}

/// §4.3.2: each available resource's last presence for those who may see it, `unavailable` if there is none; strangers
/// get `unsubscribed`, as from an account that does not exist.
pub async fn answer(rosters: &Rosters, router: &Router, event: &Arrival, cx: &mut Cx) -> Result<(), Fault> {
    let (Some(from), Some(to)) = (&event.stanza.from, &event.stanza.to) else {
        return Ok(());
    };
    let (account, who) = (&event.account, from.bare());
    let allowed = who == *account
        || rosters
            .item(router, account, &who)
            .await?
            .is_some_and(|item| item.state.is_from());
    let say =
        |kind, speaker: Jid, hearer: Jid| Stanza::new(Kind::Presence(kind), "").from(speaker).to(hearer);
    if !allowed {
        cx.send(say(
            PresenceType::Unsubscribed,
            account.clone().into(),
            who.into(),
        ));
        return Ok(());
    }
    let mut told = false;
    for session in follow::available(router, account).await {
        if (to.is_bare() || session.jid == *to)
            && let Some(presence) = session.presence()
        {
            cx.send(Stanza::clone(&presence.stanza).to(from.clone()));
            told = true;
        }
    }
    if !told {
        cx.send(say(PresenceType::Unavailable, to.clone(), from.clone()));
    }
    Ok(())
}
