//! XEP-0153: the hash of the picture in a vCard, as presence carries it. Clients are told to put it there themselves; the
//! server does it for those that do not or that fell behind, in the way of XEP-0398 §4.

use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Departure;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::stanza::{Kind, PresenceType, Stanza};
use kim_core::wire::{El, Writer};
use sha1::{Digest, Sha1};

use super::NS;
use super::store::Cards;

/// The namespace of the hash in presence.
pub const UPDATE: &str = "vcard-temp:x:update";

/// The hash of the picture in a vCard (§3.1); none if there is no picture, or if it is not base64 (§4.6).
pub(super) fn hash(card: El<'_>) -> Option<String> {
    let data = card.child("PHOTO", NS)?.child("BINVAL", NS)?.text();
    picture(&data).map(|picture| hash_of(&picture))
}

/// A picture that is written as base64, with white space anywhere.
pub(super) fn picture(base64: &str) -> Option<Vec<u8>> {
    let data: Vec<u8> = base64
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(&data).ok().filter(|picture| !picture.is_empty())
}

/// The hash of a picture.
pub(super) fn hash_of(picture: &[u8]) -> String {
    HEXLOWER.encode(&Sha1::digest(picture))
}

/// What a presence says about the picture (§4.1).
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing: the client does not know of pictures.
    Nothing,
    /// It is not ready yet to say.
    NotReady,
    /// There is none to be shown.
    NoPicture,
    /// There is one.
    Picture(String),
}

impl Claim {
    fn of(presence: &Stanza) -> Claim {
        let Some(update) = presence.child("x", UPDATE) else {
            return Claim::Nothing;
        };
        let Some(photo) = update.child("photo", UPDATE) else {
            return Claim::NotReady;
        };
        match photo.text().trim() {
            "" => Claim::NoPicture,
            // §3.1: upper case is processed too.
            hash => Claim::Picture(hash.to_ascii_lowercase()),
        }
    }
}

/// Puts the hash into presence that leaves, broadcast or directed.
pub(super) struct ShowHash(pub Arc<Cards>);

impl On<Departure> for ShowHash {
    async fn on(&self, event: &mut Departure, _: &mut Cx) -> Result<Flow, Fault> {
        if event.stanza.kind != Kind::Presence(PresenceType::Available) || event.session.guest {
            return Ok(Flow::Next);
        }
        let claim = Claim::of(&event.stanza);
        if claim == Claim::NoPicture {
            // XEP-0398 §4: that is the client's to decide.
            return Ok(Flow::Next);
        }
        match (self.0.photo(&event.session.account).await?, claim) {
            (Some(hash), Claim::Picture(claimed)) if claimed == hash => {}
            (Some(hash), _) => replace(&mut event.stanza, &hash),
            // The picture that the client still shows is gone.
            (None, Claim::Picture(_)) => replace(&mut event.stanza, ""),
            (None, _) => {}
        }
        Ok(Flow::Next)
    }
}

fn replace(presence: &mut Stanza, hash: &str) {
    presence.remove(|child| child.is("x", UPDATE));
    let mut xml = Writer::new();
    xml.start("x", UPDATE)
        .start("photo", UPDATE)
        .text(hash)
        .end()
        .end();
    presence.append(&xml.finish_string());
}

/// The picture has changed: the presence that the account's sessions broadcast last goes out again with the new hash, as
/// if they had sent it. Directed presence is its sender's to repeat (XEP-0398 §5.1).
pub(super) async fn show_again(router: &Arc<Router>, account: &BareJid, hash: Option<&str>) {
    for session in router.sessions().of(account) {
        let Some(presence) = session.presence() else {
            continue;
        };
        if hash.is_none() && !presence.stanza.has("x", UPDATE) {
            continue;
        }
        let mut presence = Stanza::clone(&presence.stanza);
        replace(&mut presence, hash.unwrap_or(""));
        let outcome = router.depart(&session, presence).await;
        router.perform(outcome).await;
    }
}
