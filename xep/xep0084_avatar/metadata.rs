//! What the metadata of an avatar says (XEP-0084 §4.2), and that a picture's id is the hash of the picture (§4.1).

use data_encoding::{BASE64, HEXLOWER};
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::wire::{El, Element, Writer};
use sha1::{Digest, Sha1};

use super::{DATA, METADATA};
use crate::xep0054_vcard::api::Photo;
use crate::xep0060_pubsub::api::Publishing;

/// A picture of which the metadata speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureInfo {
    /// Its id, the hash.
    pub id: String,
    /// Its media type.
    pub kind: String,
}

/// The picture that lies at the data node: the one whose `<info/>` points nowhere else (XEP-0398 §3.1).
pub fn stored_here(metadata: El<'_>) -> Option<PictureInfo> {
    let mut infos = metadata.children().filter(|info| info.is("info", METADATA));
    let info = infos.find(|info| info.attr("url").is_none())?;
    Some(PictureInfo {
        id: info.attr("id")?.to_ascii_lowercase(),
        kind: info.attr("type").unwrap_or_default().into_owned(),
    })
}

/// Whether this is metadata that says that there is no avatar (§4.2.1).
pub fn says_none(metadata: El<'_>) -> bool {
    metadata.is("metadata", METADATA) && !metadata.children().any(|info| info.is("info", METADATA))
}

/// The bytes of a picture in an item of the data node.
pub fn picture(data: El<'_>) -> Option<Vec<u8>> {
    if !data.is("data", DATA) {
        return None;
    }
    let text: Vec<u8> = data
        .text()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(&text).ok().filter(|picture| !picture.is_empty())
}

/// The id of a picture.
pub fn id_of(picture: &[u8]) -> String {
    HEXLOWER.encode(&Sha1::digest(picture))
}

/// The payloads of both nodes for a picture.
pub fn payloads(photo: &Photo) -> Option<(Element, Element)> {
    let mut data = Writer::new();
    data.start("data", DATA).text(&BASE64.encode(&photo.data)).end();
    let kind = if photo.kind.is_empty() {
        "image/png"
    } else {
        &photo.kind
    };
    let mut metadata = Writer::new();
    metadata
        .start("metadata", METADATA)
        .start("info", METADATA)
        .attr("bytes", &photo.data.len().to_string())
        .attr("id", &id_of(&photo.data))
        .attr("type", kind)
        .end()
        .end();
    Some((data.finish_element()?, metadata.finish_element()?))
}

/// The metadata that says that there is no avatar.
pub fn none() -> Option<Element> {
    let mut metadata = Writer::new();
    metadata.start("metadata", METADATA).end();
    metadata.finish_element()
}

/// Refuses pictures whose id is not their hash: others look for them by it, and never would find them.
pub struct Honest;

impl On<Publishing> for Honest {
    async fn on(&self, publishing: &mut Publishing, _: &mut Cx) -> Result<Flow, Fault> {
        if publishing.owner.local().is_none() || publishing.node != DATA {
            return Ok(Flow::Next);
        }
        for draft in &publishing.items {
            let picture = draft.payload.as_ref().and_then(|payload| picture(payload.el()));
            let fits = picture.is_some_and(|picture| draft.id.eq_ignore_ascii_case(&id_of(&picture)));
            if !fits {
                let error = StanzaError::new(Condition::NotAcceptable);
                return Err(error
                    .text("avatar data must be Base64, and the item id the SHA-1 of the picture")
                    .into());
            }
        }
        Ok(Flow::Next)
    }
}
