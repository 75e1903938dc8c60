//! The door to the engine: requests come in here, from an account's own clients, from others, and at the service.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::module::{At, HandleIq, Registrar, Reply, Request};
use kim_core::random;
use kim_core::router::Destination;
use kim_core::stanza::IqType;
use kim_core::wire::{El, Writer};

use super::configure::check_name;
use super::engine::Engine;
use super::events::Draft;
use super::home::Node;
use super::names::{OWNER, PUBLISH_OPTIONS, PUBSUB};
use super::publish::Publication;
use super::retract::Remover;
use super::{FEATURES, ITEM_ID_BYTES_MAX, errors};
use crate::xep0004_forms::api::Form;

/// What an owner asks of one node (§8).
const OWNERS_REQUESTS: [&str; 5] = ["affiliations", "configure", "delete", "purge", "subscriptions"];

/// Items that one request may publish or retract.
const ITEMS_PER_REQUEST_MAX: usize = 256;

/// Answers both namespaces.
#[derive(Clone)]
pub struct Door(pub Arc<Engine>);

impl Door {
    /// Opens the door at these places, and says what can be done there.
    pub fn open(&self, house: &mut Registrar<'_>, at: &[At]) {
        for kind in [IqType::Get, IqType::Set] {
            for ns in [PUBSUB, OWNER] {
                house.iq(at, kind, "pubsub", ns, self.clone());
            }
        }
        for feature in FEATURES {
            house.feature(at, feature);
        }
    }
}

impl Door {
    /// Answers for accounts that are not there as for those that hide everything.
    pub fn answer_for_nobody(&self, house: &mut Registrar<'_>) {
        for kind in [IqType::Get, IqType::Set] {
            for ns in [PUBSUB, OWNER] {
                house.iq(&[At::Nobody], kind, "pubsub", ns, self.clone());
            }
        }
    }
}

impl HandleIq for Door {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let to_nobody_here = matches!(iq.at, At::Account | At::Nobody) && iq.is_to_full();
        let to_guest =
            iq.at == At::Own && cx.router().destination(iq.account.domain()) == Destination::Guests;
        if to_nobody_here || to_guest {
            return Err(Condition::ServiceUnavailable.into());
        }
        let Some(request) = iq.payload.children().next() else {
            return Err(Condition::BadRequest.into());
        };
        match (iq.payload.ns(), iq.is_set()) {
            (PUBSUB, false) => self.get(iq, request, cx).await,
            (PUBSUB, true) => self.set(iq, request, cx).await,
            (_, false) => self.owner_get(iq, request, cx).await,
            (_, true) => self.owner_set(iq, request, cx).await,
        }
    }
}

impl Door {
    async fn get(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (engine, owner) = (&self.0, iq.account);
        match request.name() {
            "items" => engine.answer_items(owner, iq.from, request, iq.payload, cx).await,
            "subscriptions" => engine.own_subscriptions(owner, iq.from, request, cx).await,
            "affiliations" => engine.own_affiliations(owner, iq.from, request, cx).await,
            "options" => Err(errors::unsupported("subscription-options").into()),
            "default" => Err(errors::unsupported("retrieve-default-sub").into()),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    async fn set(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (engine, owner) = (&self.0, iq.account);
        match request.name() {
            "publish" => self.publish(iq, request, cx).await,
            "retract" => self.retract(iq, request, cx).await,
            "create" => engine.create(owner, iq.from, request, iq.payload, cx).await,
            "subscribe" => engine.subscribe(owner, iq.from, request, cx).await,
            "unsubscribe" => engine.unsubscribe(owner, iq.from, request, cx).await,
            "options" => Err(errors::unsupported("subscription-options").into()),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    async fn owner_get(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (engine, owner) = (&self.0, iq.account);
        if request.name() == "default" {
            engine.may_create(cx.router(), owner, &iq.from.bare())?;
            return engine.show_default(cx.router(), owner, iq.from).await;
        }
        let node = self.owned(iq, request, cx).await?;
        match request.name() {
            "configure" => engine.show_config(cx.router(), &node, iq.from).await,
            "subscriptions" => Ok(Engine::show_subscriptions(&node)),
            "affiliations" => Ok(Engine::show_affiliations(owner, &node)),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    async fn owner_set(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (engine, owner) = (&self.0, iq.account);
        let node = self.owned(iq, request, cx).await?;
        match request.name() {
            "configure" => engine.configure(owner, &node, iq.from, request, cx).await,
            "subscriptions" => engine.change_subscriptions(owner, &node, request, cx).await,
            "affiliations" => engine.change_affiliations(owner, &node, request, cx).await,
            "delete" => {
                let redirect = request
                    .child("redirect", OWNER)
                    .and_then(|redirect| redirect.attr("uri"));
                engine
                    .delete(owner, &node, iq.from, redirect.as_deref(), cx)
                    .await?;
                Ok(Reply::Empty)
            }
            "purge" => {
                if !node.config.persist_items {
                    return Err(errors::not_persistent().into());
                }
                let remover = Remover {
                    by: iq.from,
                    by_server: false,
                };
                engine.purge(owner, &node, &remover, cx).await?;
                Ok(Reply::Empty)
            }
            _ => Err(Condition::BadRequest.into()),
        }
    }

    /// The node that a request is about, which the asker owns.
    async fn owned(&self, iq: &Request<'_>, request: El<'_>, cx: &Cx) -> Result<Arc<Node>, Fault> {
        if !OWNERS_REQUESTS.contains(&request.name()) {
            return Err(Condition::BadRequest.into());
        }
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        self.0.owned(cx.router(), iq.account, &name, iq.from).await
    }

    async fn publish(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        check_name(&name)?;
        // Nobody publishes at an account that is not there; at one that is, only whom it has let in.
        if iq.at == At::Nobody {
            return Err(errors::forbidden().into());
        }
        let options = match iq.payload.child("publish-options", PUBSUB) {
            Some(options) => Form::submitted(options, PUBLISH_OPTIONS)?,
            None => None,
        };
        let mut drafts: Vec<Draft> = Vec::new();
        for item in request.children().filter(|child| child.is("item", PUBSUB)) {
            if drafts.len() >= ITEMS_PER_REQUEST_MAX {
                return Err(errors::max_items_exceeded().into());
            }
            let draft = draft(item)?;
            // The last one of an id counts, as if they had come one by one.
            drafts.retain(|earlier| earlier.id != draft.id);
            drafts.push(draft);
        }
        let publication = Publication {
            owner: iq.account,
            node: &name,
            drafts,
            publisher: iq.from,
            by_server: false,
            options: options.as_ref(),
            access: None,
        };
        let items = self.0.publish(&publication, cx).await?;
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB)
            .start("publish", PUBSUB)
            .attr("node", &name);
        for item in items {
            xml.start("item", PUBSUB).attr("id", &item.id).end();
        }
        Ok(xml.into())
    }

    async fn retract(&self, iq: &Request<'_>, request: El<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (engine, owner, router) = (&self.0, iq.account, cx.router().clone());
        let name = request.attr("node").ok_or_else(errors::node_required)?;
        let mut ids = Vec::new();
        for item in request.children().filter(|child| child.is("item", PUBSUB)) {
            let id = item
                .attr("id")
                .filter(|id| !id.is_empty())
                .ok_or_else(errors::item_required)?;
            ids.push(id.into_owned());
        }
        if ids.is_empty() {
            return Err(errors::item_required().into());
        }
        if ids.len() > ITEMS_PER_REQUEST_MAX {
            return Err(errors::max_items_exceeded().into());
        }
        let who = iq.from.bare();
        let node = engine.home(&router, owner).await?.node(&name);
        let is_own = who == *owner || owner.local().is_none();
        let Some(node) = node else {
            return Err(if is_own {
                errors::no_node()
            } else {
                errors::forbidden()
            }
            .into());
        };
        if !engine.may_retract(&router, owner, &node, &who, &ids).await? {
            return Err(errors::forbidden().into());
        }
        if !node.config.persist_items {
            return Err(errors::not_persistent().into());
        }
        let notify = request
            .attr("notify")
            .map(|notify| matches!(&*notify, "1" | "true"));
        let remover = Remover {
            by: iq.from,
            by_server: false,
        };
        if engine.retract(owner, &node, &ids, notify, &remover, cx).await? == 0 {
            return Err(errors::no_node().into());
        }
        Ok(Reply::Empty)
    }
}

/// An item as it was sent. Without an id it gets one (§7.1.2).
fn draft(item: El<'_>) -> Result<Draft, Fault> {
    let mut payloads = item.children();
    let payload = payloads.next().map(|payload| payload.to_element());
    if payloads.next().is_some() {
        return Err(errors::invalid_payload().into());
    }
    let id = match item.attr("id").filter(|id| !id.is_empty()) {
        Some(id) if id.len() > ITEM_ID_BYTES_MAX => return Err(Condition::NotAcceptable.into()),
        Some(id) => id.into_owned(),
        None => random::token(),
    };
    Ok(Draft { id, payload })
}
