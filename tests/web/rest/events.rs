//! The stream of events: what it tells, how it goes on where it was left, and how it ends.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::{ask, code, get, good, login, login_for, member, refused, send, shown};
use crate::common::{PATIENCE, TestServer};
use crate::http::{Answer, Http};

/// A stream that is read.
struct Stream {
    http: Http,
    text: String,
    /// The last id that was seen, as a browser keeps it.
    last_id: String,
}

impl Stream {
    async fn open(server: &TestServer, token: &str, query: &str) -> Stream {
        Stream::resume(server, token, query, "").await
    }

    async fn resume(server: &TestServer, token: &str, query: &str, last_id: &str) -> Stream {
        Stream::over(Http::tls(server.https).await, token, query, last_id).await
    }

    async fn over(http: Http, token: &str, query: &str, last_id: &str) -> Stream {
        let (http, answer) = begin_over(http, token, query, last_id).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let mut stream = Stream {
            http,
            text: String::new(),
            last_id: last_id.to_owned(),
        };
        let (name, _) = stream.next().await;
        assert_eq!(name, "ready");
        stream
    }

    /// The next event: its name, and what it says. `None`: the stream is over.
    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let (mut name, mut data) = (None, Value::Null);
                for line in event.lines() {
                    match line.split_once(": ").or_else(|| line.split_once(':')) {
                        Some(("event", text)) => name = Some(text.to_owned()),
                        Some(("data", text)) => data = serde_json::from_str(text).expect("JSON"),
                        Some(("id", text)) => self.last_id = text.to_owned(),
                        _ => {}
                    }
                }
                match name {
                    Some(name) => return Some((name, data)),
                    // A comment.
                    None => continue,
                }
            }
            let chunk = self.chunk().await?;
            self.text.push_str(&String::from_utf8(chunk).expect("text"));
        }
    }

    /// RFC 9112 §7.1
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let io = &mut self.http.0;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(io.read_u8().await.ok()?);
        }
        let line = String::from_utf8(line).expect("text");
        let bytes = usize::from_str_radix(line.trim(), 16).expect("a length");
        let mut chunk = vec![0; bytes + 2];
        io.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(bytes);
        (bytes > 0).then_some(chunk)
    }

    async fn next(&mut self) -> (String, Value) {
        let next = tokio::time::timeout(PATIENCE, self.read()).await;
        next.expect("an event in time").expect("an event")
    }

    /// The next event, which has this name.
    async fn expect(&mut self, name: &str) -> Value {
        let (found, data) = self.next().await;
        assert_eq!(found, name, "{data}");
        data
    }

    async fn expect_message(&mut self, content: &str) -> Value {
        let message = self.expect("message").await;
        assert_eq!(message["content"], content, "{message}");
        message
    }

    async fn ends(&mut self) {
        let end = tokio::time::timeout(PATIENCE, self.read())
            .await
            .expect("an end in time");
        assert!(end.is_none(), "{end:?}");
    }
}

async fn begin(server: &TestServer, token: &str, query: &str, last_id: &str) -> (Http, Answer) {
    begin_over(Http::tls(server.https).await, token, query, last_id).await
}

async fn begin_over(mut http: Http, token: &str, query: &str, last_id: &str) -> (Http, Answer) {
    let last_id = match last_id {
        "" => String::new(),
        id => format!("Last-Event-ID: {id}\r\n"),
    };
    let line = format!("GET /api/events?{query}");
    let answer = http.ask(&line, &format!("{}{last_id}", shown(token)), b"").await;
    (http, answer)
}

async fn says(server: &TestServer, token: &str, to: &str, content: &str) {
    good(&send(server, token, json!({ "to": to, "content": content })).await);
}

#[tokio::test]
async fn what_is_said_comes_at_once_in_the_shape_of_history() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let mut stream = Stream::open(&server, &alice, "").await;
    says(&server, &bob, "alice", "hello").await;
    let heard = stream.expect_message("hello").await;
    // What the account says elsewhere is told too: from the API, from a phone.
    says(&server, &alice, "bob", "from the API").await;
    let own = stream.expect_message("from the API").await;
    let mut phone = server.session("alice@localhost/phone").await;
    phone
        .send("<message to='bob@localhost' type='chat' id='p'><body>from a phone</body></message>")
        .await;
    let third = stream.expect_message("from a phone").await;
    assert_eq!(
        (&third["from"], &third["to"]),
        (&json!("alice@localhost"), &json!("bob@localhost"))
    );
    let history = good(&get(&server, &alice, "/api/message/history?user=bob").await);
    assert_eq!(history["messages"], json!([heard, own, third]), "word for word");
}

#[tokio::test]
async fn nobody_sees_who_listens() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let bob = member(&server, "bob").await;
    for (token, line) in [
        (&bob, "POST /api/roster/alice/subscribe"),
        (&alice, "POST /api/roster/bob/approve"),
    ] {
        good(&ask(&server, token, line, Value::Null).await);
    }
    let mut phone = server.session("bob@localhost/phone").await;
    phone.send("<presence/>").await;
    phone.next().await;
    let away = phone.next().await;
    assert_eq!(
        away.attr("type").as_deref(),
        Some("unavailable"),
        "she is not there"
    );
    let stream = Stream::open(&server, &alice, "").await;
    // And messages wait for her as if it were not there.
    says(&server, &bob, "alice", "are you there?").await;
    phone
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let next = phone.next().await;
    assert_eq!(next.name(), "iq", "no presence before it: {}", next.as_str());
    let mut seen = Stream::open(&server, &alice, "presence=true").await;
    let presence = phone.next().await;
    assert_eq!(presence.name(), "presence");
    assert_eq!(
        presence
            .child("priority", "jabber:client")
            .expect("a priority")
            .text(),
        "-1"
    );
    let own = seen.expect("presence").await;
    assert_eq!(
        (&own["from"], &own["is_available"]),
        (&json!("alice@localhost"), &json!(true))
    );
    drop(stream);
    drop(seen);
    let gone = phone.next().await;
    assert_eq!(gone.attr("type").as_deref(), Some("unavailable"));
    let mut desk = server.session("alice@localhost/desk").await;
    desk.send("<presence/>").await;
    let mut heard = String::new();
    while !heard.contains("are you there?") {
        heard = desk.next().await.as_str().to_owned();
    }
}

#[tokio::test]
async fn contacts_and_requests_are_told() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let mut stream = Stream::open(&server, &alice, "presence=true").await;
    stream.expect("presence").await;
    good(&ask(&server, &bob, "POST /api/roster/alice/subscribe", Value::Null).await);
    let request = stream.expect("subscription").await;
    assert_eq!(
        (&request["from"], &request["kind"]),
        (&json!("bob@localhost"), &json!("subscribe"))
    );
    good(&ask(&server, &alice, "PUT /api/roster/bob", json!({ "name": "Bob" })).await);
    let contact = stream.expect("roster").await;
    assert_eq!(
        (&contact["jid"], &contact["name"]),
        (&json!("bob@localhost"), &json!("Bob"))
    );
}

#[tokio::test]
async fn receipts_are_told() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut stream = Stream::open(&server, &alice, "").await;
    let mut bob = server.session("bob@localhost/phone").await;
    bob.send(
        "<message to='alice@localhost' type='chat' id='r'><received xmlns='urn:xmpp:receipts' id='m7'/></message>\
         <message to='alice@localhost' type='chat' id='d'><displayed xmlns='urn:xmpp:chat-markers:0' id='m7'/></message>",
    )
    .await;
    for kind in ["received", "displayed"] {
        let receipt = stream.expect("receipt").await;
        assert_eq!(
            (&receipt["kind"], &receipt["message_id"], &receipt["from"]),
            (&json!(kind), &json!("m7"), &json!("bob@localhost"))
        );
        assert!(!stream.last_id.is_empty());
    }
}

#[tokio::test]
async fn what_is_not_archived_is_told_and_has_no_place() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let mut phone = server.session("alice@localhost/phone").await;
    phone
        .send("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>")
        .await;
    phone.next().await;
    let mut stream = Stream::open(&server, &alice, "").await;
    says(&server, &bob, "alice", "for now alone").await;
    let heard = stream.expect_message("for now alone").await;
    assert_eq!((&heard["id"], &*stream.last_id), (&Value::Null, "0"));
    let history = good(&get(&server, &alice, "/api/message/history?user=bob").await);
    assert_eq!(history["messages"], json!([]));
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_gets_nothing_twice() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let place = {
        let stream = Stream::open(&server, &alice, "").await;
        // Before anything was said at all.
        stream.last_id
    };
    assert_eq!(place, "0");
    // More than a page of the archive.
    for n in 0..120 {
        says(&server, &bob, "alice", &format!("n{n}")).await;
    }
    let mut stream = Stream::resume(&server, &alice, "", &place).await;
    let mut places = Vec::new();
    for n in 0..120 {
        stream.expect_message(&format!("n{n}")).await;
        places.push(stream.last_id.clone());
    }
    says(&server, &bob, "alice", "live").await;
    stream.expect_message("live").await;
    drop(stream);

    // From the middle, with the parameter that programs without such headers have.
    let mut again = Stream::open(&server, &alice, &format!("after={}", places[117])).await;
    for content in ["n118", "n119", "live"] {
        again.expect_message(content).await;
    }
    says(&server, &bob, "alice", "once").await;
    again.expect_message("once").await;
    says(&server, &bob, "alice", "more").await;
    again.expect_message("more").await;

    for (place, query, expected) in [
        ("nonsense", "", refused(404, "item-not-found")),
        ("not an id", "", refused(400, "bad-request")),
        (&*places[0], "room=lobby", refused(400, "bad-request")),
    ] {
        let (_, answer) = begin(&server, &alice, query, place).await;
        assert_eq!(code(&answer), expected, "{place} {query}");
    }
    // Somebody else's place is none of one's own.
    let (_, answer) = begin(&server, &bob, "", &places[0]).await;
    assert_eq!(code(&answer), refused(404, "item-not-found"));
}

#[tokio::test]
async fn what_comes_while_the_past_is_read_comes_once_and_in_order() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let place = Stream::open(&server, &alice, "").await.last_id;
    for n in 0..50 {
        says(&server, &bob, "alice", &format!("n{n}")).await;
    }
    let talking = async {
        for n in 50..150 {
            says(&server, &bob, "alice", &format!("n{n}")).await;
        }
    };
    let listening = async {
        let mut place = place;
        let mut n = 0;
        // Comes back again and again, in the middle of it all.
        while n < 150 {
            let mut stream = Stream::resume(&server, &alice, "", &place).await;
            for _ in 0..15 {
                stream.expect_message(&format!("n{n}")).await;
                n += 1;
            }
            place = stream.last_id;
        }
    };
    tokio::join!(talking, listening);
}

#[tokio::test]
async fn a_stream_is_in_the_rooms_that_it_names() {
    let server = TestServer::start().await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let say = async |content: &str| {
        let body = json!({ "room": "lobby", "content": content });
        good(&ask(&server, &bob, "POST /api/room/send", body).await)
    };
    let mut stream = Stream::open(&server, &alice, "room=lobby&nick=Ally").await;
    let room = good(&get(&server, &bob, "/api/room?room=lobby").await);
    assert_eq!(room["occupants"], 1);
    let said = say("hello").await;
    let entered = stream.expect("presence").await;
    assert_eq!(
        (&entered["nick"], &entered["is_available"]),
        (&json!("bob"), &json!(true))
    );
    let heard = stream.expect_message("hello").await;
    assert_eq!(
        (&heard["room"], &heard["nick"], &heard["id"]),
        (&json!("lobby@conference.localhost"), &json!("bob"), &said["id"])
    );
    assert_eq!(stream.expect("presence").await["is_available"], false);
    // What one says oneself is from the same occupant, who does not come and go.
    let body = json!({ "room": "lobby", "content": "hi bob" });
    let own = good(&ask(&server, &alice, "POST /api/room/send", body).await);
    assert_eq!(own["nick"], "Ally");
    let mut next = stream.next().await;
    while next.0 == "presence" {
        assert_eq!(
            (&next.1["nick"], &next.1["is_available"]),
            (&json!("Ally"), &json!(true))
        );
        next = stream.next().await;
    }
    assert_eq!(next.1["content"], "hi bob");
    says(&server, &bob, "alice", "psst").await;
    let mut next = stream.next().await;
    while next.0 == "presence" {
        next = stream.next().await;
    }
    assert_eq!(next.1["content"], "psst");
    let place = stream.last_id.clone();
    drop(stream);

    // Out of the room as soon as the stream is over; what is said meanwhile is not lost.
    let mut occupants = json!(1);
    while occupants != 0 {
        occupants = good(&get(&server, &bob, "/api/room?room=lobby").await)["occupants"].clone();
    }
    say("while you were away").await;
    says(&server, &bob, "alice", "and this").await;
    let mut stream = Stream::resume(&server, &alice, "room=lobby", &place).await;
    stream.expect_message("and this").await;
    stream.expect_message("while you were away").await;

    for (query, expected) in [
        ("room=nowhere", refused(404, "item-not-found")),
        ("room=lobby&room=lobby", refused(400, "bad-request")),
        ("presence=perhaps", refused(400, "bad-request")),
    ] {
        let (_, answer) = begin(&server, &alice, query, "").await;
        assert_eq!(code(&answer), expected, "{query}");
    }
    let room = get(&server, &bob, "/api/room?room=nowhere").await;
    assert_eq!(room.status, 404, "looking for it made it");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let reading = login_for(&server, "alice", json!(["read"])).await;
    let other = login(&server, "alice").await;
    let mut stream = Stream::open(&server, &reading, "").await;
    let mut second = Stream::open(&server, &other, "").await;
    good(&ask(&server, &reading, "POST /api/logout", Value::Null).await);
    assert_eq!(stream.expect("end").await["code"], "invalid-token");
    stream.ends().await;
    // Another token's stream lives on, until all are ended.
    says(&server, &alice, "alice", "still here").await;
    second.expect_message("still here").await;
    good(&ask(&server, &alice, "DELETE /api/tokens", Value::Null).await);
    assert_eq!(second.expect("end").await["code"], "invalid-token");
    second.ends().await;
    server
        .until(|server| server.house().router.sessions().all().is_empty())
        .await;
}

#[tokio::test]
async fn an_account_has_a_few_streams_at_most() {
    let server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Stream::open(&server, &alice, "").await);
    }
    let (_, answer) = begin(&server, &alice, "", "").await;
    assert_eq!(code(&answer), refused(429, "too-many-requests"));
    streams.pop();
    server
        .until(|server| server.house().router.sessions().all().len() == 3)
        .await;
    Stream::open(&server, &alice, "").await;
}

#[tokio::test]
async fn who_reads_too_slowly_comes_back_for_the_rest() {
    let server =
        TestServer::configured("[limits]\noutbox_bytes_max = 262144\nbytes_burst = 100000000\n").await;
    let (alice, bob) = (member(&server, "alice").await, member(&server, "bob").await);
    let slow = Http::tls_with_small_buffers(server.https).await;
    let mut stream = Stream::over(slow, &alice, "", "").await;
    let long = "x".repeat(100_000);
    // Far more than the sockets in between and the outbox hold.
    const MESSAGES: usize = 60;
    for n in 0..MESSAGES {
        says(&server, &bob, "alice", &format!("{n} {long}")).await;
    }
    // What is archived is told all the same, and then that there was too much of the rest to be kept.
    for n in 0..MESSAGES {
        let message = stream.expect("message").await;
        let content = message["content"].as_str().expect("content");
        assert!(content.starts_with(&format!("{n} ")), "{n}");
    }
    assert_eq!(stream.expect("end").await["code"], "resource-constraint");
    stream.ends().await;
    let place = stream.last_id;
    says(&server, &bob, "alice", "after that").await;
    let mut stream = Stream::resume(&server, &alice, "", &place).await;
    stream.expect_message("after that").await;
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams() {
    let mut server = TestServer::start().await;
    let alice = member(&server, "alice").await;
    let mut stream = Stream::open(&server, &alice, "").await;
    let stopping = server.stop();
    let ending = async {
        assert_eq!(stream.expect("end").await["code"], "system-shutdown");
        stream.ends().await;
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(stopping, ending) })
        .await
        .expect("it stops in time");
}
