//! What is in a message of a stranger: something for a person or only for a client, links, files; and what makes two messages
//! the same text.

use std::hash::{BuildHasher, RandomState};

use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;
use smallvec::SmallVec;

/// Payloads that somebody means for somebody: text, files, calls, invitations.
const PERSONAL: &[(&str, &str)] = &[
    ("body", ns::CLIENT),
    ("subject", ns::CLIENT),
    ("html", XHTML),
    ("encryption", "urn:xmpp:eme:0"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("x", "jabber:x:encrypted"),
    // XEP-0066, XEP-0447, XEP-0385
    ("x", OOB),
    ("file-sharing", SFS),
    ("reference", REFERENCE),
    // XEP-0353, XEP-0482
    ("propose", CALL),
    ("accept", CALL),
    ("proceed", CALL),
    ("invite", "urn:xmpp:call-invites:0"),
    ("accept", "urn:xmpp:call-invites:0"),
    // XEP-0249
    ("x", DIRECT_INVITE),
];
const XHTML: &str = "http://jabber.org/protocol/xhtml-im";
const OOB: &str = "jabber:x:oob";
const SFS: &str = "urn:xmpp:sfs:0";
const REFERENCE: &str = "urn:xmpp:reference:0";
const CALL: &str = "urn:xmpp:jingle-message:0";
const DIRECT_INVITE: &str = "jabber:x:conference";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Both OMEMOs of XEP-0384.
const OMEMO: [&str; 2] = ["eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2"];
/// What clients write beside an encrypted message for those that cannot read it.
const FALLBACK_LINK: &str = "https://conversations.im/omemo";
/// Schemes of links that are written without two slashes.
const SCHEMES: [&str; 5] = ["xmpp:", "mailto:", "magnet:", "tel:", "sms:"];

/// Words of a text that are looked at together.
const SHINGLE_WORDS: usize = 4;
/// Characters of words below which a text is too short to be told from others: many people begin with "hello, how are you?".
const TEXT_CHARS_MIN: usize = 24;
/// Words that are looked at; templates are short.
const WORDS_MAX: usize = 256;
/// Hashes that stand for a text.
pub(super) const SKETCH: usize = 4;

/// What a message contains that is held back where nobody is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StrangerContent {
    /// A link. An invitation to a room is none: rooms have rates for them.
    pub has_link: bool,
    /// A file (XEP-0066, XEP-0447, XEP-0385).
    pub has_file: bool,
}

impl StrangerContent {
    pub(super) fn of(stanza: &Stanza) -> StrangerContent {
        let mut content = StrangerContent::default();
        for child in stanza.children() {
            content.has_file |= is_file(&child);
            content.has_link |= reason(&child).is_some_and(|reason| has_link(&reason));
            content.has_link |= child.is("html", XHTML) && has_address(child.xml());
        }
        let is_encrypted = is_encrypted(stanza);
        content.has_link |= texts(stanza).any(|text| {
            // The address of the file that comes with it, as clients without XEP-0447 need it.
            let is_of_file = content.has_file && !text.trim().contains(char::is_whitespace);
            let is_fallback =
                is_encrypted && text.matches("://").count() == 1 && text.contains(FALLBACK_LINK);
            !is_of_file && !is_fallback && has_link(&text)
        });
        content
    }
}

/// Whether somebody who sends this has spoken to its addressee: not a room, not an answer that a client gives by itself.
pub(super) fn speaks(stanza: &Stanza) -> bool {
    matches!(
        stanza.kind,
        Kind::Message(MessageType::Chat | MessageType::Normal)
    ) && is_for_people(stanza)
}

/// Whether there is something in a stanza that a person is to see or hear.
pub(super) fn is_for_people(stanza: &Stanza) -> bool {
    stanza.children().any(|child| is_personal(&child))
}

fn is_personal(child: &El<'_>) -> bool {
    let (name, ns) = (child.name(), child.ns());
    PERSONAL.contains(&(name, ns))
        || is_mediated_invite(child)
        // Without a payload it only makes keys known, which clients do by themselves (XEP-0384 §4.4).
        || (name == "encrypted" && OMEMO.contains(&ns) && child.child("payload", ns).is_some())
}

fn is_mediated_invite(child: &El<'_>) -> bool {
    child.is("x", MUC_USER) && child.child("invite", MUC_USER).is_some()
}

/// Why somebody invites to a room (XEP-0249 §2, XEP-0045 §7.8.2).
fn reason(child: &El<'_>) -> Option<String> {
    if child.is("x", DIRECT_INVITE) {
        return child.attr("reason").map(|reason| reason.into_owned());
    }
    let invite = child
        .child("invite", MUC_USER)
        .filter(|_| child.is("x", MUC_USER))?;
    Some(invite.child("reason", MUC_USER)?.text().into_owned())
}

fn is_file(child: &El<'_>) -> bool {
    let shares_media = |child: &El<'_>| child.children().any(|inner| inner.name() == "media-sharing");
    child.is("x", OOB)
        || child.is("file-sharing", SFS)
        || (child.is("reference", REFERENCE) && shares_media(child))
}

/// Whether the text is for those who have the keys.
pub(super) fn is_encrypted(stanza: &Stanza) -> bool {
    stanza.children().any(|child| {
        child.is("openpgp", "urn:xmpp:openpgp:0")
            || (child.name() == "encrypted" && OMEMO.contains(&child.ns()))
    })
}

/// Who invites, by a message of a room (XEP-0045 §7.8.2).
pub(super) fn inviter(stanza: &Stanza) -> Option<Jid> {
    let invite = stanza.child("x", MUC_USER)?.child("invite", MUC_USER)?;
    Jid::parse(&invite.attr("from")?).ok()
}

/// What a person reads of a message: its subject and body, in every language.
fn texts(stanza: &Stanza) -> impl Iterator<Item = String> {
    stanza
        .children()
        .filter(|child| child.is("body", ns::CLIENT) || child.is("subject", ns::CLIENT))
        .map(|child| child.text().into_owned())
}

fn has_address(text: &str) -> bool {
    text.contains("://") || text.contains("href=") || text.contains("src=")
}

/// Whether a text has something that clients make a link of, or people type into a browser.
fn has_link(text: &str) -> bool {
    text.split_whitespace().any(|word| is_link(&word.to_lowercase()))
}

fn is_link(word: &str) -> bool {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let scheme = word.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.chars().next_back().is_some_and(char::is_alphanumeric))
        || word.starts_with("www.")
        || SCHEMES
            .iter()
            .any(|scheme| word.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        || is_web_path(word)
}

/// `shop.example/offer`: a domain and a path without a scheme.
fn is_web_path(word: &str) -> bool {
    let Some((host, _)) = word.split_once('/') else {
        return false;
    };
    let Some((name, last)) = host.rsplit_once('.') else {
        return false;
    };
    !name.is_empty() && last.len() >= 2 && last.chars().all(char::is_alphabetic)
}

/// Keyed hashes of what a text says once names, numbers and links are left out. The key is this process's own and never
/// stored, and neither is the text.
pub(super) struct Sketcher(RandomState);

impl Sketcher {
    pub(super) fn new() -> Sketcher {
        Sketcher(RandomState::new())
    }

    /// The hashes of a message, in no order; none if there is too little of a text, or nobody here can read it.
    pub(super) fn sketch(
        &self,
        stanza: &Stanza,
        sender: &BareJid,
        recipient: &BareJid,
    ) -> SmallVec<[u64; SKETCH]> {
        if is_encrypted(stanza) {
            return SmallVec::new();
        }
        let text = texts(stanza).collect::<Vec<_>>().join(" ");
        let names = [sender.local(), recipient.local()].map(|name| name.unwrap_or_default().to_lowercase());
        let words: Vec<String> = text
            .split_whitespace()
            .filter(|word| !is_link(&word.to_lowercase()))
            .map(|word| {
                word.chars()
                    .filter(|c| c.is_alphabetic())
                    .flat_map(char::to_lowercase)
                    .collect::<String>()
            })
            .filter(|word| !word.is_empty() && !names.contains(word))
            .take(WORDS_MAX)
            .collect();
        if words.iter().map(|word| word.chars().count()).sum::<usize>() < TEXT_CHARS_MIN {
            return SmallVec::new();
        }
        let shingles = words.windows(SHINGLE_WORDS.min(words.len()));
        let mut hashes: Vec<u64> = shingles.map(|shingle| self.0.hash_one(shingle)).collect();
        // The smallest ones are a sample that two versions of a template share, wherever a name stands in it.
        hashes.sort_unstable();
        hashes.dedup();
        hashes.truncate(SKETCH);
        SmallVec::from_vec(hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(children: &str) -> StrangerContent {
        let xml = format!(
            "<message xmlns='jabber:client' from='a@b.example/c' to='d@localhost' type='chat'>{children}</message>"
        );
        StrangerContent::of(&Stanza::parse(&xml).unwrap())
    }

    fn is_said(child: &str) -> bool {
        let xml = format!("<message xmlns='jabber:client' type='chat'>{child}</message>");
        is_for_people(&Stanza::parse(&xml).unwrap())
    }

    #[test]
    fn links_are_what_clients_and_people_follow() {
        for link in [
            "see https://shop.example/x",
            "HTTP://SHOP.EXAMPLE",
            "(www.shop.example)",
            "xmpp:room@conference.example?join",
            "write to mailto:a@shop.example now",
            "go to shop.example/offer",
        ] {
            assert!(content(&format!("<body>{link}</body>")).has_link, "{link}");
        }
        for plain in [
            "Hello, it is Juliet. We met on Monday.",
            "either/or",
            "at 12:30, half past",
            "my name is anna.example and I write to a@b.example",
            "1/2 of 3.5/7",
            "xmpp: a protocol",
        ] {
            assert!(!content(&format!("<body>{plain}</body>")).has_link, "{plain}");
        }
    }

    #[test]
    fn files_and_their_addresses_are_files() {
        let oob = "<x xmlns='jabber:x:oob'><url>https://u.example/a.jpg</url></x>";
        let file = content(&format!("<body>https://u.example/a.jpg</body>{oob}"));
        assert!(file.has_file && !file.has_link && is_said(oob));
        assert!(content(&format!("<body>look: https://u.example/a.jpg</body>{oob}")).has_link);
        assert!(content("<file-sharing xmlns='urn:xmpp:sfs:0'/>").has_file);
        let media = "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'/></reference>";
        assert!(content(media).has_file);
    }

    #[test]
    fn the_fallback_of_an_encrypted_message_is_no_link() {
        let omemo = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>eA==</payload></encrypted>";
        let fallback =
            "<body>I sent you an OMEMO encrypted message, see https://conversations.im/omemo</body>";
        assert!(!content(&format!("{omemo}{fallback}")).has_link && is_said(omemo));
        assert!(content(fallback).has_link);
        assert!(
            content(&format!(
                "{omemo}<body>https://conversations.im/omemo or https://shop.example</body>"
            ))
            .has_link
        );
    }

    #[test]
    fn what_clients_send_by_themselves_is_not_personal() {
        for signal in [
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
            "<retract xmlns='urn:xmpp:jingle-message:0' id='1'/>",
        ] {
            assert!(!is_said(signal), "{signal}");
        }
        assert!(is_said("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"));
    }

    #[test]
    fn versions_of_a_template_share_most_of_their_hashes() {
        let sketcher = Sketcher::new();
        let sketch = |from: &str, to: &str, body: &str| {
            let xml = format!("<message xmlns='jabber:client'><body>{body}</body></message>");
            let jid = |text: &str| BareJid::parse(text).unwrap();
            sketcher.sketch(&Stanza::parse(&xml).unwrap(), &jid(from), &jid(to))
        };
        let one = sketch(
            "a@x.example",
            "anna@localhost",
            "Dear anna, our lottery has drawn your number 1234 and you won, claim at https://x.example/1",
        );
        let two = sketch(
            "b@y.example",
            "berta@localhost",
            "Dear berta, our lottery has drawn your number 9876 and you won, claim at http://y.example/7",
        );
        assert_eq!(one.len(), SKETCH);
        assert_eq!(one, two);
        let other = sketch(
            "c@z.example",
            "anna@localhost",
            "Hello Anna, this is Carla from the climbing hall, shall we go again on Sunday?",
        );
        assert!(other.iter().all(|hash| !one.contains(hash)));
        assert!(sketch("c@z.example", "anna@localhost", "Hello, how are you?").is_empty());
    }
}
