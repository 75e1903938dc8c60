//! What was said before somebody came (§7.2.13, §7.2.14): the end of the room's archive, held in memory while people come.

use std::collections::VecDeque;

use kim_core::clock::Timestamp;
use kim_core::error::{Condition, Fault};
use kim_core::stanza::{Stanza, delay};
use kim_core::wire::El;

use super::fields::{Field, Shape};
use super::room::Past;
use super::rooms::Turn;

/// Whether what is said is kept.
pub const ARCHIVE: Field = Field {
    aliases: &["muc#roomconfig_mam", "mam"],
    ..Field::new(
        "muc#roomconfig_enablearchiving",
        "What is said is kept for members and occupants",
        Shape::Boolean,
        &["1"],
    )
};

/// How much of it those who enter are sent.
pub const HISTORY_MAX: Field = Field {
    aliases: &["muc#roomconfig_historylength"],
    words: &[("", "20")],
    ..Field::new(
        "muc#maxhistoryfetch",
        "Messages that those who enter are sent",
        Shape::Number(1_000),
        &["20"],
    )
};

/// Reads the end of the archive into memory, once.
pub async fn prepare(turn: &mut Turn) -> Result<(), Fault> {
    if turn.held.ring.is_some() {
        return Ok(());
    }
    let mut ring = VecDeque::new();
    if turn.held.config.is(&ARCHIVE) {
        let room = turn.held.jid.clone();
        let max = turn.registry.config.history_messages_max;
        for (stamp, stanza) in turn.registry.archives.last_of_room(&room, max).await? {
            ring.push_back(past(turn, stamp, stanza));
        }
    }
    turn.held.ring = Some(ring);
    Ok(())
}

fn past(turn: &Turn, stamp: Timestamp, mut stanza: Stanza) -> Past {
    // §7.2.13: "The 'from' attribute MUST be set to the JID of the room itself."
    stanza.append(&delay(turn.held.jid.as_str(), stamp));
    stanza.to = None;
    Past { stamp, stanza }
}

/// Keeps a message in memory for those who come.
pub fn remember(turn: &mut Turn, stanza: &Stanza) {
    let stamp = turn.cx.received;
    turn.held.last_spoken = Some(stamp);
    if turn.held.ring.is_none() {
        return;
    }
    let past = past(turn, stamp, stanza.clone());
    let max = turn.registry.config.history_messages_max;
    if let Some(ring) = &mut turn.held.ring {
        while ring.len() >= max.max(1) {
            ring.pop_front();
        }
        if max > 0 {
            ring.push_back(past);
        }
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
        let number = |name| match asked.attr(name) {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse::<u32>()
                .map(Some)
                .map_err(|_| Fault::from(Condition::BadRequest)),
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

/// The messages for somebody who enters, oldest first: the least that meets all that was asked for and what the room and the
/// service allow.
pub fn for_newcomer(turn: &Turn, asked: Option<El<'_>>) -> Result<Vec<Stanza>, Fault> {
    let wish = Wish::read(asked, turn.cx.received)?;
    let Some(ring) = &turn.held.ring else {
        return Ok(Vec::new());
    };
    let max = turn
        .held
        .config
        .number(&HISTORY_MAX)
        .min(wish.stanzas.unwrap_or(usize::MAX));
    let mut chars_left = wish.chars.unwrap_or(usize::MAX);
    let mut chosen = Vec::new();
    for past in ring.iter().rev().take(max) {
        if wish.since.is_some_and(|since| past.stamp < since) {
            break;
        }
        if wish.chars.is_some() {
            // "the characters of the complete XML stanzas"
            let chars = past.stanza.to_xml().chars().count();
            if chars > chars_left {
                break;
            }
            chars_left -= chars;
        }
        chosen.push(past.stanza.clone());
    }
    chosen.reverse();
    Ok(chosen)
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
        for wrong in [
            "maxchars='-1'",
            "seconds='x'",
            "since='yesterday'",
            "maxstanzas='99999999999'",
        ] {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
    }
}
