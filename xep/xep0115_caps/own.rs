//! The server's own capabilities: the hash of what it really answers, in the stream features (§6.3), and the answer
//! for the node that they name (§6.2).

use std::sync::{Arc, OnceLock};

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::module::At;
use kim_core::router::Router;
use kim_core::wire::Writer;

use super::NS;
use super::verify::{Algorithm, Said};
use crate::xep0030_disco::api::{Info, InfoAsked};

/// The software, as a URI that needs no name on the network.
const NODE: &str = "urn:x-kim:server";

/// The verification string, made when first wanted. It cannot change while the server runs.
#[derive(Default)]
pub(super) struct Own(OnceLock<Option<String>>);

impl Own {
    fn ver(&self, router: &Router) -> Option<&str> {
        let make = || {
            let query = Info::advertised(router, At::Server)
                .write(None)
                .finish_element()?;
            let ver = Said::read(query.el()).map(|said| said.hash(Algorithm::Sha1));
            if ver.is_none() {
                tracing::error!(
                    event = "own_caps_ill_formed",
                    "two modules registered the same form"
                );
            }
            ver
        };
        self.0.get_or_init(make).as_deref()
    }

    /// The `<c/>` of the stream features.
    pub fn stream_feature(&self, router: &Router) -> Option<String> {
        let ver = self.ver(router)?;
        let mut xml = Writer::new();
        xml.start("c", NS)
            .attr("hash", "sha-1")
            .attr("node", NODE)
            .attr("ver", ver)
            .end();
        Some(xml.finish_string())
    }
}

/// Answers for the node that the stream features name.
pub(super) struct OwnNode(pub Arc<Own>);

impl On<InfoAsked> for OwnNode {
    async fn on(&self, asked: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        let ver = asked
            .node
            .as_deref()
            .and_then(|node| node.strip_prefix(NODE)?.strip_prefix('#'));
        if asked.at == At::Server && ver.is_some() && ver == self.0.ver(cx.router()) {
            asked.info = Some(Info::advertised(cx.router(), At::Server));
        }
        Ok(Flow::Next)
    }
}
