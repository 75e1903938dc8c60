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
    /// The client closes.
    Close,
}

/// A breach of the protocol, as the code that closes for it (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach(pub u16);

/// Not what the standard allows.
const PROTOCOL: Breach = Breach(1002);
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
}

impl Parser {
    /// Takes the next piece from `raw`; what is text goes to `text`. `None`: more must come.
    ///
    /// How the bytes are cut into reads changes nothing but where the text is cut. While more must come, `raw` keeps
    /// less than one control frame (131 bytes): content of a message never waits in it. After a breach the parser is done.
    pub fn next(&mut self, raw: &mut BytesMut, text: &mut BytesMut) -> Result<Option<Piece>, Breach> {
        if self.left > 0 {
            return Ok(self.content(raw, text));
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
                    return Ok(Some(Piece::Text(fin)));
                }
                Ok(self.content(raw, text))
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
                    0x8 => Piece::Close,
                    0x9 => Piece::Ping(content.to_vec()),
                    _ => Piece::Pong,
                }))
            }
            0x2 => Err(UNSUPPORTED),
            _ => Err(PROTOCOL),
        }
    }

    fn content(&mut self, raw: &mut BytesMut, text: &mut BytesMut) -> Option<Piece> {
        if raw.is_empty() {
            return None;
        }
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(raw.len());
        let mut piece = raw.split_to(here);
        unmask(&mut piece, self.mask, self.turn);
        self.turn = (self.turn + here) % 4;
        self.left -= here as u64;
        if text.is_empty() {
            *text = piece;
        } else {
            text.extend_from_slice(&piece);
        }
        Some(Piece::Text(self.left == 0 && self.last))
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
            assert_eq!(pieces, [ping, end(), end(), end(), end(), Piece::Close], "{step}");
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
            (frame(0x09, b"x"), 1002),         // a ping in pieces
            (frame(0x89, &[b'x'; 126]), 1002), // a long ping
            (frame(0x83, b"x"), 1002),         // an unknown opcode
            (frame(0x82, b"x"), 1003),         // binary
        ] {
            assert_eq!(read(&bytes, bytes.len()), Err(Breach(code)), "{bytes:?}");
        }
    }
}
