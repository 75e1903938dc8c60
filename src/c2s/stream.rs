//! An XML stream with a client as far as it is the same before and after login: its header, its frames, its end
//! (RFC 6120 §4).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::error::{StreamCondition, StreamError};
use kim_core::facts::Facts;
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::wire::Element;

use super::Door;
use super::end::End;
use super::link::{Greeting, Incoming, Link, Opening};
use super::places::Place;

/// First-level elements that may come before login; the longest honest exchange needs a dozen.
const ELEMENTS_BEFORE_LOGIN_MAX: u32 = 100;
/// How long last words may take to be written, and how long the client has to hear them.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// The longest `xml:lang` that is taken over (RFC 5646 §4.4.1 recommends room for 35).
const LANG_BYTES_MAX: usize = 35;

/// A stream before login.
pub struct Stream {
    /// What all streams share.
    pub door: Arc<Door>,
    /// What it runs over.
    pub link: Link,
    /// Where it comes from.
    pub address: IpAddr,
    /// Its place among those of its address.
    pub place: Place,
    /// The language of its stanzas, as its header says.
    pub lang: Option<Box<str>>,
    /// TLS is to come next, so nothing can be said.
    pub(super) mute: bool,
    /// Our header has been written.
    answered: bool,
    /// The client's own address, as it claims; only ever sent back to it.
    claimed: Option<BareJid>,
    /// The domain it asked for, once it is known to be one of ours.
    domain: Option<BareJid>,
    elements: u32,
    /// Bytes read.
    bytes: usize,
    /// What modules have noted about it.
    pub(super) facts: Arc<Facts>,
}

impl Stream {
    /// A stream of which nothing has been read.
    pub fn new(door: Arc<Door>, link: Link, address: IpAddr, place: Place) -> Stream {
        Stream {
            door,
            link,
            address,
            place,
            lang: None,
            mute: false,
            answered: false,
            claimed: None,
            domain: None,
            elements: 0,
            bytes: 0,
            facts: Arc::default(),
        }
    }

    /// Waits for the next thing that the client says.
    async fn next(&mut self) -> Result<Incoming, End> {
        loop {
            if let Some(incoming) = self.link.next()? {
                return Ok(incoming);
            }
            if self.link.has_unwritten() {
                self.link.flush().await?;
            }
            let Some(bytes) = self.link.read().await? else {
                return Err(End::Lost(io::ErrorKind::UnexpectedEof.into()));
            };
            self.count(bytes)?;
        }
    }

    /// Counts everything that arrives before login, even if it is not an element: WebSocket pings, empty frames.
    fn count(&mut self, bytes: usize) -> Result<(), End> {
        self.bytes = self.bytes.saturating_add(bytes);
        let element_bytes_max = self.door.router.limits().stanza_bytes_before_login_max;
        if self.bytes > element_bytes_max.saturating_mul(ELEMENTS_BEFORE_LOGIN_MAX as usize) {
            return Err(log_in_first());
        }
        Ok(())
    }

    /// Waits for the client's header and judges it (RFC 6120 §4.7): the namespaces, the version, and whether its `to` is
    /// a domain served here, which is the result.
    pub async fn open(&mut self) -> Result<BareJid, End> {
        let Incoming::Open(opening) = self.next().await? else {
            return Err(StreamCondition::NotWellFormed.into());
        };
        // Only the stream's own element is told apart by name; a wrong one has no namespace that could be right.
        if !opening.is_right {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        self.claimed = opening.from.as_deref().and_then(|from| BareJid::parse(from).ok());
        self.lang = lang(&opening);
        let to = opening.to.as_deref().and_then(|to| BareJid::parse(to).ok());
        let served = to.filter(|to| to.is_domain() && self.door.router.destination(to.domain()).is_served());
        let Some(domain) = served else {
            return Err(StreamCondition::HostUnknown.into());
        };
        self.domain = Some(domain.clone());
        if !is_version_1(&opening) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        Ok(domain)
    }

    /// Answers with our header and the features, in one write.
    pub async fn answer(&mut self, domain: &BareJid, features: &str) -> Result<(), End> {
        self.queue_opening(domain.as_str(), Some(features))?;
        Ok(self.link.flush().await?)
    }

    fn queue_opening(&mut self, from: &str, features: Option<&str>) -> io::Result<()> {
        self.answered = true;
        // RFC 6120 §4.7.2: who says who it is, is answered by name; but not before it can be overheard.
        let claimed = self.claimed.take().filter(|_| self.link.is_secure());
        let greeting = Greeting {
            from,
            to: claimed.as_ref().map(|claimed| claimed.as_str()),
            id: &random::token(),
        };
        self.link.queue_opening(&greeting, features)
    }

    /// Waits for the next element.
    pub async fn element(&mut self) -> Result<Element, End> {
        self.elements += 1;
        if self.elements > ELEMENTS_BEFORE_LOGIN_MAX {
            return Err(log_in_first());
        }
        match self.next().await? {
            Incoming::Element(element) => Ok(element),
            Incoming::Close => Err(End::Closed),
            Incoming::Open(_) => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// Writes XML.
    pub async fn send(&mut self, xml: &str) -> Result<(), End> {
        self.link.queue(xml)?;
        Ok(self.link.flush().await?)
    }

    /// A new stream follows on the same connection (RFC 6120 §4.3.3). What the client has already said for it stays.
    pub fn restart(&mut self) {
        self.link.restart();
        self.answered = false;
    }

    /// Everything that came so far is forgotten: it was not protected, and what follows is (RFC 6120 §5.4.3.3).
    pub fn forget_plaintext(&mut self) {
        if let Some(tcp) = self.link.tcp() {
            tcp.forget(self.door.wire_before_login());
        }
        self.answered = false;
        self.claimed = None;
        self.lang = None;
    }

    /// The last words: our header if the client has none yet (RFC 6120 §4.9.1.2), the error, the end.
    pub async fn close(mut self, end: End) {
        let last_words = match end {
            _ if self.mute => return,
            End::Lost(_) if !self.link.has_unwritten() => return,
            End::Lost(_) => Ok(()),
            End::Closed | End::Replaced => self.link.queue_end(None),
            End::Error(error) => self.refuse(&error),
        };
        let farewell = async {
            last_words?;
            self.link.finish().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(FAREWELL, farewell).await {
            self.link.linger(self.door.patience()).await;
        }
    }

    fn refuse(&mut self, error: &StreamError) -> io::Result<()> {
        if !self.answered {
            let asked = self.domain.take().map(|domain| domain.to_string());
            let main = || self.door.router.config().main_domain().to_string();
            let from = asked.unwrap_or_else(main);
            self.queue_opening(&from, None)?;
        }
        self.link.queue_end(Some(error))
    }
}

/// Too much was said by somebody who has not logged in.
fn log_in_first() -> End {
    StreamError::new(StreamCondition::PolicyViolation)
        .text("log in before sending stanzas")
        .into()
}

/// Version 1.0 or any later one whose major number is 1 or more (RFC 6120 §4.7.5).
fn is_version_1(opening: &Opening) -> bool {
    let version = opening.version.as_deref();
    let major = version
        .and_then(|version| version.split_once('.'))
        .map(|(major, _)| major.parse::<u32>());
    matches!(major, Some(Ok(1..)))
}

fn lang(opening: &Opening) -> Option<Box<str>> {
    let lang = opening.lang.as_deref()?;
    let fits = !lang.is_empty()
        && lang.len() <= LANG_BYTES_MAX
        && lang
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| lang.into())
}
