//! Counting, acknowledging and resuming in memory: no sockets, so that every order of events can be written down. What
//! needs connections is in the server's `tests/resume.rs`.

use std::sync::Arc;
use std::time::Duration;

use kim_core::events::{Early, Unbound};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::testing::{Client, House};
use kim_core::wire::Element;

use crate::MODULES;

mod counting;
mod resuming;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const UNEXPECTED: &str = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

fn answer(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn not_found(h: Option<u32>) -> String {
    let h = h.map(|h| format!(" h='{h}'")).unwrap_or_default();
    format!(
        "<failed xmlns='urn:xmpp:sm:3'{h}><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

/// What comes next; an answer to `<r/>` comes when its number is committed.
async fn soon(client: &mut Client) -> String {
    for _ in 0..20_000 {
        if let Some(xml) = client.next() {
            return xml;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} waited for nothing", client.session.jid);
}

/// Enables stream management and gives the id.
async fn enable(client: &mut Client) -> String {
    client.send(ENABLE).await;
    client.expect("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='true' max='600'/>");
    client.captured("id").to_owned()
}

/// What a stream of that account, logged in and not bound, is told.
async fn early(
    router: &Arc<Router>,
    account: Option<&str>,
    xml: &str,
) -> Result<Early, kim_core::error::StreamError> {
    let mut event = Unbound {
        element: Element::parse(xml).unwrap(),
        account: account.map(|account| BareJid::parse(account).unwrap()),
        verdict: Early::Unknown,
    };
    router.unbound(&mut event).await?;
    Ok(event.verdict)
}

async fn refusal(house: &House, account: Option<&str>, xml: &str) -> String {
    match early(&house.router, account, xml).await {
        Ok(Early::Answered(xml)) => xml,
        Ok(Early::Unknown) => panic!("nobody knows {xml}"),
        Ok(Early::Resume { .. }) => panic!("resumed by {xml}"),
        Err(error) => panic!("{error:?}"),
    }
}

fn resume(id: &str, h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
}

async fn message(from: &mut Client, to: &str, body: &str) {
    from.send(&format!(
        "<message to='{to}' type='chat'><body>{body}</body></message>"
    ))
    .await;
}
