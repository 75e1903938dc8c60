//! What was said before somebody came (§7.2.13, §7.2.14): the end of the room's archive, held in memory while people come.

use std::collections::VecDeque;

use kim_core::clock::Timestamp;
use kim_core::error::{Condition, Fault};
use kim_core::stanza::{Stanza, delay};
use kim_core::wire::El;

use super::e2ee;
use super::fields::{Field, Shape};
use super::retention::ARCHIVE;
use super::room::Past;
use super::turn::RoomTurn;

/// How much of it those who enter are sent.
pub const HISTORY_MAX: Field = Field {
    aliases: &["muc#roomconfig_historylength"],
    words: &[("", "20")],
    ..Field::new(
        "muc#maxhistoryfetch",
        "Number of recent messages sent to people who join",
        Shape::Number(1_000),
        &["20"],
    )
};

/// Reactions, markers, corrections and the like that are held beside the messages they are about, for each of those.
const OTHERS_PER_TEXT: usize = 4;

/// What is about another message, even if it has a body for clients that do not know it (XEP-0428).
const ABOUT_ANOTHER: &[(&str, &str)] = &[
    ("reactions", "urn:xmpp:reactions:0"),
    ("replace", "urn:xmpp:message-correct:0"),
    ("retract", "urn:xmpp:message-retract:1"),
    ("apply-to", "urn:xmpp:fasten:0"),
    ("received", "urn:xmpp:receipts"),
    ("received", "urn:xmpp:chat-markers:0"),
    ("displayed", "urn:xmpp:chat-markers:0"),
    ("acknowledged", "urn:xmpp:chat-markers:0"),
];

/// Whether a message says something itself. Only such messages count towards the size of the history: otherwise
/// twenty reactions would be all that a newcomer sees.
fn is_text(stanza: &Stanza) -> bool {
    let has = |list: &[(&str, &str)]| list.iter().any(|(name, ns)| stanza.has(name, ns));
    (has(e2ee::READABLE) || has(e2ee::ENCRYPTED)) && !has(ABOUT_ANOTHER)
}

/// Reads the end of the archive into memory, once.
pub async fn prepare(turn: &mut RoomTurn) -> Result<(), Fault> {
    if turn.held.ring.is_some() {
        return Ok(());
    }
    let mut ring = VecDeque::new();
    let archives = turn.registry.archives.clone();
    // Without an archive the history is what has been said since the room came into memory.
    if let Some(archives) = archives.filter(|_| turn.held.config.is(&ARCHIVE)) {
        let room = turn.held.jid.clone();
        let max = turn.registry.config.history_messages_max;
        let rows_max = max.saturating_mul(1 + OTHERS_PER_TEXT);
        for (stamp, stanza) in archives.last_of_room(&room, max, rows_max, is_text).await? {
            ring.push_back(past(turn, stamp, stanza));
        }
    }
    turn.held.ring = Some(ring);
    Ok(())
}

fn past(turn: &RoomTurn, stamp: Timestamp, mut stanza: Stanza) -> Past {
    let is_text = is_text(&stanza);
    // §7.2.13: "The 'from' attribute MUST be set to the JID of the room itself."
    stanza.append(&delay(turn.held.jid.as_str(), stamp));
    stanza.to = None;
    Past {
        stamp,
        stanza,
        is_text,
    }
}

/// Keeps a message in memory for those who come.
pub fn remember(turn: &mut RoomTurn, stanza: &Stanza) {
    let stamp = turn.cx.received;
    turn.held.last_spoken = Some(stamp);
    if turn.held.ring.is_none() {
        return;
    }
    let past = past(turn, stamp, stanza.clone());
    let max = turn.registry.config.history_messages_max;
    if let Some(ring) = &mut turn.held.ring {
        make_place(ring, past.is_text, max);
        if max > 0 {
            ring.push_back(past);
        }
    }
}

/// Drops what is oldest: messages make place for messages, and what is about them for its own kind.
fn make_place(ring: &mut VecDeque<Past>, is_text: bool, texts_max: usize) {
    let max = if is_text {
        texts_max
    } else {
        texts_max.saturating_mul(OTHERS_PER_TEXT)
    };
    let mut held = ring.iter().filter(|past| past.is_text == is_text).count();
    while held >= max.max(1)
        && let Some(oldest) = ring.iter().position(|past| past.is_text == is_text)
    {
        ring.remove(oldest);
        held -= 1;
    }
}

/// How much somebody wants (§7.2.14).
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    chars: Option<usize>,
    stanzas: Option<usize>,
    since: Option<Timestamp>,
}

impl Wish {
    fn read(asked: Option<El<'_>>, now: Timestamp) -> Result<Wish, Fault> {
        let Some(asked) = asked else {
            return Ok(Wish::default());
        };
        // More than fits is as much as fits.
        let number = |name| match asked.attr(name) {
            None => Ok(None),
            Some(text) => match text.trim() {
                digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Ok(Some(digits.parse::<u32>().unwrap_or(u32::MAX)))
                }
                _ => Err(Fault::from(Condition::BadRequest)),
            },
        };
        let seconds = number("seconds")?.map(|seconds| Timestamp(now.0 - i64::from(seconds) * 1_000_000));
        let since = match asked.attr("since") {
            None => None,
            Some(text) => Some(Timestamp::parse(&text).ok_or(Condition::BadRequest)?),
        };
        Ok(Wish {
            chars: number("maxchars")?.map(|chars| chars as usize),
            stanzas: number("maxstanzas")?.map(|stanzas| stanzas as usize),
            since: seconds.max(since),
        })
    }
}

/// What a newcomer may still be sent.
struct Left {
    stanzas: usize,
    chars: Option<usize>,
}

impl Left {
    /// Takes a message out of it; false if it does not fit.
    fn take(&mut self, past: &Past) -> bool {
        // "the characters of the complete XML stanzas"
        let chars = self
            .chars
            .map(|left| (left, past.stanza.to_xml().chars().count()));
        if self.stanzas == 0 || chars.is_some_and(|(left, chars)| chars > left) {
            return false;
        }
        self.stanzas -= 1;
        self.chars = chars.map(|(left, chars)| left - chars);
        true
    }
}

/// The messages for somebody who enters, oldest first: the least that meets all that was asked for and what the room and the
/// service allow. Messages come first; what is about them (reactions, corrections, markers) comes along where it fits.
pub fn for_newcomer(turn: &RoomTurn, asked: Option<El<'_>>) -> Result<Vec<Stanza>, Fault> {
    let mut wish = Wish::read(asked, turn.cx.received)?;
    // A quiet room may hold messages in memory that are over by now.
    let horizon = turn
        .registry
        .retention
        .horizon(&turn.held.config, turn.cx.received);
    wish.since = wish.since.max(horizon);
    let Some(ring) = &turn.held.ring else {
        return Ok(Vec::new());
    };
    let texts_max = turn.held.config.number(&HISTORY_MAX);
    Ok(choose(ring, &wish, texts_max))
}

fn choose(ring: &VecDeque<Past>, wish: &Wish, texts_max: usize) -> Vec<Stanza> {
    let mut left = Left {
        stanzas: wish.stanzas.unwrap_or(usize::MAX),
        chars: wish.chars,
    };
    let recent = |past: &Past| wish.since.is_none_or(|since| past.stamp >= since);
    let newest = ring.iter().enumerate().rev();
    let texts = newest.clone().filter(|(_, past)| past.is_text).take(texts_max);
    let mut chosen: Vec<usize> = texts
        .take_while(|(_, past)| recent(past) && left.take(past))
        .map(|(at, _)| at)
        .collect();
    // What is about messages that are left out means nothing to the newcomer. If none is left out, what is about messages
    // that are gone comes along too: a retraction is for those who have the message from an earlier visit.
    let is_whole = texts_max > 0 && chosen.len() == ring.iter().filter(|past| past.is_text).count();
    let oldest = chosen.last().copied();
    let others =
        newest.filter(|(at, past)| !past.is_text && (is_whole || oldest.is_some_and(|oldest| *at > oldest)));
    let others = others.take_while(|(_, past)| recent(past) && left.take(past));
    chosen.extend(others.map(|(at, _)| at));
    chosen.sort_unstable();
    let chosen = chosen.into_iter().filter_map(|at| ring.get(at));
    chosen.map(|past| past.stanza.clone()).collect()
}

#[cfg(test)]
mod tests {
    use kim_core::wire::Element;

    use super::*;

    #[test]
    fn wishes_are_read_and_the_later_time_counts() {
        let now = Timestamp(1_769_860_800_000_000);
        let wish = |attrs: &str| {
            let xml = Element::parse(&format!(
                "<history xmlns='http://jabber.org/protocol/muc' {attrs}/>"
            ))
            .unwrap();
            Wish::read(Some(xml.el()), now)
        };
        let noon = Some(now);
        assert_eq!(
            wish("maxstanzas='5' maxchars='0'").unwrap(),
            Wish {
                chars: Some(0),
                stanzas: Some(5),
                since: None
            }
        );
        assert_eq!(
            wish("since='2026-01-31T12:00:00Z' seconds='60'").unwrap().since,
            noon
        );
        assert_eq!(
            wish("since='2020-01-31T12:00:00Z' seconds='0'").unwrap().since,
            noon
        );
        let many = wish("maxstanzas='99999999999' seconds='99999999999'").unwrap();
        assert_eq!(many.stanzas, Some(u32::MAX as usize));
        for wrong in ["maxchars='-1'", "maxchars=''", "seconds='x'", "since='yesterday'"] {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
    }
}
