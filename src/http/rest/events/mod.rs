//! `GET /api/events`: what happens to an account while it happens, as Server-Sent Events.
//!
//! A stream is a session of the account that nobody sees (unless it asks to be seen), with copies of all messages (XEP-0280),
//! and in the rooms that it names. What is archived is told from the archive, in its order: a message that comes only says
//! that there is something to read. So the id of an event is a place in the archives, and a program that comes back with the
//! last one it saw (`Last-Event-ID`) misses nothing and gets nothing twice (docs/decisions/0020).

mod feed;
mod position;
mod told;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kim_core::jid::BareJid;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};
use kim_core::wire::Writer;

use self::feed::Feed;
use self::position::Position;
use super::body::Asked;
use super::guard::{Caller, May, Read};
use super::problem::Problem;
use super::rooms;
use super::visit::Stay;
use crate::http::Web;

/// Streams of one account at the same time.
const STREAMS_MAX: usize = 4;
/// Rooms that one stream is in.
const ROOMS_MAX: usize = 8;
const CARBONS: &str = "urn:xmpp:carbons:2";
const ROSTER: &str = "jabber:iq:roster";

/// The fact of a session that is a stream.
#[derive(Default)]
struct IsStream;

/// What a stream is asked for; `room` may stand there several times.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    rooms: Vec<String>,
    nick: Option<String>,
    presence: bool,
    after: Option<String>,
}

impl Wishes {
    fn read(pairs: Vec<(String, String)>) -> Result<Wishes, Problem> {
        let mut wishes = Wishes::default();
        for (name, value) in pairs {
            match name.as_str() {
                "room" => wishes.rooms.push(value),
                "nick" => wishes.nick = Some(value),
                "after" => wishes.after = Some(value),
                "presence" => {
                    let is = value.parse();
                    wishes.presence = is.map_err(|_| Problem::bad("\"presence\" must be true or false"))?;
                }
                _ => {}
            }
        }
        match wishes.rooms.len() {
            0..=ROOMS_MAX => Ok(wishes),
            _ => Err(Problem::bad(format!(
                "a stream can be in at most {ROOMS_MAX} rooms"
            ))),
        }
    }
}

/// `GET /api/events`
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    headers: HeaderMap,
    Asked(pairs): Asked<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let wishes = Wishes::read(pairs)?;
    // What a program says when it comes back is newer than what stands in its address.
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty());
    let last = last.map(str::to_owned).or_else(|| wishes.after.clone());
    let mut rooms = Vec::new();
    for room in &wishes.rooms {
        let room = rooms::address(&web, &caller, room)?;
        if rooms.contains(&room) {
            return Err(Problem::bad("each \"room\" must be named only once"));
        }
        rooms.push(room);
    }
    let place = match last {
        Some(text) => Some(Position::read(&text, rooms.len()).ok_or_else(|| {
            Problem::bad(
                "\"after\" or Last-Event-ID must be the id of an event of a stream in the same rooms",
            )
        })?),
        None => None,
    };
    let mut stay = begin(&web, &caller).await?;
    listen(&web, &caller, &mut stay, &rooms, &wishes).await?;
    let feed = Feed::begin(web, caller, stay, rooms, place).await?;
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let mut response = Sse::new(events).into_response();
    // Proxies that collect what they pass on would hold everything back.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

async fn begin(web: &Arc<Web>, caller: &Caller) -> Result<Stay, Problem> {
    let stay = Stay::begin(web, caller).await?;
    stay.session().fact::<IsStream>();
    let sessions = web.router().sessions().all_of(&caller.account);
    let streams = sessions
        .iter()
        .filter(|session| session.known_fact::<IsStream>().is_some());
    match streams.count() <= STREAMS_MAX {
        true => Ok(stay),
        false => Err(Problem::too_many(
            "this account has too many streams; close one and try again",
        )),
    }
}

/// Lets the session hear what it is to hear. What comes meanwhile and is kept is read from the archives afterwards.
async fn listen(
    web: &Web,
    caller: &Caller,
    stay: &mut Stay,
    rooms: &[BareJid],
    wishes: &Wishes,
) -> Result<(), Problem> {
    let empty = |name: &str, ns: &str| {
        let mut xml = Writer::new();
        xml.start(name, ns).end();
        xml.finish_string()
    };
    stay.ask(IqType::Set, None, &empty("enable", CARBONS)).await?;
    // A session that has asked for the roster gets its changes (RFC 6121 §2.1.6).
    stay.ask(IqType::Get, None, &empty("query", ROSTER)).await?;
    for room in rooms {
        rooms::check_is_there(web, room).await?;
        rooms::enter(web, caller, stay, room, wishes.nick.as_deref(), None).await?;
    }
    if wishes.presence {
        // Seen, but nothing that goes to one client of the account goes to this one (RFC 6121 §8.5.2.1).
        let mut xml = Writer::new();
        xml.start("priority", kim_core::ns::CLIENT).text("-1").end();
        let kind = Kind::Presence(PresenceType::Available);
        stay.send(Stanza::new(kind, &xml.finish_string())).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_from_the_query() {
        let read = |query: &[(&str, &str)]| {
            let pairs = query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Wishes::read(pairs.collect())
        };
        let wishes = read(&[("room", "a"), ("presence", "true"), ("room", "b"), ("x", "y")]).unwrap();
        assert_eq!(wishes.rooms, ["a", "b"]);
        assert!(wishes.presence);
        assert_eq!(read(&[]).unwrap(), Wishes::default());
        assert!(read(&[("presence", "yes")]).is_err());
        assert!(read(&[("room", "a"); ROOMS_MAX + 1]).is_err());
    }
}
