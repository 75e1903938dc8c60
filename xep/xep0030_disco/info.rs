//! XEP-0030 §3: disco#info of the server and, to those who may know, of accounts (§8).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::module::{At, HandleIq, Reply, Request};
use kim_core::router::Destination;

use super::api::{ITEMS, Info, InfoAsked};
use crate::rfc6121_im::api::Subscriptions;

/// Answers disco#info.
pub(super) struct TellInfo {
    pub subscriptions: Arc<Subscriptions>,
}

impl HandleIq for TellInfo {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let (at, node) = (super::place(iq), super::node(iq));
        if at == At::Account && iq.is_to_full() {
            return Err(Condition::ServiceUnavailable.into());
        }
        if at == At::Own && node.is_none() && router.destination(iq.account.domain()) == Destination::Guests {
            return Ok(guest().write(None).into());
        }
        if at == At::Account
            && !self
                .subscriptions
                .may_see(&router, iq.account, &iq.from.bare())
                .await?
        {
            return Err(Condition::ServiceUnavailable.into());
        }
        let info = match (at, &node) {
            (At::Server, None) => return Ok(Info::advertised(&router, At::Server).write(None).into()),
            (At::Within(_), None) | (_, Some(_)) => None,
            (at, None) => Some(Info::advertised(&router, at)),
        };
        let mut asked = InfoAsked {
            account: iq.account.clone(),
            at,
            asker: iq.from.clone(),
            node,
            info,
        };
        router.raise(&mut asked, cx).await?;
        let info = asked.info.ok_or(Condition::ItemNotFound)?;
        Ok(info.write(asked.node.as_deref()).into())
    }
}

/// A guest's own address (XEP-0175 §5). Accounts and guests keep apart, so nobody else gets to ask.
fn guest() -> Info {
    let mut info = Info::new();
    info.identity("account", "anonymous", "");
    info.feature(ITEMS);
    info
}
