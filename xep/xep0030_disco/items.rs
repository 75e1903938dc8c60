//! XEP-0030 §4: disco#items. The server lists its services; an account lists what modules keep for it, but never its
//! resources, and to strangers nothing at all (§8).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_core::module::{At, HandleIq, Reply, Request};
use kim_core::router::{Destination, Router};
use kim_core::wire::Writer;

use super::api::{DiscoItem, ITEMS, ItemsAsked};
use crate::rfc6121_im::api::Subscriptions;
use crate::xep0059_rsm::api::{self as rsm, Asked, Given};

/// Answers disco#items.
pub(super) struct TellItems {
    pub subscriptions: Arc<Subscriptions>,
}

impl HandleIq for TellItems {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let (at, node) = (super::place(iq), super::node(iq));
        if at == At::Account && iq.is_to_full() {
            return Err(Condition::ServiceUnavailable.into());
        }
        if at == At::Account
            && !self
                .subscriptions
                .may_see(&router, iq.account, &iq.from.bare())
                .await?
        {
            // An account that is not there answers the same: an empty list, whatever the node (§8).
            return Ok(write(node.as_deref(), &[], None));
        }
        let items = match (at, &node) {
            (At::Within(_), _) | (_, Some(_)) => None,
            (At::Server, None) => Some(services(&router, iq)),
            (_, None) => Some(Vec::new()),
        };
        let mut asked = ItemsAsked {
            account: iq.account.clone(),
            at,
            asker: iq.from.clone(),
            node,
            items,
        };
        router.raise(&mut asked, cx).await?;
        let items = asked.items.ok_or(Condition::ItemNotFound)?;
        if iq.payload.child("set", rsm::NS).is_none() {
            return Ok(write(asked.node.as_deref(), &items, None));
        }
        // XEP-0059 §3: page by page, in the order in which they are listed without.
        let id = |item: &DiscoItem| {
            let name = item.node.clone().or_else(|| item.name.clone());
            name.unwrap_or_else(|| item.jid.as_str().to_owned())
        };
        let page = Asked::parse(iq.payload)?;
        let (items, given) = rsm::page_of(&items, id, &page, items.len(), items.len())?;
        Ok(write(asked.node.as_deref(), items, Some(&given)))
    }
}

/// The services of a domain, those of external components included (XEP-0114). Guests use the services of the domain that
/// they are guests of; components are closed to them.
fn services(router: &Router, iq: &Request<'_>) -> Vec<DiscoItem> {
    let domain = iq.account.domain();
    let domain = router.parent(domain).unwrap_or(domain);
    let mut own: Vec<String> = router.services().map(|name| format!("{name}.{domain}")).collect();
    if router.destination(iq.from.domain()) != Destination::Guests {
        own.extend(components(router, domain));
    }
    own.iter()
        .filter_map(|address| Jid::parse(address).ok())
        .map(|jid| DiscoItem {
            jid,
            node: None,
            name: None,
        })
        .collect()
}

/// The components that belong to a domain: those below it. The main domain has those too that are below none.
fn components(router: &Router, domain: &str) -> Vec<String> {
    let config = router.config();
    let is_below = |component: &str, domain: &str| {
        component
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    let belongs = |component: &str| {
        let is_below_any = config
            .server
            .domains
            .iter()
            .any(|other| is_below(component, other));
        is_below(component, domain) || (!is_below_any && domain == config.main_domain())
    };
    let all = config
        .components
        .iter()
        .map(|component| component.jid.to_string());
    all.filter(|component| belongs(component)).collect()
}

fn write(node: Option<&str>, items: &[DiscoItem], given: Option<&Given>) -> Reply {
    let mut xml = Writer::new();
    xml.start("query", ITEMS);
    if let Some(node) = node {
        xml.attr("node", node);
    }
    for item in items {
        xml.start("item", ITEMS).attr("jid", item.jid.as_str());
        if let Some(node) = &item.node {
            xml.attr("node", node);
        }
        if let Some(name) = &item.name {
            xml.attr("name", name);
        }
        xml.end();
    }
    if let Some(given) = given {
        given.write(&mut xml);
    }
    xml.end();
    xml.into()
}
