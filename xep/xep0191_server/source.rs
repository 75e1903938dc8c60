//! A block list as the configuration names it: a service, and a node there.

use kim_core::config::{Domain, Located, Value, Wrong, read_text, toml_text, written};
use kim_core::jid::{BareJid, Jid};

/// The node where no other is named: the one that the field has settled on.
const NODE_DEFAULT: &str = "muc_bans_sha256";
/// Names of nodes may have so many bytes.
const NODE_BYTES_MAX: usize = 1_024;

/// A node of a publish-subscribe service, by its URI (XEP-0060 §12.22) or by the service alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockListSource {
    /// The service.
    pub service: Domain,
    /// The node.
    pub node: String,
}

impl BlockListSource {
    /// Reads `rtbl.example` or `xmpp:rtbl.example?;node=NODE`.
    pub fn parse(text: &str) -> Option<BlockListSource> {
        let (service, node) = match text.strip_prefix("xmpp:") {
            None => (text, NODE_DEFAULT),
            Some(rest) => {
                let (service, query) = rest.split_once('?').unwrap_or((rest, ""));
                let mut named = query.split(';').filter_map(|pair| pair.strip_prefix("node="));
                (service, named.next().unwrap_or(NODE_DEFAULT))
            }
        };
        let is_plain = node.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%');
        if node.is_empty() || node.len() > NODE_BYTES_MAX || !is_plain {
            return None;
        }
        Some(BlockListSource {
            service: Domain::parse(service)?,
            node: node.to_owned(),
        })
    }

    /// The address of the service.
    pub fn address(&self) -> Option<Jid> {
        BareJid::parse(&self.service).ok().map(Jid::from)
    }

    /// The URI, by which the list is known in the database, the log and `/metrics`.
    pub fn uri(&self) -> String {
        format!("xmpp:{}?;node={}", self.service, self.node)
    }
}

impl Value for BlockListSource {
    fn expects() -> String {
        "a service such as rtbl.example, or xmpp:rtbl.example?;node=NODE".to_owned()
    }

    fn read(located: &Located) -> Result<BlockListSource, Wrong> {
        let text = read_text(located)?;
        BlockListSource::parse(text).ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.uri()))
    }
}
