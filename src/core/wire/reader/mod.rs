//! The reader: partial bytes in, frames out.
//!
//! Text is consumed as it comes; a tag is consumed when it is whole. What has been read is in canonical form at once, so
//! the bytes of the peer are never kept. There is no recursion: depth is a list of open elements.

mod build;
mod canon;
mod declaration;
mod names;
mod qname;
mod tag;
mod text;

use bytes::{Buf, BytesMut};

use self::build::{Place, Work};
use self::names::{Namespaces, Ns};
use crate::element::NsAt;
use crate::{Element, Header, Limits, WireError, chars, escape, is_content_ns};

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The stream's opening tag, whatever its name: the negotiator judges it.
    Open(Header),
    /// A whole element at the stream's first level, or a whole document.
    Element(Element),
    /// The stream's closing tag.
    Close,
}

/// Where in a stream the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the very first byte, where an XML declaration may stand.
    Start,
    /// The same after a restart: white space that was sent behind the last stream comes first.
    Restarted,
    /// Before the stream's opening tag.
    Prolog,
    /// Between stanzas, or between documents.
    Between,
    /// Inside a stanza.
    Inside,
    /// Inside a CDATA section inside a stanza.
    Cdata,
    /// The opening tag was `<stream/>`: the end is still to be told.
    CloseDue,
    Closed,
    Failed(WireError),
}

/// The opening tag of the stream that is being read.
struct Root {
    /// Its name as written, for the closing tag.
    name: Ns,
    default: Ns,
}

/// An incremental reader of one stream or of documents. Between frames it keeps a few bytes about the stream header, and
/// the memory for the next stanza until [`Reader::release`].
pub struct Reader {
    limits: Limits,
    content_ns: &'static str,
    streaming: bool,
    state: State,
    /// Bytes of the frame under way that were consumed by earlier calls.
    counted: usize,
    /// The last call left bytes in the input that belong to something unfinished.
    pending: bool,
    names: Namespaces,
    root: Option<Root>,
    work: Option<Box<Work>>,
}

/// How many bytes of white space come first.
fn spaces(input: &[u8]) -> usize {
    input.iter().take_while(|b| chars::is_space(**b)).count()
}

/// What one call read: bytes used up, and what they amount to.
type Step = (usize, Option<Frame>);

impl Reader {
    /// Reads an XML stream: opening tag, stanzas, closing tag (RFC 6120 §4.2).
    pub fn stream(limits: Limits, content_ns: &'static str) -> Reader {
        Reader::new(limits, content_ns, true)
    }

    /// Reads documents one after another: WebSocket messages (RFC 7395 §3.3.3), BOSH bodies, stored stanzas. An XML
    /// declaration may stand before the first one after [`Reader::restart`].
    pub fn documents(limits: Limits, content_ns: &'static str) -> Reader {
        Reader::new(limits, content_ns, false)
    }

    fn new(limits: Limits, content_ns: &'static str, streaming: bool) -> Reader {
        Reader {
            limits: limits.clamped(),
            content_ns,
            streaming,
            state: State::Start,
            counted: 0,
            pending: false,
            names: Namespaces::default(),
            root: None,
            work: None,
        }
    }

    /// Changes the limits, from the next tag or text on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits.clamped();
    }

    /// Forgets the stream: a new opening tag follows, as after TLS and after SASL (RFC 6120 §4.3.3). Some clients end what
    /// they said last with a line break, so white space may stand before the tag and its XML declaration.
    pub fn restart(&mut self) {
        *self = Reader::new(self.limits, self.content_ns, self.streaming);
        self.state = State::Restarted;
    }

    /// Whether nothing is half read. Whatever is left in the input then is not needed to go on.
    pub fn is_idle(&self) -> bool {
        !self.pending && !matches!(self.state, State::Inside | State::Cdata | State::CloseDue)
    }

    /// Gives the memory back that only the next stanza needs. Does nothing while something is half read.
    pub fn release(&mut self) {
        if self.is_idle() {
            self.work = None;
            self.names.shrink();
        }
    }

    /// Reads the next frame. Consumes from `input` what has been understood; `None` means that more must come.
    /// After an error there is nothing more to read: every later call gives the same error.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        let step = match self.state {
            State::Failed(error) => return Err(error),
            State::CloseDue => {
                self.state = State::Closed;
                Ok((0, Some(Frame::Close)))
            }
            _ => self.step(input),
        };
        match step {
            Ok((used, frame)) => {
                input.advance(used);
                self.pending = frame.is_none() && !input.is_empty();
                Ok(frame)
            }
            Err(error) => {
                self.restart();
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Bytes of memory that the reader holds on the heap, for tests of its limits.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.names.held_bytes() + self.work.as_ref().map_or(0, |work| work.held_bytes())
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, WireError> {
        let (mut at, mut space) = (0, 0);
        if self.state == State::Restarted {
            space = spaces(input);
            at = space;
            if at < input.len() {
                self.state = State::Start;
            }
        }
        if self.state == State::Start {
            let rest = input.get(at..).unwrap_or_default();
            let Some(len) = declaration::declaration(rest, self.limits.header_bytes_max)? else {
                self.count_space(space)?;
                return Ok((at, None));
            };
            at += len;
            self.state = if self.streaming {
                State::Prolog
            } else {
                State::Between
            };
        }
        if !matches!(self.state, State::Inside | State::Cdata) {
            // White space between stanzas keeps connections alive (RFC 6120 §4.6.1) and belongs to nothing.
            let here = spaces(input.get(at..).unwrap_or_default());
            at += here;
            space += here;
            self.count_space(space)?;
        }
        let rest = input.get(at..).unwrap_or_default();
        match (self.state, rest.first()) {
            (_, None) => return Ok((at, None)),
            (State::Closed, _) => {
                return Err(WireError::NotWellFormed("something after the end of the stream"));
            }
            _ => {}
        }
        // Nothing beyond the limit is looked at, however much of it is there.
        let (most, limit) = self.most();
        let room = most.saturating_sub(self.counted).min(rest.len());
        let mut work = self.work.take().unwrap_or_default();
        let (used, frame) = self.frame(&mut work, rest.get(..room).unwrap_or_default())?;
        self.work = Some(work);
        if frame.is_some() {
            self.counted = 0;
        } else if room < rest.len() {
            return Err(WireError::TooBig(limit));
        } else {
            self.counted += used;
        }
        Ok((at + used, frame))
    }

    /// How many bytes what is read now may have, and by which limit.
    fn most(&self) -> (usize, &'static str) {
        match self.state {
            State::Start | State::Restarted | State::Prolog => {
                (self.limits.header_bytes_max, "header_bytes_max")
            }
            _ => (self.limits.stanza_bytes_max, "stanza_bytes_max"),
        }
    }

    /// White space belongs to what follows it, where it counts.
    fn count_space(&mut self, bytes: usize) -> Result<(), WireError> {
        if self.limits.space_counts {
            self.counted += bytes;
            let (most, limit) = self.most();
            if self.counted > most {
                return Err(WireError::TooBig(limit));
            }
        }
        Ok(())
    }

    /// Reads from `input`, which begins inside a frame or where one begins, up to the end of that frame at most.
    fn frame(&mut self, work: &mut Work, input: &[u8]) -> Result<Step, WireError> {
        let most = self.limits.stanza_bytes_max;
        let mut at = 0;
        loop {
            let inside = match self.state {
                State::Cdata => {
                    let reached = text::cdata(&mut work.out, input, at, most)?;
                    at = reached.at;
                    if !reached.end {
                        return Ok((at, None));
                    }
                    self.state = State::Inside;
                    continue;
                }
                State::Inside => {
                    let reached = text::text(&mut work.out, input, at, most)?;
                    at = reached.at;
                    if !reached.end {
                        return Ok((at, None));
                    }
                    true
                }
                _ => false,
            };
            let tag = input.get(at..).unwrap_or_default();
            let len = match tag {
                [] | [b'<'] => None,
                [b'<', b'/', ..] if inside => match work.closing(tag)? {
                    Some(len) => {
                        if work.close(&mut self.names, &self.limits)? {
                            self.state = State::Between;
                            return Ok((at + len, Some(Frame::Element(work.finish()?))));
                        }
                        Some(len)
                    }
                    None => None,
                },
                [b'<', b'/', ..] => {
                    let Some(len) = self.closing_stream(work, tag)? else {
                        return Ok((at, None));
                    };
                    return Ok((at + len, Some(Frame::Close)));
                }
                [b'<', b'!', ..] => self.cdata_start(tag)?,
                [b'<', b'?', ..] => return Err(WireError::RestrictedXml("a processing instruction")),
                [b'<', ..] => match work.tag.opening(tag, &self.limits)? {
                    Some(len) => {
                        if let Some(frame) = self.opened(work, tag.get(..len).unwrap_or_default())? {
                            return Ok((at + len, Some(frame)));
                        }
                        Some(len)
                    }
                    None => None,
                },
                _ => return Err(WireError::NotWellFormed("text outside of stanzas")),
            };
            let Some(len) = len else { return Ok((at, None)) };
            at += len;
        }
    }

    /// Takes an opening tag that is whole. Returns a frame if it is one.
    fn opened(&mut self, work: &mut Work, tag: &[u8]) -> Result<Option<Frame>, WireError> {
        if self.state == State::Prolog {
            return self.opened_stream(work, tag).map(Some);
        }
        if work.depth() == 0 && self.root.is_none() {
            self.begin_documents()?;
        }
        let default = self.root.as_ref().map_or(Ns::CONTENT, |root| root.default);
        let outside = Place {
            default,
            scope: Ns::CONTENT,
            scope_at: NsAt::CONTENT,
        };
        work.open(&mut self.names, tag, outside, &self.limits)?;
        self.state = State::Inside;
        if !work.tag.empty {
            return Ok(None);
        }
        if work.close(&mut self.names, &self.limits)? {
            self.state = State::Between;
            return Ok(Some(Frame::Element(work.finish()?)));
        }
        Ok(None)
    }

    /// Documents have no stream around them that could declare their default namespace.
    fn begin_documents(&mut self) -> Result<(), WireError> {
        if !is_content_ns(self.content_ns) {
            let content_ns = self.content_ns;
            let default = self.names.keep(|text| {
                escape::put_value(text, content_ns);
                Ok(())
            })?;
            self.root = Some(Root {
                name: Ns::EMPTY,
                default,
            });
        }
        Ok(())
    }

    fn opened_stream(&mut self, work: &mut Work, tag: &[u8]) -> Result<Frame, WireError> {
        let outside = Place {
            default: Ns::EMPTY,
            scope: Ns::CONTENT,
            scope_at: NsAt::CONTENT,
        };
        let (xml, default) = work.header(&mut self.names, tag, outside, &self.limits)?;
        let declared = work
            .tag
            .declarations
            .iter()
            .find(|declaration| !declaration.name.has_prefix());
        let mut declared_ns = Vec::new();
        if let Some(declaration) = declared {
            escape::put_raw_value(&mut declared_ns, declaration.value(tag))?;
        }
        let default_ns = String::from_utf8(declared_ns).map_err(|_| WireError::InvalidUtf8)?;
        let name = self.names.keep(|text| {
            text.extend_from_slice(work.tag.name.whole(tag));
            Ok(())
        })?;
        self.root = Some(Root { name, default });
        self.state = if work.tag.empty {
            State::CloseDue
        } else {
            State::Between
        };
        Ok(Frame::Open(Header::new(
            xml,
            escape::unescape(&default_ns).into_owned(),
        )))
    }

    fn closing_stream(&mut self, work: &mut Work, tag: &[u8]) -> Result<Option<usize>, WireError> {
        let root = self.root.as_ref().filter(|_| self.streaming);
        let root = root.ok_or(WireError::NotWellFormed("an end tag out of place"))?;
        let len = work.tag.closing(tag, b"", self.names.text(root.name))?;
        if len.is_some() {
            self.state = State::Closed;
        }
        Ok(len)
    }

    /// Takes what begins with `<!`: a CDATA section inside a stanza, or something forbidden (RFC 6120 §11.1).
    fn cdata_start(&mut self, tag: &[u8]) -> Result<Option<usize>, WireError> {
        const CDATA: &[u8] = b"<![CDATA[";
        match tag.get(2) {
            None => return Ok(None),
            Some(b'[') if self.state == State::Inside => {}
            Some(b'[') => return Err(WireError::NotWellFormed("text outside of stanzas")),
            Some(b'-') => return Err(WireError::RestrictedXml("a comment")),
            Some(_) => return Err(WireError::RestrictedXml("a document type declaration")),
        }
        let len = tag.len().min(CDATA.len());
        if tag.get(..len) != CDATA.get(..len) {
            return Err(WireError::NotWellFormed("a broken CDATA section"));
        }
        if len < CDATA.len() {
            return Ok(None);
        }
        self.state = State::Cdata;
        Ok(Some(len))
    }
}
