//! Servers that misbehave: what each is told (RFC 6120 §4.9.3, XEP-0220).

use std::sync::Arc;

use kim_core::wire::Limits;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::neighbours::{Authority, Names, Neighbour, PATIENCE};
use crate::s2s::talk::{ServerTalk, TalkBroken};
use crate::s2s::tls;
use crate::tls::Certificates;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' version='1.0' \
    xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'";

/// What the server says to this, up to its end; header, features and elements alike.
async fn told<S>(mut talk: ServerTalk<S>, words: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    talk.say(words).await.expect("written");
    let mut said = String::new();
    let listen = async {
        loop {
            match talk.frame().await {
                Ok(kim_core::wire::Frame::Element(element)) => said.push_str(element.as_str()),
                Ok(kim_core::wire::Frame::Open(_)) => said.push_str("<open>"),
                Ok(kim_core::wire::Frame::Close) => return said.push_str("<close>"),
                Err(TalkBroken::Closed | TalkBroken::Io(_)) => return said.push_str("<end>"),
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen)
        .await
        .expect("the server ends the stream");
    said
}

async fn plain(to: &Neighbour) -> ServerTalk<TcpStream> {
    let tcp = TcpStream::connect(to.address()).await.expect("a connection");
    ServerTalk::new(tcp, Limits::default())
}

/// A connection after STARTTLS, with the certificate of a neighbour.
async fn secured(to: &Neighbour, showing: &Certificates, local: &str) -> ServerTalk<TlsStream<TcpStream>> {
    let mut talk = plain(to).await;
    talk.say(&format!("{HEADER} to='b.test' from='{local}'>"))
        .await
        .expect("written");
    talk.header().await.expect("a header");
    let features = talk.element().await.expect("features");
    assert!(features.as_str().contains("<required/>"), "{}", features.as_str());
    talk.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        .await
        .expect("written");
    talk.element().await.expect("proceed");
    let encrypted = tls::connect(talk.into_io(), &showing.current(), local, "b.test", false).await;
    ServerTalk::new(encrypted.expect("TLS").io, Limits::default())
}

/// A stream whose domain is proved by its certificate.
async fn proved(to: &Neighbour, showing: &Certificates, local: &str) -> ServerTalk<TlsStream<TcpStream>> {
    let mut talk = secured(to, showing, local).await;
    let header = format!("{HEADER} to='b.test' from='{local}'>");
    talk.say(&header).await.expect("written");
    talk.header().await.expect("a header");
    let features = talk.element().await.expect("features");
    assert!(features.as_str().contains("EXTERNAL"), "{}", features.as_str());
    talk.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        .await
        .expect("written");
    let success = talk.element().await.expect("an answer");
    assert_eq!(success.name(), "success");
    talk.restart();
    talk.say(&header).await.expect("written");
    talk.header().await.expect("a header");
    talk.element().await.expect("features");
    talk
}

async fn pair() -> (Names, Neighbour, Neighbour) {
    let (names, authority) = (Names::start().await, Authority::new());
    let a = Neighbour::start("a.test", &names, &authority, &authority, "").await;
    let limits = "[limits]\ns2s_domains_per_stream_max = 3\ns2s_dialbacks_per_stream_max = 2\n";
    let b = Neighbour::start("b.test", &names, &authority, &authority, limits).await;
    (names, a, b)
}

fn certificates(of: &Neighbour) -> Arc<Certificates> {
    of.federation().certificates.clone()
}

#[tokio::test]
async fn headers_name_both_sides_rightly() {
    let (_names, _a, b) = pair().await;
    for (addresses, condition) in [
        ("to='other.test' from='a.test'", "host-unknown"),
        ("to='guest.b.test' from='a.test'", "host-unknown"),
        ("from='a.test'", "improper-addressing"),
        ("to='b.test' from='x@a.test'", "improper-addressing"),
        ("to='b.test' from='b.test'", "invalid-from"),
        ("to='b.test' from='conference.b.test'", "invalid-from"),
    ] {
        let said = told(plain(&b).await, &format!("{HEADER} {addresses}>")).await;
        assert!(said.contains(condition), "{addresses}: {said}");
        assert!(
            said.starts_with("<open>"),
            "an error comes behind a header: {said}"
        );
    }
}

#[tokio::test]
async fn before_tls_there_is_nothing_else() {
    let (_names, _a, b) = pair().await;
    let header = format!("{HEADER} to='b.test' from='a.test'>");
    let stanza = "<message from='x@a.test' to='y@b.test'/>";
    let said = told(plain(&b).await, &format!("{header}{stanza}")).await;
    assert!(said.contains("not-authorized"), "{said}");
    let key = "<db:result from='a.test' to='b.test'>k</db:result></stream:stream>";
    let said = told(plain(&b).await, &format!("{header}{key}")).await;
    assert!(
        said.contains("type='error'") && said.contains("policy-violation"),
        "{said}"
    );
    assert_eq!(b.received(), 0);
}

#[tokio::test]
async fn stanzas_come_only_from_what_is_proved() {
    let (_names, a, b) = pair().await;
    let shown = certificates(&a);
    let early = format!("{HEADER} to='b.test' from='a.test'><message from='x@a.test' to='y@b.test'/>");
    let said = told(secured(&b, &shown, "a.test").await, &early).await;
    assert!(said.contains("not-authorized"), "{said}");
    for (stanza, condition) in [
        ("<message from='x@other.test' to='y@b.test'/>", "invalid-from"),
        ("<message from='x@b.test' to='y@b.test'/>", "invalid-from"),
        ("<message to='y@b.test'/>", "improper-addressing"),
        ("<message from='x@a.test'/>", "improper-addressing"),
        ("<message from='x@a.test' to='y@elsewhere.test'/>", "host-unknown"),
        (
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            "unsupported-stanza-type",
        ),
    ] {
        let said = told(proved(&b, &shown, "a.test").await, stanza).await;
        assert!(said.contains(condition), "{stanza}: {said}");
    }
}

/// XEP-0178 §3: a certificate speaks for its own domain alone.
#[tokio::test]
async fn a_certificate_proves_no_other_domain() {
    let (_names, a, b) = pair().await;
    let header = format!("{HEADER} to='b.test' from='victim.test'>");
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let talk = secured(&b, &certificates(&a), "victim.test").await;
    let said = told(talk, &format!("{header}{auth}{auth}{auth}")).await;
    assert!(!said.contains("<mechanism>"), "{said}");
    assert!(
        said.contains("<not-authorized/>") && said.contains("policy-violation"),
        "{said}"
    );
}

/// XEP-0220: a key of a domain that the certificate does not prove is refused, and too many end the stream.
#[tokio::test]
async fn dialback_is_bounded_and_answered() {
    let (_names, a, b) = pair().await;
    let shown = certificates(&a);
    let key = |from: &str, to: &str| format!("<db:result from='{from}' to='{to}'>k</db:result>");
    let end = "</stream:stream>";
    let ask = |words: String| {
        let (b, shown) = (&b, &shown);
        async move { told(proved(b, shown, "a.test").await, &words).await }
    };
    let said = ask(key("victim.test", "b.test") + end).await;
    assert!(
        said.contains("type='error'") && said.contains("not-authorized"),
        "{said}"
    );
    let said = ask(key("a.test", "nobody.test") + end).await;
    assert!(said.contains("item-not-found"), "{said}");
    let said = ask(key("conference.a.test", "b.test") + end).await;
    assert!(said.contains("type='valid'"), "by the certificate: {said}");
    let said = ask(key("b.test", "b.test")).await;
    assert!(said.contains("invalid-from"), "{said}");
    let many: String = (0..5).map(|n| key(&format!("s{n}.a.test"), "b.test")).collect();
    let said = ask(many).await;
    assert!(said.contains("policy-violation"), "{said}");
    let verify = "<db:verify from='a.test' to='b.test' id='7'>k</db:verify>";
    let said = ask(verify.to_owned() + end).await;
    assert!(
        said.contains("id='7'") && said.contains("type='invalid'"),
        "{said}"
    );
    // An answer that nobody asked for proves nothing (§3.1).
    let unasked = "<db:result from='victim.test' to='b.test' type='valid'/>";
    let said = ask(format!("{unasked}<message from='x@victim.test' to='y@b.test'/>")).await;
    assert!(said.contains("invalid-from"), "{said}");
}
