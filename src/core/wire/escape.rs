//! Escaping into canonical form, and the way back: the five predefined entities and character references.

use std::borrow::Cow;

use crate::WireError;
use crate::chars;

/// Bytes after `&` within which the `;` must come. XML allows any number of leading zeros; nobody sends them.
const REFERENCE_BYTES_MAX: usize = 32;

/// How a byte of text must be written, if not as it is.
fn text_escape(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'\r' => "&#xD;",
        _ => return None,
    })
}

/// How a byte of an attribute's value must be written, if not as it is.
fn value_escape(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'\'' => "&apos;",
        b'\t' => "&#x9;",
        b'\n' => "&#xA;",
        _ => return text_escape(byte),
    })
}

/// Where escaped text goes to: the reader writes bytes, the writer a string.
pub(crate) trait Sink {
    fn put(&mut self, text: &str);
}

impl Sink for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

fn put_escaped(out: &mut impl Sink, text: &str, escape: fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(escaped) = escape(byte) {
            out.put(text.get(from..at).unwrap_or_default());
            out.put(escaped);
            from = at + 1;
        } else if (byte < 0x20 && byte != b'\t' && byte != b'\n')
            || matches!(text.as_bytes().get(at..at + 3), Some([0xEF, 0xBF, 0xBE | 0xBF]))
        {
            // A character that XML cannot carry in any form would end the recipient's stream: U+FFFD stands for it.
            out.put(text.get(from..at).unwrap_or_default());
            out.put("\u{FFFD}");
            from = at + if byte < 0x20 { 1 } else { 3 };
        }
    }
    out.put(text.get(from..).unwrap_or_default());
}

/// Writes text in canonical form.
pub(crate) fn put_text(out: &mut impl Sink, text: &str) {
    put_escaped(out, text, text_escape);
}

/// Writes an attribute's value in canonical form, without the quotes.
pub(crate) fn put_value(out: &mut impl Sink, value: &str) {
    put_escaped(out, value, value_escape);
}

/// Writes one character of text.
pub(crate) fn put_text_char(out: &mut impl Sink, c: char) {
    put_text(out, c.encode_utf8(&mut [0; 4]));
}

/// Writes one character of an attribute's value.
pub(crate) fn put_value_char(out: &mut impl Sink, c: char) {
    put_value(out, c.encode_utf8(&mut [0; 4]));
}

/// Reads what follows a `&`. Returns the character and the bytes read with the `;`, or `None` if more must come.
pub(crate) fn reference(bytes: &[u8]) -> Result<Option<(char, usize)>, WireError> {
    let mut len = 0;
    loop {
        match bytes.get(len) {
            None => return Ok(None),
            Some(b';') => break,
            Some(b) if b.is_ascii_alphanumeric() || *b == b'#' => {}
            Some(_) => return Err(WireError::NotWellFormed("& without a reference")),
        }
        len += 1;
        if len > REFERENCE_BYTES_MAX {
            return Err(WireError::NotWellFormed("a reference without an end"));
        }
    }
    let name = bytes.get(..len).unwrap_or_default();
    let c = match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', hex @ ..] => number(hex, 16)?,
        [b'#', decimal @ ..] => number(decimal, 10)?,
        [] => return Err(WireError::NotWellFormed("& without a reference")),
        _ => return Err(WireError::RestrictedXml("an entity that XML does not predefine")),
    };
    Ok(Some((c, len + 1)))
}

/// The character that a numeric reference names, if XML allows it (XML 1.0 §4.1).
fn number(digits: &[u8], radix: u32) -> Result<char, WireError> {
    let mut code = 0u32;
    for digit in digits {
        let digit = (*digit as char)
            .to_digit(radix)
            .ok_or(WireError::NotWellFormed("a broken character reference"))?;
        code = code.saturating_mul(radix).saturating_add(digit);
    }
    match char::from_u32(code) {
        Some(c) if !digits.is_empty() && chars::is_char(c) => Ok(c),
        _ => Err(WireError::NotWellFormed(
            "a reference to a character that XML forbids",
        )),
    }
}

/// Writes the raw value of an attribute in canonical form: references resolved, line ends and other white space turned
/// into spaces (XML 1.0 §2.11, §3.3.3). The value holds no `<`, no forbidden characters, and is UTF-8.
pub(crate) fn put_raw_value(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), WireError> {
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let (plain, _) = chars::value_run(raw, at);
        out.extend_from_slice(raw.get(at..at + plain).unwrap_or_default());
        at += plain;
        if plain > 0 {
            continue;
        }
        at += 1;
        match byte {
            b'&' => {
                let Some((c, len)) = reference(raw.get(at..).unwrap_or_default())? else {
                    return Err(WireError::NotWellFormed("a reference without an end"));
                };
                put_value_char(out, c);
                at += len;
            }
            b'\r' => {
                out.push(b' ');
                at += usize::from(raw.get(at) == Some(&b'\n'));
            }
            b'\t' | b'\n' => out.push(b' '),
            _ => match value_escape(byte) {
                Some(escaped) => out.put(escaped),
                None => out.push(byte),
            },
        }
    }
    Ok(())
}

/// The characters that canonical text or a canonical value stands for.
pub(crate) fn unescape(canonical: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', canonical.as_bytes()).is_none() {
        return Cow::Borrowed(canonical);
    }
    let mut out = String::with_capacity(canonical.len());
    let mut rest = canonical;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        match reference(after.as_bytes()) {
            Ok(Some((c, len))) => {
                out.push(c);
                rest = after.get(len..).unwrap_or_default();
            }
            // Canonical XML holds no other references; a stray `&` stands for itself.
            _ => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
