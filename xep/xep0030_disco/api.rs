//! What other modules add to service discovery when somebody asks, and the form of an answer, for modules that answer for
//! addresses of their own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use kim_core::hook::Event;
use kim_core::jid::{BareJid, Jid};
use kim_core::module::At;
use kim_core::router::Router;
use kim_core::wire::Writer;

/// XEP-0030 §3: what somebody is and can do.
pub const INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030 §4: what belongs to somebody.
pub const ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// Somebody who may know asks what an account is (§3.1), or what a node of the server or of an account is (§3.2).
///
/// The server itself, without a node, is not asked about here: what it advertises is registered at the start and
/// the same for everybody, because its hash stands in the stream features (XEP-0115 §6.3).
pub struct InfoAsked {
    /// The account, the domain of the server or of a service, or the bare JID of something at a service.
    pub account: BareJid,
    /// Where it is. An account is the asker's own ([`At::Own`]) or another's ([`At::Account`]).
    pub at: At,
    /// Who asks.
    pub asker: Jid,
    /// The node, if one was named.
    pub node: Option<String>,
    /// The answer. For a node, and for anything at a service, it is `None` until the module that knows it sets it; left so,
    /// the answer is `item-not-found`.
    pub info: Option<Info>,
}

impl Event for InfoAsked {
    const NAME: &'static str = "disco-info";
}

/// Somebody who may know asks what belongs to the server, to an account or to a node (§4).
pub struct ItemsAsked {
    /// The account, the domain of the server or of a service, or the bare JID of something at a service.
    pub account: BareJid,
    /// Where it is. An account is the asker's own ([`At::Own`]) or another's ([`At::Account`]).
    pub at: At,
    /// Who asks.
    pub asker: Jid,
    /// The node, if one was named.
    pub node: Option<String>,
    /// The items so far. For a node, and for anything at a service, it is `None` until the module that knows it sets it; left
    /// so, the answer is `item-not-found`.
    pub items: Option<Vec<DiscoItem>>,
}

impl Event for ItemsAsked {
    const NAME: &'static str = "disco-items";
}

/// Something that belongs to somebody (§4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoItem {
    /// Its address.
    pub jid: Jid,
    /// Its node, where the address does not say all (§4.2).
    pub node: Option<String>,
    /// A name for humans.
    pub name: Option<String>,
}

/// An answer to disco#info. Always in the same order, and never anything twice (XEP-0115 §5.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    identities: BTreeMap<(Text, Text), Text>,
    features: BTreeSet<Text>,
    forms: Vec<String>,
}

type Text = Cow<'static, str>;

impl Info {
    /// An answer that knows no more than how to be asked.
    pub fn new() -> Info {
        let mut info = Info::default();
        info.feature(INFO);
        info
    }

    /// What the modules registered for a place, and for those whose handlers answer there too.
    pub fn advertised(router: &Router, at: At) -> Info {
        let mut info = Info::default();
        for at in at.and_wider() {
            for identity in router.identities(at) {
                info.identity(identity.category, identity.kind, identity.name);
            }
            for feature in router.features(at) {
                info.feature(feature);
            }
            for form in router.forms(at) {
                info.form(form.clone());
            }
        }
        info
    }

    /// Adds an identity. One category and type has one name (§3.1): a second one replaces it.
    pub fn identity(&mut self, category: impl Into<Text>, kind: impl Into<Text>, name: impl Into<Text>) {
        self.identities
            .insert((category.into(), kind.into()), name.into());
    }

    /// Adds a feature.
    pub fn feature(&mut self, feature: impl Into<Text>) {
        self.features.insert(feature.into());
    }

    /// Takes a feature out that is not there for everybody.
    pub fn without(&mut self, feature: &str) {
        self.features.remove(feature);
    }

    /// Adds a form (XEP-0128): a canonical `<x xmlns='jabber:x:data' type='result'/>` with a FORM_TYPE of its own.
    pub fn form(&mut self, form: String) {
        self.forms.push(form);
    }

    /// The `<query/>`; a node that was asked for is named again (§3.2).
    pub fn write(&self, node: Option<&str>) -> Writer {
        let mut xml = Writer::new();
        xml.start("query", INFO);
        if let Some(node) = node {
            xml.attr("node", node);
        }
        for ((category, kind), name) in &self.identities {
            xml.start("identity", INFO)
                .attr("category", category)
                .attr("type", kind);
            if !name.is_empty() {
                xml.attr("name", name);
            }
            xml.end();
        }
        for feature in &self.features {
            xml.start("feature", INFO).attr("var", feature).end();
        }
        for form in &self.forms {
            xml.raw(form);
        }
        xml.end();
        xml
    }
}
