//! Text and CDATA sections: copied in canonical form as they arrive, so a long text is never looked at twice.

use crate::{WireError, chars, escape};

const FORBIDDEN: WireError = WireError::NotWellFormed("a character that XML forbids");

/// How far reading came, and whether that is the end of the text (or of the CDATA section).
pub(super) struct Reached {
    pub at: usize,
    pub end: bool,
}

impl Reached {
    fn more(at: usize) -> Result<Reached, WireError> {
        Ok(Reached { at, end: false })
    }
}

/// Copies the run of ordinary characters at `at`. Returns its end, and whether it ends in a character cut off by the
/// end of the input. Of several errors the first one counts, so that it does not matter how the input is cut.
#[inline(always)]
fn copy_run(out: &mut Vec<u8>, input: &[u8], at: usize, most: usize) -> Result<(usize, bool), WireError> {
    let (len, high) = chars::text_run(input, at);
    let run = input.get(at..at + len).unwrap_or_default();
    let (whole, error) = if high { chars::check_utf8(run) } else { (len, None) };
    if out.len() + whole > most {
        return Err(WireError::TooBig("stanza_bytes_max"));
    }
    out.extend_from_slice(run.get(..whole).unwrap_or_default());
    match error {
        Some(error) => Err(error),
        None if whole < len && at + len < input.len() => Err(WireError::InvalidUtf8),
        None => Ok((at + whole, whole < len)),
    }
}

/// Reads text up to the next `<`.
pub(super) fn text(
    out: &mut Vec<u8>,
    input: &[u8],
    mut at: usize,
    most: usize,
) -> Result<Reached, WireError> {
    loop {
        let (end, cut) = copy_run(out, input, at, most)?;
        at = end;
        let rest = input.get(at..).unwrap_or_default();
        at += match rest {
            _ if cut => return Reached::more(at),
            [] => return Reached::more(at),
            [b'<', ..] => return Ok(Reached { at, end: true }),
            // These are in canonical form already.
            [b'&', b'a', b'm', b'p', b';', ..] => {
                out.extend_from_slice(b"&amp;");
                5
            }
            [b'&', escaped @ (b'l' | b'g'), b't', b';', ..] => {
                out.extend_from_slice(&[b'&', *escaped, b't', b';']);
                4
            }
            [b'&', name @ ..] => {
                let Some((c, len)) = escape::reference(name)? else {
                    return Reached::more(at);
                };
                escape::put_text_char(out, c);
                1 + len
            }
            [b'>', ..] => {
                out.extend_from_slice(b"&gt;");
                1
            }
            [b']', b']', b'>', ..] => return Err(WireError::NotWellFormed("]]> in text")),
            [b']'] | [b']', b']'] => return Reached::more(at),
            [b']', ..] => {
                out.push(b']');
                1
            }
            [b'\r'] => return Reached::more(at),
            [b'\r', ..] => line_end(out, rest),
            _ => return Err(FORBIDDEN),
        };
    }
}

/// Reads a CDATA section up to and with its `]]>`.
pub(super) fn cdata(
    out: &mut Vec<u8>,
    input: &[u8],
    mut at: usize,
    most: usize,
) -> Result<Reached, WireError> {
    loop {
        let (end, cut) = copy_run(out, input, at, most)?;
        at = end;
        let rest = input.get(at..).unwrap_or_default();
        at += match rest {
            _ if cut => return Reached::more(at),
            [] => return Reached::more(at),
            [b']', b']', b'>', ..] => {
                return Ok(Reached {
                    at: at + 3,
                    end: true,
                });
            }
            [b']'] | [b']', b']'] => return Reached::more(at),
            [b'\r'] => return Reached::more(at),
            [b'\r', ..] => line_end(out, rest),
            [byte @ (b']' | b'<' | b'>' | b'&'), ..] => {
                escape::put_text_char(out, *byte as char);
                1
            }
            _ => return Err(FORBIDDEN),
        };
    }
}

/// CR LF and a lone CR are one LF (XML 1.0 §2.11). The byte after the CR is there.
fn line_end(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    out.push(b'\n');
    if rest.get(1) == Some(&b'\n') { 2 } else { 1 }
}
