//! What an idle session costs over WebSocket, beside one over TCP: guests both times, bound and available, so that nothing
//! but what carries them differs.

mod whole;

use std::io::Write;

use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use whole::person::Person;
use whole::process::Kim;

const SESSIONS: usize = 600;
const WARM_UP: usize = 150;
/// What a WebSocket may cost more than TCP, in any build.
const MORE_BYTES_MAX: u64 = 4 * 1024;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_costs_little_more_than_tcp() {
    let kim = Kim::start("memory-web", "[limits]\nenabled = false\n").await;
    // What the first of each kind make, and what they leave behind, is there before counting.
    drop(browsers(&kim, WARM_UP).await);
    let others = (browsers(&kim, WARM_UP).await, phones(&kim, WARM_UP).await);
    let before = kim.settled_bytes().await;
    let phones = phones(&kim, SESSIONS).await;
    let between = kim.settled_bytes().await;
    let browsers = browsers(&kim, SESSIONS).await;
    let after = kim.settled_bytes().await;
    let each = |from: u64, to: u64| to.saturating_sub(from) / SESSIONS as u64;
    let (tcp, web) = (each(before, between), each(between, after));
    let figure = format!("memory: {web} bytes per idle WebSocket session, {tcp} per TCP session (guests)\n");
    let _ = std::io::stderr().write_all(figure.as_bytes());
    assert!(web <= tcp + MORE_BYTES_MAX, "{figure}");
    drop((phones, browsers, others));
    kim.stop();
}

async fn phones(kim: &Kim, sessions: usize) -> Vec<Person> {
    let one = |number: usize| async move {
        let jid = format!("g{number}@guest.localhost/phone");
        let mut person = Person::connect(kim, &jid).await;
        person.send("<presence/>").await;
        person
    };
    stream::iter(0..sessions)
        .map(one)
        .buffer_unordered(16)
        .collect()
        .await
}

async fn browsers(kim: &Kim, sessions: usize) -> Vec<Socket> {
    stream::iter(0..sessions)
        .map(|_| browser(kim))
        .buffer_unordered(16)
        .collect()
        .await
}

async fn browser(kim: &Kim) -> Socket {
    let tcp = TcpStream::connect(kim.https()).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(kim.trust.clone()).connect(name, tcp).await;
    let mut request = "ws://localhost/xmpp-websocket"
        .into_client_request()
        .expect("a request");
    let protocol = HeaderValue::from_static("xmpp");
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let upgraded = tokio_tungstenite::client_async(request, tls.expect("a handshake")).await;
    let (mut socket, _) = upgraded.expect("an upgrade");
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='guest.localhost' version='1.0'/>";
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
    let bind =
        "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let presence = "<presence xmlns='jabber:client'/>";
    let ping =
        "<iq xmlns='jabber:client' type='get' id='p' to='guest.localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    for (say, until) in [
        (open, "<stream:features"),
        (auth, "<success"),
        (open, "<stream:features"),
        (bind, "id='b'"),
        (presence, "<presence"),
        (ping, "id='p'"),
    ] {
        socket.send(Message::text(say)).await.expect("sent");
        loop {
            match socket.next().await.expect("an answer").expect("no breach") {
                Message::Text(text) if text.contains(until) => break,
                Message::Close(_) => panic!("closed after {say}"),
                _ => {}
            }
        }
    }
    socket
}
