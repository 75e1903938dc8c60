//! The XML declaration (XML 1.0 §2.8), allowed only as the very first bytes of a stream.

use crate::{WireError, chars};

/// More than the longest sensible declaration.
const DECLARATION_BYTES_MAX: usize = 256;

const BROKEN: WireError = WireError::NotWellFormed("a broken XML declaration");

/// Reads the declaration if there is one. Returns its length (0 if there is none), or `None` if more must come.
pub(super) fn declaration(input: &[u8], header_bytes_max: usize) -> Result<Option<usize>, WireError> {
    const START: &[u8] = b"<?xml";
    if matches!(input, [0xFE | 0xFF, ..] | [0, ..]) {
        // What UTF-16 and UTF-32 begin with.
        return Err(WireError::UnsupportedEncoding);
    }
    let len = input.len().min(START.len());
    if input.get(..len) != START.get(..len) {
        return Ok(Some(0));
    }
    let Some(&after) = input.get(START.len()) else {
        return Ok(None);
    };
    if !chars::is_space(after) {
        return Ok(Some(0));
    }
    let most = DECLARATION_BYTES_MAX.min(header_bytes_max);
    let head = input.get(..input.len().min(most)).unwrap_or_default();
    let Some(end) = memchr::memchr(b'>', head) else {
        return if input.len() > most {
            Err(WireError::TooBig("header_bytes_max"))
        } else {
            Ok(None)
        };
    };
    let inside = head
        .get(START.len()..end)
        .and_then(|inside| inside.strip_suffix(b"?"))
        .ok_or(BROKEN)?;
    judge(inside)?;
    Ok(Some(end + 1))
}

/// Judges what stands between `<?xml` and `?>`.
fn judge(inside: &[u8]) -> Result<(), WireError> {
    let (version, rest) = pseudo_attribute(inside, b"version")?.ok_or(BROKEN)?;
    if version != b"1.0" {
        return Err(WireError::NotWellFormed("a version of XML other than 1.0"));
    }
    let rest = match pseudo_attribute(rest, b"encoding")? {
        Some((encoding, rest)) => {
            if !encoding.eq_ignore_ascii_case(b"utf-8") {
                return Err(WireError::UnsupportedEncoding);
            }
            rest
        }
        None => rest,
    };
    let rest = match pseudo_attribute(rest, b"standalone")? {
        Some((b"yes" | b"no", rest)) => rest,
        Some(_) => return Err(BROKEN),
        None => rest,
    };
    if rest.trim_ascii().is_empty() {
        Ok(())
    } else {
        Err(BROKEN)
    }
}

/// A value, and what follows it.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Reads ` name = 'value'` if it comes next.
fn pseudo_attribute<'a>(input: &'a [u8], name: &[u8]) -> Result<Option<Pair<'a>>, WireError> {
    let trimmed = input.trim_ascii_start();
    let Some(rest) = trimmed.strip_prefix(name) else {
        return Ok(None);
    };
    if trimmed.len() == input.len() {
        return Err(BROKEN);
    }
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b"=")
        .ok_or(BROKEN)?
        .trim_ascii_start();
    let (quote, rest) = rest
        .split_first()
        .filter(|(quote, _)| matches!(quote, b'\'' | b'"'))
        .ok_or(BROKEN)?;
    let len = memchr::memchr(*quote, rest).ok_or(BROKEN)?;
    Ok(Some((
        rest.get(..len).unwrap_or_default(),
        rest.get(len + 1..).unwrap_or_default(),
    )))
}
