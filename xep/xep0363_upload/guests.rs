//! Where guests may not upload, they are not shown the service: a client that finds it offers to send files, which would fail.

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::module::At;
use kim_core::router::{Destination, Router};

use super::SERVICE;
use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};

/// Hides the service from guests.
pub(super) struct Hide;

impl On<ItemsAsked> for Hide {
    async fn on(&self, asked: &mut ItemsAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        if asked.at == At::Server
            && is_guest(&asked.asker, cx.router())
            && let Some(items) = &mut asked.items
        {
            items.retain(|item| !is_service(cx.router(), &item.jid));
        }
        Ok(Flow::Next)
    }
}

impl On<InfoAsked> for Hide {
    async fn on(&self, asked: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        match asked.at == At::Service(SERVICE) && is_guest(&asked.asker, cx.router()) {
            true => Err(Condition::ServiceUnavailable.into()),
            false => Ok(Flow::Next),
        }
    }
}

fn is_guest(jid: &Jid, router: &Router) -> bool {
    router.destination(jid.domain()) == Destination::Guests
}

fn is_service(router: &Router, jid: &Jid) -> bool {
    router.destination(jid.domain()) == Destination::Service(SERVICE)
}
