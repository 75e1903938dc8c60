//! People on other servers among all modules: what passes between them and the people of this server.

mod blocking;
mod contacts;
mod events;
mod guests;
mod kept;
mod messages;
mod rooms;

use kim_core::testing::{Client, House, Neighbour};

use crate::MODULES;

/// Somebody's client on the other server.
const ROMEO: &str = "romeo@example.org/orchard";
/// The error that says that nothing is there, in the form in which patterns name it.
const UNAVAILABLE: &str =
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

/// A house with every module. What stands in for keys in these stories is none, so nobody looks at them.
async fn house() -> House {
    House::configured(MODULES, "[xep0384_omemo]\npolicy = \"off\"\n").await
}

/// Sends a stanza of the other server, which its stream survives.
async fn say(there: &mut Neighbour, xml: &str) {
    assert_eq!(there.send(xml).await, None, "{xml}");
}

/// Alice and Romeo see each other's presence. What came of it is read away.
async fn befriend(alice: &mut Client, there: &mut Neighbour) {
    alice
        .send("<presence to='romeo@example.org' type='subscribe'/>")
        .await;
    say(
        there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribed'/>",
    )
    .await;
    say(
        there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
    )
    .await;
    alice
        .send("<presence to='romeo@example.org' type='subscribed'/>")
        .await;
    alice.skip();
    there.skip();
}

/// Everything that has come there.
fn all(there: &mut Neighbour) -> Vec<String> {
    std::iter::from_fn(|| there.next()).collect()
}
