//! Row 35: bytes without sense, and streams that were right before some bytes of them were changed. Nothing of it makes the
//! server panic or log an error, and nobody else notices. `KIM_HOSTILE_SEED` and `KIM_HOSTILE_ROUNDS` repeat and prolong.

use crate::bystanders::Bystanders;
use crate::whole::line::Line;
use crate::whole::person::Person;
use crate::whole::process::Kim;

/// What clients send, to be changed.
const STANZAS: [&str; 16] = [
    "<message to='bob@localhost' type='chat' id='m'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message to='bob@localhost/home' xml:lang='de'><subject>x</subject><body>&lt;&amp;&#x20AC;<![CDATA[<y>]]></body></message>",
    "<message to='mallory@localhost' type='headline'><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/></message>",
    "<presence><priority>5</priority><show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
    "<presence to='bob@localhost' type='subscribe'/>",
    "<presence to='bob@localhost' type='unsubscribed'/>",
    "<presence to='bob@localhost/home'/>",
    "<presence type='unavailable'/>",
    "<iq id='1' type='get'><query xmlns='jabber:iq:roster' ver='3'/></iq>",
    "<iq id='2' type='set'><query xmlns='jabber:iq:roster'><item jid='c@localhost' name='C'><group>g</group></item></query></iq>",
    "<iq id='3' type='set'><query xmlns='jabber:iq:roster'><item jid='c@localhost' subscription='remove'/></query></iq>",
    "<iq id='4' type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>",
    "<iq id='5' type='set'><vCard xmlns='vcard-temp'><FN>M</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO></vCard></iq>",
    "<iq id='6' type='set'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>",
    "<iq id='7' type='set'><block xmlns='urn:xmpp:blocking'><item jid='d@localhost'/></block></iq>",
    "<iq id='8' type='get' to='bob@localhost'><query xmlns='jabber:iq:last'/></iq>",
];

/// What is put in.
const TOKENS: [&[u8]; 24] = [
    b"<",
    b">",
    b"&",
    b"'",
    b"\"",
    b"/",
    b"]]>",
    b"<![CDATA[",
    b"&#x110000;",
    b"&amp;",
    b"<!--",
    b"<?",
    b"\xFF",
    b"\xC3",
    b"\0",
    b" xmlns=''",
    b" xmlns:a='u'",
    b"a:",
    b"</stream:stream>",
    b"<stream:stream>",
    b"<iq type='set' id='9'>",
    b" to=''",
    b" id='1'",
    b"\xF0\x9F\x98\x80",
];

/// Reproducible and good enough (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Changes one to four places.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let to = (at + self.below(24)).min(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..to)),
                3 => {
                    let copy = bytes[at..to].to_vec();
                    let target = self.below(bytes.len());
                    bytes.splice(target..target, copy);
                }
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.iter().copied());
                }
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Writes in pieces of any size.
    async fn write(&mut self, line: &mut Line, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + self.below(rest.len().min(200)));
            if line.write(piece).await.is_err() {
                return;
            }
            rest = after;
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_makes_the_server_panic() {
    let settings =
        "[limits]\nenabled = false\nlogin_failures_burst = 10000\naccount_failures_burst = 10000\n";
    let seed = number("KIM_HOSTILE_SEED", u64::from(std::process::id()));
    let rounds = number("KIM_HOSTILE_ROUNDS", 300);
    println!("KIM_HOSTILE_SEED={seed} KIM_HOSTILE_ROUNDS={rounds}");
    let mut random = Random(seed);
    let mut kim = Kim::start("hostile-garbage", settings).await;
    let bystanders = Bystanders::of(&kim).await;
    let bob = Person::online(&kim, "bob@localhost/home").await;
    for round in 0..rounds {
        // Not TLS, not XML.
        let scrap = random.below(400);
        let scrap = random.bytes(scrap);
        let address = if round % 2 == 0 { kim.direct } else { kim.starttls };
        let mut line = Line::tcp(address).await;
        random.write(&mut line, &scrap).await;
        line.half_close().await;
        line.drain().await;
        // Before login: a header, a login, changed.
        let mut words = Line::header("localhost").into_bytes();
        words.extend_from_slice(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1ib2Iscj1hYmM=</auth>\
              <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9YWJjLHA9YWFhYQ==</response>",
        );
        random.mutate(&mut words);
        let mut line = Line::direct(&kim, "localhost").await;
        random.write(&mut line, &words).await;
        line.half_close().await;
        line.drain().await;
        // After login: several stanzas, changed.
        let mut words = Vec::new();
        for _ in 0..=random.below(6) {
            words.extend_from_slice(STANZAS[random.below(STANZAS.len())].as_bytes());
        }
        random.mutate(&mut words);
        let mut mallory = Person::connect(&kim, "mallory@localhost/lair").await;
        random.write(&mut mallory.line, &words).await;
        mallory.line.half_close().await;
        mallory.line.drain().await;
        assert!(kim.is_running(), "round {round} of seed {seed} ended the server");
    }
    assert!(
        kim.complaints().is_empty(),
        "seed {seed}: {:#?}",
        kim.complaints()
    );
    bystanders.were_not_disturbed().await;
    bob.vanish().await;
    kim.stop();
}
