//! `<enable/>` (§5) and `<disable/>` (§6), sent by a session to its own account.

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::Jid;
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::session::Session;

use super::dispatch::Dispatch;
use super::registration::{self, Registration, Wish};
use super::{NODE_BYTES_MAX, OPTIONS_BYTES_MAX, SUMMARY};
use crate::xep0004_forms::api::Form;

pub(super) fn refused(condition: Condition, why: &'static str) -> Fault {
    StanzaError::new(condition).text(why).into()
}

pub(super) fn service(iq: &Request<'_>) -> Result<Jid, Fault> {
    let jid = iq.payload.attr("jid");
    let jid = jid.ok_or_else(|| refused(Condition::BadRequest, "the attribute jid is required"))?;
    Jid::parse(&jid).map_err(|_| {
        refused(
            Condition::JidMalformed,
            "jid must be the address of an app server",
        )
    })
}

/// A node that names something.
pub(super) fn node(iq: &Request<'_>) -> Option<String> {
    let node = iq.payload.attr("node")?.into_owned();
    (!node.is_empty()).then_some(node)
}

/// The session that asks, if it is on this server.
fn asking(iq: &Request<'_>, cx: &Cx) -> Option<Arc<Session>> {
    match &cx.origin {
        Origin::Session(session) if session.jid == *iq.from => Some(session.clone()),
        _ => cx.router().sessions().get(iq.from),
    }
}

pub(super) struct Enable(pub Arc<Dispatch>);

impl HandleIq for Enable {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if cx.router().destination(iq.account.domain()) != Destination::Users {
            return Err(refused(
                Condition::NotAllowed,
                "guests cannot enable push notifications: their address ends with the connection",
            ));
        }
        let registration = read(iq)?;
        let tag = self
            .0
            .registrations
            .put(iq.account, &registration, cx.received)
            .await?;
        if let Some(session) = asking(iq, cx) {
            self.0.belongs(&session);
        }
        // What was owed to the device under an earlier registration, it has or will ask for: it is here.
        self.0.forget(iq.account, tag);
        Ok(Reply::Empty)
    }
}

pub(super) fn read(iq: &Request<'_>) -> Result<Registration, Fault> {
    let service = service(iq)?;
    // XEP-0060 §7.1: what is published is published to a node.
    let node = node(iq).ok_or_else(|| refused(Condition::BadRequest, "the attribute node is required"))?;
    if node.len() > NODE_BYTES_MAX {
        return Err(refused(Condition::NotAcceptable, "the node is too long"));
    }
    if service.is_bare() && service.bare() == *iq.account {
        return Err(refused(
            Condition::NotAcceptable,
            "jid must not be the address that you enable push notifications at",
        ));
    }
    let resource = iq.from.resource().unwrap_or_default().to_owned();
    let (mut options, mut wish) = (String::new(), Wish::default());
    for x in iq.payload.children().filter(|child| child.is("x", ns::DATA)) {
        let form = Form::read(x)?;
        match form.value("FORM_TYPE") {
            // Unknown fields mean nothing; one that is not a boolean is a mistake of the client.
            Some(SUMMARY) => {
                wish.sender = form.boolean("last-message-sender")?.unwrap_or(false);
                wish.body = form.boolean("last-message-body")?.unwrap_or(false);
            }
            _ => options = registration::options(x).unwrap_or(options),
        }
    }
    if options.len() > OPTIONS_BYTES_MAX {
        return Err(refused(
            Condition::NotAcceptable,
            "the publish-options are too large",
        ));
    }
    Ok(Registration::new(service, node, resource, options, wish))
}

pub(super) struct Disable(pub Arc<Dispatch>);

impl HandleIq for Disable {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (service, node) = (service(iq)?, node(iq));
        let all = self.0.registrations.of(iq.account).await?;
        let matches = |one: &&Arc<Registration>| {
            one.service == service && node.as_ref().is_none_or(|node| *node == one.node)
        };
        let which: Vec<_> = all.iter().filter(matches).cloned().collect();
        self.0.remove(iq.account, &which, cx.router()).await?;
        Ok(Reply::Empty)
    }
}
