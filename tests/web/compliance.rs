//! XEP-0479, XMPP Compliance Suites 2023: which category and level the running server reaches, tried out feature by feature,
//! and that README.md and docs/specifications.md say just that. `KIM_WRITE_SAMPLE=1 cargo test --test web compliance`
//! writes it anew.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bosh::Bosh;
use crate::common::{Client, TestServer};
use crate::session::Carrier;
use crate::websocket::Ws;

/// What XEP-0479 §2 demands of servers in a category: of the level Server, and on top of it of Advanced Server.
struct Suite {
    category: &'static str,
    server: &'static [&'static str],
    advanced: &'static [&'static str],
}

/// RFC 6120 has two halves, and each is tried.
const BETWEEN_SERVERS: &str = "RFC 6120 between servers";

const SUITES: [Suite; 5] = [
    Suite {
        category: "Core",
        server: &["RFC 6120", BETWEEN_SERVERS, "RFC 7590", "XEP-0030", "XEP-0114"],
        advanced: &["XEP-0368", "XEP-0115", "XEP-0163"],
    },
    Suite {
        category: "Web",
        server: &["RFC 7395", "XEP-0206"],
        advanced: &[],
    },
    Suite {
        category: "IM",
        server: &[
            "RFC 6121", "XEP-0054", "XEP-0280", "XEP-0045", "XEP-0249", "XEP-0363",
        ],
        advanced: &[
            "XEP-0398",
            "XEP-0153",
            "XEP-0191",
            "XEP-0048",
            "XEP-0313 in rooms",
            "XEP-0402",
            "XEP-0410",
            "XEP-0223",
            "XEP-0049",
            "XEP-0198",
            "XEP-0313",
        ],
    },
    Suite {
        category: "Mobile",
        server: &["XEP-0198", "XEP-0352"],
        advanced: &["XEP-0357"],
    },
    Suite {
        category: "A/V Calling",
        server: &["XEP-0215"],
        advanced: &[],
    },
];

const COMPONENT: &str = "[[component]]\njid = \"irc.localhost\"\nsecret = \"open sesame\"\n";
/// The settings that open a door for other servers, where this version has one.
const S2S_KEY: &str = "\ns2s = ";

/// What was seen to work.
#[derive(Default)]
struct Seen(BTreeSet<&'static str>);

impl Seen {
    fn note(&mut self, provider: &'static str, works: bool) {
        if works {
            self.0.insert(provider);
        }
    }

    /// What a level lacks. Every category demands that of Core too (§2.2–§2.5).
    fn missing(&self, suite: &Suite, is_advanced: bool) -> Vec<&'static str> {
        let core = &SUITES[0];
        let mut demanded: Vec<&'static str> = [core.server, suite.server].concat();
        if is_advanced {
            demanded.extend([core.advanced, suite.advanced].concat());
        }
        let mut told = BTreeSet::new();
        demanded.retain(|provider| !self.0.contains(provider) && told.insert(*provider));
        demanded
    }

    /// The table on docs/specifications.md.
    fn table(&self) -> String {
        let mut table = "| category | Server | Advanced Server |\n|---|---|---|\n".to_owned();
        for suite in &SUITES {
            let [server, advanced] = [false, true].map(|is_advanced| {
                let missing = self.missing(suite, is_advanced);
                match missing.is_empty() {
                    true => "yes".to_owned(),
                    false => format!("no: {} missing", missing.join(", ")),
                }
            });
            table.push_str(&format!("| {} | {server} | {advanced} |\n", suite.category));
        }
        table
    }

    /// The line in README.md.
    fn line(&self) -> String {
        let reached: Vec<String> = SUITES
            .iter()
            .filter_map(|suite| {
                let level = match (
                    self.missing(suite, false).is_empty(),
                    self.missing(suite, true).is_empty(),
                ) {
                    (true, true) => "Advanced Server",
                    (true, false) => "Server",
                    _ => return None,
                };
                Some(format!("{} {level}", suite.category))
            })
            .collect();
        match reached.is_empty() {
            true => format!(
                "no category yet ({} missing)",
                self.missing(&SUITES[0], false).join(", ")
            ),
            false => reached.join(", "),
        }
    }
}

/// Sends, and gives everything that comes before the server has dealt with it.
async fn talk(client: &mut Client, xml: &str) -> String {
    client.send(xml).await;
    client
        .send("<iq id='dealt-with' to='localhost' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let mut all = String::new();
    loop {
        let next = client.next_text().await;
        if next.contains("dealt-with") {
            return all;
        }
        all.push_str(&next);
    }
}

/// The answer to a request without its envelope's details: whether it is a result, and its text.
async fn ask(client: &mut Client, to: &str, kind: &str, payload: &str) -> Option<String> {
    let to = match to {
        "" => String::new(),
        to => format!(" to='{to}'"),
    };
    let came = talk(
        client,
        &format!("<iq id='asked' type='{kind}'{to}>{payload}</iq>"),
    )
    .await;
    let (_, answer) = came.split_once("<iq ")?;
    let (head, _) = answer.split_once('>')?;
    (head.contains("id='asked'") && head.contains("type='result'")).then(|| answer.to_owned())
}

async fn features(client: &mut Client, of: &str) -> String {
    let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    ask(client, of, "get", query).await.unwrap_or_default()
}

/// Core (§2.1).
async fn core(server: &TestServer, seen: &mut Seen) {
    let mut client = server.connect().await;
    client.open("localhost").await;
    seen.note(
        "RFC 7590",
        client.features().contains("<starttls") && client.features().contains("<required/>"),
    );

    let mut direct = server.connect_tls().await;
    direct.open("localhost").await;
    seen.note("XEP-0368", !direct.mechanisms().is_empty());

    let mut alice = server.session("alice@localhost/core").await;
    seen.note("RFC 6120", alice.jid.is_some());
    seen.note(
        "XEP-0115",
        alice.features().contains("http://jabber.org/protocol/caps"),
    );
    let info = features(&mut alice, "localhost").await;
    let items = ask(
        &mut alice,
        "localhost",
        "get",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    )
    .await;
    seen.note("XEP-0030", info.contains("category='server'") && items.is_some());

    let own = features(&mut alice, "alice@localhost").await;
    let tune = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/tune'>\
                <item id='current'><tune xmlns='http://jabber.org/protocol/tune'/></item></publish></pubsub>";
    let published = ask(&mut alice, "", "set", tune).await;
    seen.note("XEP-0163", own.contains("type='pep'") && published.is_some());

    let address = server
        .server()
        .component_addresses()
        .first()
        .copied()
        .expect("a listener");
    let mut program = Client::connect(address).await;
    program
        .send(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
             to='irc.localhost'>",
        )
        .await;
    program.read_header().await;
    let mut hash = Sha1::new();
    hash.update(program.header("id").expect("a stream id"));
    hash.update("open sesame");
    let proof: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    program.send(format!("<handshake>{proof}</handshake>")).await;
    seen.note("XEP-0114", program.next_text().await == "<handshake/>");
}

/// Whether another server could open a stream here. Where there is a setting for it, a server listens for them.
async fn between_servers() -> bool {
    if !kim_core::config::sample(&[]).contains(S2S_KEY) {
        return false;
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let address = free.expect("a free port");
    let _server = TestServer::configured(&format!("[listen]\ns2s = [\"{address}\"]\n")).await;
    let Ok(mut socket) = TcpStream::connect(address).await else {
        return false;
    };
    let header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                  from='example.org' to='localhost' version='1.0'>";
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let conversation = async {
        socket.write_all(header.as_bytes()).await?;
        while !String::from_utf8_lossy(&answer).contains("features>") {
            match socket.read(&mut buffer).await? {
                0 => break,
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        std::io::Result::Ok(())
    };
    let finished = tokio::time::timeout(Duration::from_secs(20), conversation).await;
    let answer = String::from_utf8_lossy(&answer);
    finished.is_ok() && answer.contains("jabber:server") && answer.contains("urn:ietf:params:xml:ns:xmpp-tls")
}

/// Web (§2.2).
async fn web(server: &TestServer, seen: &mut Seen) {
    server.account("wanda@localhost").await;
    let mut ws = Ws::connect(server).await;
    ws.session("wanda@localhost/ws").await;
    seen.note("RFC 7395", true);
    let mut bosh = Bosh::connect(server).await;
    bosh.session("wanda@localhost/bosh").await;
    seen.note("XEP-0206", true);
}

/// IM (§2.3), but for rooms.
async fn im(server: &TestServer, seen: &mut Seen) {
    let mut alice = server.session("alice@localhost/im").await;
    let mut bob = server.session("bob@localhost/im").await;
    talk(&mut alice, "<presence/>").await;
    talk(&mut bob, "<presence/>").await;

    let roster = ask(&mut alice, "", "get", "<query xmlns='jabber:iq:roster'/>").await;
    talk(
        &mut alice,
        "<message to='bob@localhost' type='chat'><body>hello</body></message>",
    )
    .await;
    let heard = talk(&mut bob, "").await;
    seen.note(
        "RFC 6121",
        roster.is_some() && heard.contains("<body>hello</body>"),
    );

    talk(
        &mut alice,
        "<message to='bob@localhost'><x xmlns='jabber:x:conference' jid='hall@conference.localhost'/></message>",
    )
    .await;
    seen.note(
        "XEP-0249",
        talk(&mut bob, "")
            .await
            .contains("jid='hall@conference.localhost'"),
    );

    let card = "<vCard xmlns='vcard-temp'><FN>Alice</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>";
    let set = ask(&mut alice, "", "set", card).await;
    let got = ask(&mut bob, "alice@localhost", "get", "<vCard xmlns='vcard-temp'/>").await;
    seen.note(
        "XEP-0054",
        set.is_some() && got.is_some_and(|card| card.contains("<FN>Alice</FN>")),
    );
    // XEP-0153 §4.1: the hash is in what the server sends for the client.
    let presence = talk(&mut alice, "<presence/>").await;
    seen.note(
        "XEP-0153",
        presence.contains("vcard-temp:x:update") && presence.contains("<photo>"),
    );

    let own = features(&mut alice, "alice@localhost").await;
    seen.note("XEP-0398", own.contains("urn:xmpp:pep-vcard-conversion:0"));
    seen.note(
        "XEP-0280",
        ask(&mut alice, "", "set", "<enable xmlns='urn:xmpp:carbons:2'/>")
            .await
            .is_some(),
    );
    seen.note(
        "XEP-0191",
        ask(&mut alice, "", "get", "<blocklist xmlns='urn:xmpp:blocking'/>")
            .await
            .is_some(),
    );
    let archive = ask(&mut alice, "", "set", "<query xmlns='urn:xmpp:mam:2'/>").await;
    seen.note(
        "XEP-0313",
        own.contains("urn:xmpp:mam:2") && archive.is_some_and(|answer| answer.contains("<fin")),
    );
    seen.note("XEP-0357", own.contains("urn:xmpp:push:0"));

    let bookmarks = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
                     <conference jid='hall@conference.localhost'/></storage></query>";
    let kept = ask(&mut alice, "", "set", bookmarks).await;
    let ask_for = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>";
    let read = ask(&mut alice, "", "get", ask_for).await.unwrap_or_default();
    seen.note(
        "XEP-0048",
        kept.is_some() && read.contains("jid='hall@conference.localhost'"),
    );
    let notes = "<query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>milk</notes></query>";
    let kept = ask(&mut alice, "", "set", notes).await;
    let ask_for = "<query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query>";
    let read = ask(&mut alice, "", "get", ask_for).await.unwrap_or_default();
    seen.note("XEP-0049", kept.is_some() && read.contains("milk"));

    let private = |node: &str, item: &str| {
        format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'>{item}</publish><publish-options>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
             <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
             <field var='pubsub#persist_items'><value>true</value></field>\
             <field var='pubsub#access_model'><value>whitelist</value></field></x></publish-options></pubsub>"
        )
    };
    let note = private(
        "urn:example:note",
        "<item id='1'><note xmlns='urn:example:note'>milk</note></item>",
    );
    let kept = ask(&mut alice, "", "set", &note).await;
    let ask_for =
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:example:note'/></pubsub>";
    let foreign = ask(&mut bob, "alice@localhost", "get", ask_for).await;
    seen.note("XEP-0223", kept.is_some() && foreign.is_none());
    let bookmark = private(
        "urn:xmpp:bookmarks:1",
        "<item id='hall@conference.localhost'><conference xmlns='urn:xmpp:bookmarks:1' name='Hall'/></item>",
    );
    let kept = ask(&mut alice, "", "set", &bookmark).await;
    seen.note(
        "XEP-0402",
        kept.is_some() && own.contains("urn:xmpp:bookmarks:1#compat"),
    );

    let slot =
        "<request xmlns='urn:xmpp:http:upload:0' filename='a.txt' size='5' content-type='text/plain'/>";
    let slot = ask(&mut alice, "upload.localhost", "get", slot).await;
    seen.note("XEP-0363", slot.is_some_and(|slot| slot.contains("<put ")));
}

/// Rooms, of IM.
async fn rooms(server: &TestServer, seen: &mut Seen) {
    let mut alice = server.session("alice@localhost/rooms").await;
    let (room, me) = ("hall@conference.localhost", "hall@conference.localhost/alice");
    let entered = talk(
        &mut alice,
        &format!("<presence to='{me}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
    )
    .await;
    let said = talk(
        &mut alice,
        &format!("<message to='{room}' type='groupchat'><body>anybody?</body></message>"),
    )
    .await;
    seen.note(
        "XEP-0045",
        entered.contains("code='110'") && said.contains("anybody?"),
    );
    let archive = "<query xmlns='urn:xmpp:mam:2'/>";
    let query = format!("<iq id='room-archive' type='set' to='{room}'>{archive}</iq>");
    let told = talk(&mut alice, &query).await;
    let has_feature = features(&mut alice, room).await.contains("urn:xmpp:mam:2");
    seen.note(
        "XEP-0313 in rooms",
        has_feature && told.contains("anybody?") && told.contains("<fin"),
    );
    let ping = ask(&mut alice, me, "get", "<ping xmlns='urn:xmpp:ping'/>").await;
    seen.note("XEP-0410", ping.is_some());
}

/// Mobile and A/V Calling (§2.4, §2.5).
async fn mobile(server: &TestServer, seen: &mut Seen) {
    let mut alice = server.session("alice@localhost/phone").await;
    seen.note("XEP-0352", alice.features().contains("urn:xmpp:csi:0"));
    let info = features(&mut alice, "localhost").await;
    seen.note("XEP-0215", info.contains("urn:xmpp:extdisco:2"));
    alice.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let enabled = alice.next_text().await;
    seen.note(
        "XEP-0198",
        enabled.starts_with("<enabled") && enabled.contains("resume='true'"),
    );
}

/// Replaces what stands between two texts; gives what stood there.
fn exchange(text: &str, begin: &str, end: &str, new: &str) -> (String, String) {
    let (before, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("{begin:?} is missing"));
    let (old, after) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("nothing follows {begin:?}"));
    (format!("{before}{begin}{new}{end}{after}"), old.to_owned())
}

#[tokio::test]
async fn the_documents_state_the_compliance_that_the_server_shows() {
    let server = TestServer::configured(COMPONENT).await;
    let mut seen = Seen::default();
    core(&server, &mut seen).await;
    seen.note(BETWEEN_SERVERS, between_servers().await);
    web(&server, &mut seen).await;
    im(&server, &mut seen).await;
    rooms(&server, &mut seen).await;
    mobile(&server, &mut seen).await;

    let writes = std::env::var_os("KIM_WRITE_SAMPLE").is_some();
    let mut wrong = Vec::new();
    for (file, begin, end, wanted) in [
        (
            "README.md",
            "Compliance Suites 2023 ([XEP-0479](docs/specifications.md#compliance-suites-xep-0479)): ",
            ".\n",
            seen.line(),
        ),
        (
            "docs/specifications.md",
            "<!-- compliance -->\n",
            "<!-- end -->\n",
            seen.table(),
        ),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let (text, old) = exchange(
            &std::fs::read_to_string(&path).expect("the file"),
            begin,
            end,
            &wanted,
        );
        if old != wanted && writes {
            std::fs::write(&path, text).expect("a file");
        } else if old != wanted {
            wrong.push(format!("{file} says\n{old}\nbut the server shows\n{wanted}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nKIM_WRITE_SAMPLE=1 cargo test --test web compliance",
        wrong.join("\n")
    );
}

#[test]
fn a_level_is_reached_with_everything_it_and_core_demand() {
    let mut seen = Seen::default();
    for provider in SUITES
        .iter()
        .flat_map(|suite| [suite.server, suite.advanced].concat())
    {
        seen.note(provider, true);
    }
    assert!(
        seen.line()
            .starts_with("Core Advanced Server, Web Advanced Server, IM Advanced Server")
    );
    seen.0.remove("XEP-0357");
    assert_eq!(seen.missing(&SUITES[3], true), ["XEP-0357"]);
    assert!(seen.line().contains("Mobile Server"), "{}", seen.line());
    // Core is a part of every category.
    seen.0.remove("XEP-0114");
    assert_eq!(seen.line(), "no category yet (XEP-0114 missing)");
    assert!(
        seen.table()
            .contains("| Web | no: XEP-0114 missing | no: XEP-0114 missing |")
    );
}
