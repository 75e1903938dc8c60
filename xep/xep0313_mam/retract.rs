//! XEP-0424: a message that its sender retracts leaves a tombstone in its place (§4), so that it is gone from the archive
//! and every client still learns that something was there.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;
use kim_core::wire::Writer;

use super::archive::{self, Archives, peer_tags, reference_tag};

/// The namespace of retractions.
pub const NS: &str = "urn:xmpp:message-retract:1";

/// How far back in a conversation a retracted message is looked for.
const LOOKED_AT_MAX: usize = 10_000;

/// Makes tombstones.
pub struct Retractions {
    /// Where.
    pub archives: Arc<Archives>,
}

impl Retractions {
    /// If the message is a retraction, replaces the message it means in one archive. `peer` is the other side.
    pub async fn apply(
        &self,
        owner: &BareJid,
        peer: &Jid,
        stanza: &Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let Some(retracted) = stanza.child("retract", NS).and_then(|retract| retract.attr("id")) else {
            return Ok(());
        };
        // §5: only who sent a message may retract it, and it is the sender that is looked for.
        let Some(sender) = stanza.from.as_ref().map(|from| from.bare_str().to_owned()) else {
            return Ok(());
        };
        let (archives, key) = (&self.archives, self.archives.key(owner).await?);
        // The message may have been sent a moment ago.
        archives.settled(owner).await;
        let reference = reference_tag(&key, &sender, &retracted);
        let peer = peer_tags(&key, peer).bare;
        for place in archives.store.referred(peer, reference, LOOKED_AT_MAX).await? {
            let Some(found) = archives.store.find(owner, place).await? else {
                continue;
            };
            let Some(original) = archive::open(&key, owner, &found) else {
                continue;
            };
            if original.has("retracted", NS) || original.has("retract", NS) {
                continue;
            }
            let tombstone = tombstone(&original, stanza.id.as_deref(), cx.received);
            archives.replace(&key, owner, place, &tombstone, cx);
        }
        Ok(())
    }
}

/// §4: nothing of the message stays but who sent it to whom under which id.
fn tombstone(original: &Stanza, retraction: Option<&str>, now: Timestamp) -> Stanza {
    let mut xml = Writer::new();
    xml.start("retracted", NS).attr("stamp", &now.to_string());
    if let Some(id) = retraction {
        xml.attr("id", id);
    }
    xml.end();
    let mut tombstone = Stanza::new(original.kind, &xml.finish_string());
    tombstone.from.clone_from(&original.from);
    tombstone.to.clone_from(&original.to);
    tombstone.id.clone_from(&original.id);
    tombstone
}
