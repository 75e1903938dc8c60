//! What the room tells all (§3.1) and what stays in its archive (§4), each in the form of this version and in that of 0.2.

use kim_core::clock::Timestamp;
use kim_core::wire::Writer;

use super::handle::OLD_RETRACT;
use super::{FASTEN, NS, OLD};
use crate::xep0045_muc::api::{OCCUPANT_ID, OccupantView};
use crate::xep0313_mam::api::RETRACT;

/// One retraction by a moderator.
pub struct Deed<'a> {
    /// The room's id of the message that goes.
    pub message: &'a str,
    /// The id of the room's message about it.
    pub retraction: &'a str,
    /// Who did it.
    pub moderator: &'a OccupantView,
    /// Why; may be empty.
    pub reason: &'a str,
    /// When.
    pub stamp: Timestamp,
}

fn reason(xml: &mut Writer, ns: &'static str, deed: &Deed<'_>) {
    if !deed.reason.is_empty() {
        xml.start("reason", ns).text(deed.reason).end();
    }
}

/// `<moderated/>` with the moderator; left open.
fn moderated(xml: &mut Writer, ns: &'static str, deed: &Deed<'_>) {
    xml.start("moderated", ns)
        .attr("by", deed.moderator.address.as_str())
        .start("occupant-id", OCCUPANT_ID)
        .attr("id", &deed.moderator.occupant_id)
        .end();
}

/// What everybody is told.
pub fn told(deed: &Deed<'_>) -> String {
    let mut xml = Writer::new();
    xml.start("retract", RETRACT).attr("id", deed.message);
    moderated(&mut xml, NS, deed);
    xml.end();
    reason(&mut xml, RETRACT, deed);
    xml.end();
    xml.start("apply-to", FASTEN).attr("id", deed.message);
    moderated(&mut xml, OLD, deed);
    xml.start("retract", OLD_RETRACT).end();
    reason(&mut xml, OLD, deed);
    xml.end().end();
    xml.finish_string()
}

/// What stays.
pub fn tombstone(deed: &Deed<'_>) -> String {
    let stamp = deed.stamp.to_string();
    let mut xml = Writer::new();
    xml.start("retracted", RETRACT)
        .attr("stamp", &stamp)
        .attr("id", deed.retraction);
    moderated(&mut xml, NS, deed);
    xml.end();
    reason(&mut xml, RETRACT, deed);
    xml.end();
    moderated(&mut xml, OLD, deed);
    xml.start("retracted", OLD_RETRACT).attr("stamp", &stamp).end();
    reason(&mut xml, OLD, deed);
    xml.end();
    xml.finish_string()
}
