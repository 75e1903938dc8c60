//! Two devices that announce themselves at once overwrite each other's list (§5.3.1). The one that was overwritten finds out
//! when it hears of the list as it is, and announces itself again. So what everybody hears *last* must be what is there:
//! the notifications of two publications could overtake each other on their way.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::router::Router;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::guard::key_node;
use super::keyring::KeyRing;
use super::nodes::KeyNode;
use crate::xep0060_pubsub::api::{Audience, EVENT, Item, NodeConfig, Published};

/// How often it is looked again after another list was found; each time somebody else has published meanwhile.
const ROUNDS_MAX: usize = 10;

/// Looks, once a list has been told of, whether it is still the one that is there.
pub(super) struct LastWord(pub Arc<KeyRing>);

impl On<Published> for LastWord {
    async fn on(&self, published: &mut Published, cx: &mut Cx) -> Result<Flow, Fault> {
        if !matches!(
            key_node(&published.owner, &published.node),
            Some(KeyNode::Devices(_))
        ) {
            return Ok(Flow::Next);
        }
        let Some(told) = published.items.last().cloned() else {
            return Ok(Flow::Next);
        };
        let list = List {
            keys: self.0.clone(),
            owner: published.owner.clone(),
            node: published.node.clone(),
            config: published.config.clone(),
        };
        let router = cx.router().clone();
        // When this has been delivered: what is committed later is delivered later.
        cx.afterwards(move |_| {
            tokio::spawn(async move {
                if let Err(fault) = list.repair(router, told).await {
                    tracing::warn!(event = "omemo_repair_failed", account = %list.owner, ?fault);
                }
            });
        });
        Ok(Flow::Next)
    }
}

struct List {
    keys: Arc<KeyRing>,
    owner: BareJid,
    node: String,
    config: Arc<NodeConfig>,
}

impl List {
    async fn repair(&self, router: Arc<Router>, mut told: Arc<Item>) -> Result<(), Fault> {
        for _ in 0..ROUNDS_MAX {
            let Some(there) = self.keys.newest(&router, &self.owner, &self.node).await? else {
                return Ok(());
            };
            if there.payload == told.payload {
                return Ok(());
            }
            let Some(mut cx) = router.cx() else { return Ok(()) };
            self.tell(&there, &mut cx).await?;
            router.finish(cx).await;
            told = there;
        }
        Ok(())
    }

    /// Tells everybody concerned once more (XEP-0163 §4.3).
    async fn tell(&self, item: &Item, cx: &mut Cx) -> Result<(), Fault> {
        let mut audience = Audience {
            owner: self.owner.clone(),
            node: self.node.clone(),
            config: self.config.clone(),
            sessions: Vec::new(),
        };
        cx.router().clone().raise(&mut audience, cx).await?;
        let mut xml = Writer::new();
        xml.start("event", EVENT);
        xml.start("items", EVENT).attr("node", &self.node);
        xml.start("item", EVENT).attr("id", &item.id);
        if let Some(payload) = &item.payload {
            xml.el(payload.el());
        }
        xml.end().end().end();
        let payload = xml.finish_string();
        for session in audience.sessions {
            let message = Stanza::new(Kind::Message(MessageType::Headline), &payload)
                .from(self.owner.clone())
                .to(session)
                .id(random::token());
            cx.send(message);
        }
        Ok(())
    }
}
