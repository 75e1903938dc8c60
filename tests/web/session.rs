//! A client's way to a session, over whatever carries elements: WebSocket and BOSH take the same steps.

use crate::common::{PASSWORD, Scram};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::wire::Element;

pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub const STREAMS: &str = "http://etherx.jabber.org/streams";

/// What carries elements.
pub trait Carrier {
    /// Opens a stream, or a new one, and gives the features.
    async fn open(&mut self, domain: &str) -> Element;
    /// Sends an element.
    async fn send(&mut self, xml: &str);
    /// The next element.
    async fn next(&mut self) -> Element;

    /// Logs in, without channel binding, and opens the new stream.
    async fn log_in(&mut self, name: &str, domain: &str) -> Element {
        self.log_in_with(Scram::new(name, PASSWORD), domain).await
    }

    async fn log_in_with(&mut self, mut scram: Scram, domain: &str) -> Element {
        let first = STANDARD.encode(scram.first());
        let mechanism = scram.mechanism();
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"
        ))
        .await;
        let challenge = self.next().await;
        assert!(challenge.is("challenge", SASL), "{}", challenge.as_str());
        let answer = STANDARD.encode(scram.answer(&crate::common::decoded(&challenge)));
        self.send(&format!("<response xmlns='{SASL}'>{answer}</response>"))
            .await;
        let success = self.next().await;
        assert!(success.is("success", SASL), "{}", success.as_str());
        self.open(domain).await
    }

    /// Binds a resource.
    async fn bind(&mut self, resource: &str) {
        self.send(&format!(
            "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ))
        .await;
        let bound = self.next().await;
        assert_eq!(
            bound.attr("type").as_deref(),
            Some("result"),
            "{}",
            bound.as_str()
        );
        assert!(
            bound.as_str().contains(&format!("/{resource}</jid>")),
            "{}",
            bound.as_str()
        );
    }

    /// All of it.
    async fn session(&mut self, jid: &str) {
        let (account, resource) = jid.split_once('/').expect("a full JID");
        let (name, domain) = account.split_once('@').expect("a bare JID");
        let features = self.open(domain).await;
        assert!(features.is("features", STREAMS), "{}", features.as_str());
        self.log_in(name, domain).await;
        self.bind(resource).await;
    }

    /// Sends a chat message.
    async fn say(&mut self, to: &str, body: &str) {
        self.send(&format!(
            "<message xmlns='jabber:client' type='chat' to='{to}'><body>{body}</body></message>"
        ))
        .await;
    }

    /// The next message's body, past what stream management asks.
    async fn heard(&mut self) -> String {
        loop {
            let next = self.next().await;
            if next.is("message", "jabber:client") {
                let body = next.child("body", "jabber:client").expect("a body");
                return body.text().into_owned();
            }
        }
    }

    /// Asks for stream management and gives its id.
    async fn manage(&mut self) -> String {
        self.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
        let enabled = self.next().await;
        assert!(enabled.is("enabled", "urn:xmpp:sm:3"), "{}", enabled.as_str());
        enabled.attr("id").expect("an id").into_owned()
    }

    /// Goes on with a session on a stream that has logged in.
    async fn resume(&mut self, id: &str, h: u32) {
        self.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"))
            .await;
        let resumed = self.next().await;
        assert!(resumed.is("resumed", "urn:xmpp:sm:3"), "{}", resumed.as_str());
    }
}
