//! Stanzas as clients send them, and a seeded source of ways to spoil them.

/// A small generator of random numbers (xorshift64*): the same seed gives the same run everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A chat message of some 300 bytes with four children (XEP-0085, 0184, 0359).
pub const CHAT: &str = "<message xmlns='jabber:client' from='alice@example.org/phone.x7Q' to='bob@example.com' type='chat' \
    id='6b1f0d9e-4a52' xml:lang='en'><body>Seen it? &lt;3 – ja, natürlich 😀</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='6b1f0d9e-4a52'/></message>";

const OTHERS: [&str; 9] = [
    "<presence xmlns='jabber:client' from=\"bob@example.com/laptop\"><show>away</show><priority>5</priority>\
     <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://gajim.org' ver='JXW+Wfo18L/Ao='/></presence>",
    "<iq xmlns='jabber:client' type='get' id='disco1' to='example.org'>\n  <query \
     xmlns='http://jabber.org/protocol/disco#info' node='x'></query>\n</iq>",
    "<c:iq xmlns:c='jabber:client' xmlns:d='http://jabber.org/protocol/disco#items' type='result' id='2'>\
     <d:query><d:item jid='conference.example.org' name='R&#xE4;ume'/><d:item jid='a'/></d:query></c:iq>",
    "<?xml version='1.0' encoding='UTF-8'?>\n<message xmlns='jabber:client' type='groupchat'><body><![CDATA[a < b && ]]]]>\
     <![CDATA[> c]]></body></message>\n",
    "<iq xmlns='jabber:client' type='set' id='mam'><query xmlns='urn:xmpp:mam:2' queryid='f27'>\
     <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
     <field var='with'><value>juliet@capulet.lit</value></field></x>\
     <set xmlns='http://jabber.org/protocol/rsm'><max>10</max></set></query></iq>",
    "<message xmlns='jabber:client'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
     <message xmlns='jabber:client' to='a@b'><body>x\r\ny\rz\t</body></message></forwarded></sent></message>",
    "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0' rid='1' \
     xml:lang='en' version='1.0'><iq xmlns='jabber:client'/></body>",
    "<a:x xmlns:a='u' xmlns:b='v' a:k='1' b:k='2' k='3'><b:y a:k='&#10;' xmlns:a='v' xmlns='w'>t<z xmlns=''/></b:y></a:x>",
    "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms \
     xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms>\
     <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
];

/// A legacy OMEMO message (XEP-0384 0.3) with keys for so many devices.
pub fn omemo(devices: usize) -> String {
    let key = "MwohBc6iRTgJ2RoPX3VY8cq0Ih4Wj9f2pUyJ0jD6YxkTZ1lTEhgIARAAGiAr0X5pQ7Zb3mW4n8sVQGd1Lw2FJtKyE5RcXzBhOaUPqA==";
    let keys: String = (0..devices)
        .map(|n| format!("<key rid='{}'>{key}</key>", 1_203_994_211 + 7919 * n))
        .collect();
    format!(
        "<message xmlns='jabber:client' to='bob@example.com' from='alice@example.org/phone.x7Q' type='chat' id='ox-71'>\
         <encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='872634512'>{keys}<iv>Yk0jH3dP6wQzR8bN</iv></header>\
         <payload>pQx2lT8mVnC4jK1sWb7yZe9RfUoGdHiA3tXaMvEBNPLSkDwYOg==</payload></encrypted>\
         <encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/>\
         <body>I sent you an OMEMO encrypted message but your client doesn’t seem to support that.</body>\
         <store xmlns='urn:xmpp:hints'/></message>"
    )
}

/// The stanzas to begin from.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = OTHERS.iter().map(|xml| xml.as_bytes().to_vec()).collect();
    seeds.push(CHAT.as_bytes().to_vec());
    seeds.push(omemo(2).into_bytes());
    seeds
}

/// Pieces that are right in some places and wrong in most.
const PIECES: [&[u8]; 96] = [
    b"<",
    b">",
    b"/",
    b"&",
    b";",
    b"'",
    b"\"",
    b"=",
    b":",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"]",
    b"]]>",
    b"]]",
    b"!",
    b"?",
    b"-",
    b".",
    b"1",
    b"#",
    b"x",
    b"a",
    b"_",
    b"\0",
    b"\x01",
    b"\x0B",
    b"\x1F",
    b"\x7F",
    b"&amp;",
    b"&lt;",
    b"&gt;",
    b"&quot;",
    b"&apos;",
    b"&#65;",
    b"&#x41;",
    b"&#x1F600;",
    b"&#0;",
    b"&#1;",
    b"&#9;",
    b"&#13;",
    b"&#xD800;",
    b"&#xFFFE;",
    b"&#xFFFF;",
    b"&#x110000;",
    b"&nbsp;",
    b"&;",
    b"& ",
    b"<!-- -->",
    b"<!--",
    b"<?x?>",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"<![CDATA[x]]>",
    b"<![CDATA[]]>",
    b"<![",
    b"<a/>",
    b"<a>",
    b"</a>",
    b"<a></a>",
    b" a='1'",
    b" a=\"'\"",
    b" b='>'",
    b" xml:lang='de'",
    b" xml:x='1'",
    b" xmlns='u'",
    b" xmlns=''",
    b" xmlns:a='u'",
    b" xmlns:b='u'",
    b" xmlns:a=''",
    b" a:k='1'",
    b" b:k='1'",
    b" xmlns:xml='http://www.w3.org/XML/1998/namespace'",
    b" xmlns:a='http://www.w3.org/XML/1998/namespace'",
    b" xmlns='http://www.w3.org/2000/xmlns/'",
    b" xmlns:xmlns='u'",
    b" xmlns:xml='u'",
    b"xml:",
    b"xmlns:",
    b"a:",
    b"b:",
    b"c:",
    b"\xC3\xA9",
    b"\xC3",
    b"\xA9",
    b"\xF0\x9F\x98\x80",
    b"\xEF\xBF\xBE",
    b"\xEF\xBF\xBF",
    b"\xED\xA0\x80",
    b"\xC0\xAF",
    b"\xC2\xB7",
    b"\xCC\x81",
    b"\xE2\x80\x8C",
    b"\xC3\x97",
];

/// Changes a stanza in one to three places, mostly in one.
pub fn mutate(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut xml = seed.to_vec();
    for _ in 0..*random.pick(&[1, 1, 1, 2, 2, 3]) {
        let at = random.below(xml.len() + 1);
        let end = (at + 1 + random.below(8)).min(xml.len());
        match random.below(12) {
            0..=4 => {
                let piece = *random.pick(&PIECES);
                xml.splice(at..at, piece.iter().copied());
            }
            5 | 6 => {
                let piece = *random.pick(&PIECES);
                xml.splice(at..end, piece.iter().copied());
            }
            7 => {
                xml.drain(at..end);
            }
            8 => {
                let copy = xml[at..end].to_vec();
                let to = random.below(xml.len() + 1);
                xml.splice(to..to, copy);
            }
            9 if at < xml.len() => xml[at] ^= 1 << random.below(8),
            10 if at < xml.len() => xml[at] = random.below(256) as u8,
            11 if random.below(4) == 0 => xml.truncate(at),
            _ => {
                let c = char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{2028}');
                xml.splice(at..at, c.encode_utf8(&mut [0; 4]).bytes());
            }
        }
    }
    xml
}
