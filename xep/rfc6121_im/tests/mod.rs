//! Stories of this room, told in memory; each names its section.

use kim_core::module::Entry;
use kim_core::testing::{Client, House};

use super::Im;
use crate::xep0359_ids::StanzaIds;

mod delivery;

/// A house with this room alone.
async fn configured(toml: &str) -> House {
    House::configured(&[Entry::of::<StanzaIds>(), Entry::of::<Im>()], toml).await
}

/// Binds a session with a presence of that priority; what came back is read away.
async fn with_priority(house: &House, jid: &str, priority: i8) -> Client {
    let mut client = house.connect(jid).await;
    client
        .send(&format!("<presence><priority>{priority}</priority></presence>"))
        .await;
    client.skip();
    client
}

/// An error of that type and condition, as a child of the answer.
fn error(kind: &str, condition: &str) -> String {
    format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
}
