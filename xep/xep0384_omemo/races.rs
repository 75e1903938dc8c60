//! Two devices that announce themselves at once overwrite each other's list (§5.3.1). The one that was overwritten finds out
//! when it hears of the list as it is, and announces itself again. So what everybody hears *last* must be what is there:
//! the notifications of two publications could overtake each other on their way.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::router::Router;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::guard::{self, key_node};
use super::keyring::KeyRing;
use super::nodes::KeyNode;
use crate::xep0060_pubsub::api::{EVENT, Item, NodeAudience, NodeConfig, NodeDeleted, Published, Retracted};

/// How often it is looked again after another list was found; each time somebody else has published meanwhile.
const ROUNDS_MAX: usize = 10;

/// Looks, once a list or its removal has been told of, whether that is still how it is.
pub(super) struct LastWord(pub Arc<KeyRing>);

impl Hear<Published> for LastWord {
    async fn hear(&self, published: &mut Published, cx: &mut Cx) -> Result<(), Fault> {
        if let Some(told) = published.items.last().cloned() {
            self.look_again(&published.owner, &published.node, Some(told), cx);
        }
        Ok(())
    }
}

impl Hear<Retracted> for LastWord {
    async fn hear(&self, retracted: &mut Retracted, cx: &mut Cx) -> Result<(), Fault> {
        self.look_again(&retracted.owner, &retracted.node, None, cx);
        Ok(())
    }
}

impl Hear<NodeDeleted> for LastWord {
    async fn hear(&self, deleted: &mut NodeDeleted, cx: &mut Cx) -> Result<(), Fault> {
        self.look_again(&deleted.owner, &deleted.node, None, cx);
        Ok(())
    }
}

impl LastWord {
    /// `told` is the list that everybody was told of; `None`: that there is none any more.
    fn look_again(&self, owner: &BareJid, node: &str, told: Option<Arc<Item>>, cx: &mut Cx) {
        let Some(kind @ KeyNode::Devices(_)) = key_node(owner, node) else {
            return;
        };
        let list = List {
            keys: self.0.clone(),
            owner: owner.clone(),
            node: node.to_owned(),
            kind,
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
    }
}

struct List {
    keys: Arc<KeyRing>,
    owner: BareJid,
    node: String,
    kind: KeyNode,
}

impl List {
    async fn repair(&self, router: Arc<Router>, mut told: Option<Arc<Item>>) -> Result<(), Fault> {
        for _ in 0..ROUNDS_MAX {
            let there = self.keys.newest(&router, &self.owner, &self.node).await?;
            let payload = |item: &Option<Arc<Item>>| item.as_ref().map(|item| item.payload.clone());
            if payload(&there) == payload(&told) {
                return Ok(());
            }
            let Some(mut cx) = router.cx() else { return Ok(()) };
            self.tell(there.as_deref(), told.as_deref(), &mut cx).await?;
            router.finish(cx).await;
            told = there;
        }
        Ok(())
    }

    /// Tells everybody concerned once more (XEP-0163 §4.3): of the list that is there, or that there is none.
    async fn tell(&self, there: Option<&Item>, told: Option<&Item>, cx: &mut Cx) -> Result<(), Fault> {
        let router = cx.router().clone();
        let config = self.keys.pubsub.config(&router, &self.owner, &self.node).await?;
        let has_node = config.is_some();
        let config = config.unwrap_or_else(|| {
            let mut config = NodeConfig::of_account();
            guard::open(self.kind, &mut config);
            Arc::new(config)
        });
        let mut audience = NodeAudience {
            owner: self.owner.clone(),
            node: self.node.clone(),
            config,
            sessions: Vec::new(),
        };
        router.raise(&mut audience, cx).await?;
        let mut xml = Writer::new();
        xml.start("event", EVENT);
        match (there, told) {
            (Some(item), _) => {
                xml.start("items", EVENT).attr("node", &self.node);
                xml.start("item", EVENT).attr("id", &item.id);
                if let Some(payload) = &item.payload {
                    xml.el(payload.el());
                }
                xml.end().end();
            }
            (None, Some(told)) if has_node => {
                xml.start("items", EVENT).attr("node", &self.node);
                xml.start("retract", EVENT).attr("id", &told.id).end().end();
            }
            (None, _) => drop(xml.start("delete", EVENT).attr("node", &self.node).end()),
        }
        xml.end();
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
