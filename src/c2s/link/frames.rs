//! Frames of RFC 6455, the server's half: what a client sends is unmasked where it lies, what goes to it is written as
//! whole messages. No extension is agreed to, so every reserved bit is an error; a message need not be in memory as a
//! whole, because who reads it (`wire`) takes pieces and has the limits.

use bytes::{Buf, BytesMut};

/// Bytes of a control frame's content (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What the parser found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Content of a text message was appended to the output; `true` if the message ends there.
    Text(bool),
    /// The client wants this back.
    Ping(Vec<u8>),
    /// An answer to our ping, or to none.
    Pong,
    /// The client closes, with this code.
    Close(u16),
}

/// A breach of the protocol, as the code that closes for it (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach(pub u16);

/// A closure that is nobody's fault.
pub(super) const NORMAL: u16 = 1000;
/// A message is longer than this server takes.
pub(super) const TOO_BIG: u16 = 1009;
/// Not what the standard allows.
const PROTOCOL: Breach = Breach(1002);
/// Text that is not UTF-8 (§8.1).
const NOT_TEXT: Breach = Breach(1007);
/// Binary data, which RFC 7395 §3.2 does not know.
const UNSUPPORTED: Breach = Breach(1003);

/// Where in a client's frames the parser is.
#[derive(Default)]
pub struct Parser {
    /// Bytes of the data frame under way that have not come.
    left: u64,
    mask: [u8; 4],
    /// Which byte of the mask is next.
    turn: usize,
    /// The data frame under way is the last of its message.
    last: bool,
    /// A message is under way.
    within: bool,
    text: Utf8,
}

impl Parser {
    /// Takes the next piece from `raw`; what is text goes to `text`. `None`: more must come.
    ///
    /// How the bytes are cut into reads changes nothing but where the text is cut. While more must come, `raw` keeps
    /// less than one control frame (131 bytes): content of a message never waits in it. After a breach the parser is done.
    pub fn next(&mut self, raw: &mut BytesMut, text: &mut BytesMut) -> Result<Option<Piece>, Breach> {
        if self.left > 0 {
            return self.content(raw, text);
        }
        let Some((head, len, mask)) = header(raw)? else {
            return Ok(None);
        };
        let fin = head.first & 0x80 != 0;
        match head.opcode {
            0x0 | 0x1 => {
                // A continuation continues something, and a new message begins only after the last (§5.4).
                if self.within != (head.opcode == 0) {
                    return Err(PROTOCOL);
                }
                raw.advance(head.bytes);
                (self.left, self.mask, self.turn) = (len, mask, 0);
                (self.last, self.within) = (fin, !fin);
                if len == 0 {
                    return self.ended(fin).map(Some);
                }
                self.content(raw, text)
            }
            0x8..=0xA => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if !fin || len > CONTROL_BYTES_MAX {
                    return Err(PROTOCOL);
                }
                if raw.len() < head.bytes + len {
                    return Ok(None);
                }
                raw.advance(head.bytes);
                let mut content = raw.split_to(len);
                unmask(&mut content, mask, 0);
                Ok(Some(match head.opcode {
                    0x8 => Piece::Close(code(&content)?),
                    0x9 => Piece::Ping(content.to_vec()),
                    _ => Piece::Pong,
                }))
            }
            0x2 => Err(UNSUPPORTED),
            _ => Err(PROTOCOL),
        }
    }

    fn content(&mut self, raw: &mut BytesMut, text: &mut BytesMut) -> Result<Option<Piece>, Breach> {
        if raw.is_empty() {
            return Ok(None);
        }
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(raw.len());
        let mut piece = raw.split_to(here);
        unmask(&mut piece, self.mask, self.turn);
        self.turn = (self.turn + here) % 4;
        self.left -= here as u64;
        if !self.text.goes_on(&piece) {
            return Err(NOT_TEXT);
        }
        if text.is_empty() {
            *text = piece;
        } else {
            text.extend_from_slice(&piece);
        }
        self.ended(self.left == 0 && self.last).map(Some)
    }

    /// Content of a message has come; `end`: there is no more of it.
    fn ended(&self, end: bool) -> Result<Piece, Breach> {
        match end && self.text.is_within() {
            true => Err(NOT_TEXT),
            false => Ok(Piece::Text(end)),
        }
    }
}

/// Checks text that comes in pieces, which may end within a character.
#[derive(Default)]
struct Utf8 {
    /// The bytes of a character whose rest has not come.
    begun: [u8; 4],
    bytes: usize,
}

impl Utf8 {
    /// Takes the next piece; false if it cannot be UTF-8.
    fn goes_on(&mut self, mut piece: &[u8]) -> bool {
        while self.bytes > 0 {
            let Some((first, rest)) = piece.split_first() else {
                return true;
            };
            // What is begun is at most three bytes, or it would be a character or an error.
            let Some(next) = self.begun.get_mut(self.bytes) else {
                return false;
            };
            *next = *first;
            self.bytes += 1;
            piece = rest;
            match std::str::from_utf8(self.begun.get(..self.bytes).unwrap_or_default()) {
                Ok(_) => self.bytes = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(piece) else {
            return true;
        };
        let begun = piece.get(error.valid_up_to()..).unwrap_or_default();
        match self
            .begun
            .get_mut(..begun.len())
            .filter(|_| error.error_len().is_none())
        {
            Some(room) => {
                room.copy_from_slice(begun);
                self.bytes = begun.len();
                true
            }
            None => false,
        }
    }

    /// Whether a character is not whole.
    fn is_within(&self) -> bool {
        self.bytes > 0
    }
}

/// The code of a client's closing frame (§5.5.1, §7.4); none is a normal closure.
fn code(content: &[u8]) -> Result<u16, Breach> {
    let Some((code, reason)) = content.split_first_chunk() else {
        return if content.is_empty() {
            Ok(NORMAL)
        } else {
            Err(PROTOCOL)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(PROTOCOL);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(code),
        Err(_) => Err(NOT_TEXT),
    }
}

struct Head {
    first: u8,
    opcode: u8,
    /// Bytes of the whole header.
    bytes: usize,
}

/// Reads a frame's header, which stays in `raw`.
fn header(raw: &[u8]) -> Result<Option<(Head, u64, [u8; 4])>, Breach> {
    let (Some(&first), Some(&second)) = (raw.first(), raw.get(1)) else {
        return Ok(None);
    };
    // §5.2: no extension, no reserved bit; §5.1: a client masks.
    if first & 0x70 != 0 || second & 0x80 == 0 {
        return Err(PROTOCOL);
    }
    let (at, len) = match second & 0x7F {
        126 => match raw.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (4, u64::from(u16::from_be_bytes(bytes))),
            None => return Ok(None),
        },
        127 => match raw.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (10, u64::from_be_bytes(bytes)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    // §5.2: the shortest form, and never the highest bit.
    if (at == 4 && len < 126) || (at == 10 && (len <= 0xFFFF || len >> 63 != 0)) {
        return Err(PROTOCOL);
    }
    let Some(mask) = raw.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else {
        return Ok(None);
    };
    let head = Head {
        first,
        opcode: first & 0x0F,
        bytes: at + 4,
    };
    Ok(Some((head, len, mask)))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], turn: usize) {
    let mut key = mask;
    key.rotate_left(turn % 4);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends the header of one whole message or control frame of so many bytes.
pub fn begin(out: &mut Vec<u8>, opcode: u8, bytes: usize) {
    out.push(0x80 | opcode);
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
}

/// The opcode of a text message.
pub const TEXT: u8 = 0x1;
/// The opcode that closes.
pub const CLOSE: u8 = 0x8;
/// The opcode that asks whether the other end is there.
pub const PING: u8 = 0x9;
/// The opcode of the answer to a ping.
pub const PONG: u8 = 0xA;

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn frame(first: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        begin(&mut out, 0, content.len());
        out[0] = first;
        out[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        out.extend_from_slice(&mask);
        let at = out.len();
        out.extend_from_slice(content);
        unmask(&mut out[at..], mask, 0);
        out
    }

    fn read(bytes: &[u8], step: usize) -> Result<(String, Vec<Piece>), Breach> {
        let (mut parser, mut raw, mut text) = (Parser::default(), BytesMut::new(), BytesMut::new());
        let mut pieces = Vec::new();
        for chunk in bytes.chunks(step) {
            raw.extend_from_slice(chunk);
            while let Some(piece) = parser.next(&mut raw, &mut text)? {
                if piece != Piece::Text(false) {
                    pieces.push(piece);
                }
            }
        }
        Ok((String::from_utf8(text.to_vec()).unwrap(), pieces))
    }

    #[test]
    fn messages_come_in_any_pieces() {
        let long = "x".repeat(70_000);
        let mut bytes = frame(0x01, b"<mess");
        bytes.extend(frame(0x89, b"here?"));
        bytes.extend(frame(0x00, b"age"));
        bytes.extend(frame(0x80, b"/>"));
        bytes.extend(frame(0x81, long.as_bytes()));
        bytes.extend(frame(0x81, &[b'y'; 300]));
        bytes.extend(frame(0x81, b""));
        bytes.extend(frame(0x88, &[3, 232]));
        for step in [1, 2, 7, 1000, bytes.len()] {
            let (text, pieces) = read(&bytes, step).unwrap();
            assert_eq!(text, format!("<message/>{long}{}", "y".repeat(300)));
            let ping = Piece::Ping(b"here?".to_vec());
            let end = || Piece::Text(true);
            assert_eq!(
                pieces,
                [ping, end(), end(), end(), end(), Piece::Close(1000)],
                "{step}"
            );
        }
    }

    #[test]
    fn breaches_are_told() {
        let unmasked = [0x81, 1, b'x'];
        let long_form = [0x81, 0x80 | 126, 0, 5, 0, 0, 0, 0];
        let huge = [0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut interleaved = frame(0x01, b"a");
        interleaved.extend(frame(0x81, b"b"));
        for (bytes, code) in [
            (unmasked.to_vec(), 1002),
            (long_form.to_vec(), 1002),
            (huge.to_vec(), 1002),
            (frame(0xC1, b"x"), 1002), // a compressed message
            (frame(0x80, b"x"), 1002), // continues nothing
            (interleaved, 1002),
            (frame(0x09, b"x"), 1002),            // a ping in pieces
            (frame(0x89, &[b'x'; 126]), 1002),    // a long ping
            (frame(0x83, b"x"), 1002),            // an unknown opcode
            (frame(0xA1, b"x"), 1002),            // another reserved bit
            (frame(0x8B, b"x"), 1002),            // an unknown control frame
            (frame(0x88, b"x"), 1002),            // half a code
            (frame(0x88, &[3, 237]), 1002),       // 1005, which is never sent
            (frame(0x88, &[3, 232, 0xFF]), 1007), // a reason that is not text
            (frame(0x82, b"x"), 1003),            // binary
        ] {
            assert_eq!(read(&bytes, bytes.len()), Err(Breach(code)), "{bytes:?}");
        }
    }

    #[test]
    fn text_is_utf8_wherever_it_is_cut() {
        // §5.6: a frame may end within a character, a message may not.
        let text = "a\u{e4}\u{20ac}\u{10348}z";
        for cut in 0..=text.len() {
            let mut bytes = frame(0x01, &text.as_bytes()[..cut]);
            bytes.extend(frame(0x80, &text.as_bytes()[cut..]));
            for step in [1, 3, bytes.len()] {
                let (read, _) = read(&bytes, step).unwrap();
                assert_eq!(read, text, "cut at {cut}, {step} at once");
            }
        }
        for wrong in [
            &b"\xFF"[..],
            b"a\x80",
            b"\xC3",  // ends within a character
            b"\xC3(", // its second byte is none
            b"\xE2\x82",
            b"\xC0\xAF",         // longer than it need be
            b"\xED\xA0\x80",     // a surrogate
            b"\xF4\x90\x80\x80", // beyond the last character
            b"\xF8\x88\x80\x80\x80",
        ] {
            for step in [1, 2, 64] {
                assert_eq!(read(&frame(0x81, wrong), step), Err(Breach(1007)), "{wrong:?}");
            }
        }
        let mut ends_within = frame(0x01, b"\xC3");
        ends_within.extend(frame(0x80, b""));
        assert_eq!(read(&ends_within, 64), Err(Breach(1007)));
        // What is wrong is told at once, not when the message ends.
        assert_eq!(read(&frame(0x01, b"\xFF"), 64), Err(Breach(1007)));
    }
}
