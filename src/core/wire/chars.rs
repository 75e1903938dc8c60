//! Which bytes and characters XML 1.0 (fifth edition) allows where: one table for ASCII, ranges for the rest.

use crate::WireError;

/// Ends a run of text that can be copied as it is.
pub(crate) const TEXT_STOP: u8 = 1;
/// Ends a run inside an attribute's value.
pub(crate) const VALUE_STOP: u8 = 2;
/// May begin a name (colon excluded, Namespaces in XML §4).
pub(crate) const NAME_START: u8 = 4;
/// May continue a name.
pub(crate) const NAME: u8 = 8;
/// Space, TAB, CR or LF.
pub(crate) const SPACE: u8 = 16;
/// Part of a character outside ASCII.
pub(crate) const HIGH: u8 = 128;

/// The classes of every byte.
pub(crate) static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut b = 0usize;
    while b < 256 {
        let c = b as u8;
        let mut class = 0;
        if c < 0x20 && c != b'\t' && c != b'\n' || matches!(c, b'<' | b'&' | b'>' | b']') {
            class |= TEXT_STOP;
        }
        if c < 0x20 || matches!(c, b'<' | b'&' | b'>' | b'\'' | b'"') {
            class |= VALUE_STOP;
        }
        if c.is_ascii_alphabetic() || c == b'_' {
            class |= NAME_START | NAME;
        }
        if c.is_ascii_digit() || c == b'-' || c == b'.' {
            class |= NAME;
        }
        if matches!(c, b' ' | b'\t' | b'\r' | b'\n') {
            class |= SPACE;
        }
        if c >= 0x80 {
            class |= HIGH;
        }
        table[b] = class;
        b += 1;
    }
    table
}

/// Whether a byte is in one of the given classes.
#[inline(always)]
pub(crate) fn is(byte: u8, classes: u8) -> bool {
    CLASS[byte as usize] & classes != 0
}

/// Whether a byte is white space (XML 1.0 §2.3).
#[inline(always)]
pub(crate) fn is_space(byte: u8) -> bool {
    is(byte, SPACE)
}

/// The length of the run from `at` that holds no byte at which text stops, and whether it holds bytes outside ASCII.
#[inline(always)]
pub(crate) fn text_run(bytes: &[u8], at: usize) -> (usize, bool) {
    // TAB and LF are flagged as controls and then found not to stop.
    run(bytes, at, TEXT_STOP, |word| {
        equal(word | all(0x02), b'>') | equal(word, b'&') | equal(word, b']') | below_space(word)
    })
}

/// The same for the bytes at which an attribute's value stops.
#[inline(always)]
pub(crate) fn value_run(bytes: &[u8], at: usize) -> (usize, bool) {
    run(bytes, at, VALUE_STOP, |word| {
        equal(word | all(0x02), b'>') | equal(word | all(0x01), b'\'') | equal(word, b'"') | below_space(word)
    })
}

/// A word of eight such bytes.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Flags (by its highest bit) each byte of a word that is zero. Bytes above the first flagged one may be flagged wrongly.
fn zero(word: u64) -> u64 {
    word.wrapping_sub(all(1)) & !word & all(0x80)
}

fn equal(word: u64, byte: u8) -> u64 {
    zero(word ^ all(byte))
}

fn below_space(word: u64) -> u64 {
    word.wrapping_sub(all(b' ')) & !word & all(0x80)
}

/// The run up to a byte of the class `stop`. Eight bytes are looked at in one step; `flags` marks where one may be.
#[inline(always)]
fn run(bytes: &[u8], at: usize, stop: u8, flags: impl Fn(u64) -> u64) -> (usize, bool) {
    let bytes = bytes.get(at..).unwrap_or_default();
    let mut seen = 0u64;
    let mut len = 0;
    while let Some(word) = bytes.get(len..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*word);
        let flags = flags(word);
        if flags == 0 {
            seen |= word;
            len += 8;
            continue;
        }
        let before = flags.trailing_zeros() / 8;
        seen |= word & !(u64::MAX << (8 * before));
        len += before as usize;
        if bytes.get(len).is_some_and(|b| is(*b, stop)) {
            return (len, seen & all(0x80) != 0);
        }
        len += 1;
    }
    for &b in bytes.get(len..).unwrap_or_default() {
        if is(b, stop) {
            break;
        }
        seen |= u64::from(b);
        len += 1;
    }
    (len, seen & all(0x80) != 0)
}

/// Whether XML allows the character at all, raw or by reference (XML 1.0 §2.2).
pub(crate) fn is_char(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        c if c < ' ' => false,
        '\u{FFFE}' | '\u{FFFF}' => false,
        _ => true,
    }
}

/// Checks bytes that hold no control characters: UTF-8, and none of the two noncharacters. Returns how many bytes are
/// good, and what is wrong with the next one; nothing is wrong with a character cut off at the end.
pub(crate) fn check_utf8(bytes: &[u8]) -> (usize, Option<WireError>) {
    let (whole, error) = match std::str::from_utf8(bytes) {
        Ok(_) => (bytes.len(), None),
        Err(e) => (e.valid_up_to(), e.error_len().map(|_| WireError::InvalidUtf8)),
    };
    // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
    let valid = bytes.get(..whole).unwrap_or_default();
    for at in memchr::memchr_iter(0xEF, valid) {
        if let Some([0xEF, 0xBF, 0xBE | 0xBF]) = valid.get(at..at + 3) {
            return (at, Some(WireError::NotWellFormed("a character that XML forbids")));
        }
    }
    (whole, error)
}

/// Checks bytes that must hold whole characters only.
pub(crate) fn check_whole_utf8(bytes: &[u8]) -> Result<(), WireError> {
    match check_utf8(bytes) {
        (_, Some(error)) => Err(error),
        (whole, None) if whole < bytes.len() => Err(WireError::InvalidUtf8),
        _ => Ok(()),
    }
}

/// What stands at the beginning of some bytes that begin with a byte above ASCII.
pub(crate) enum Wide {
    /// A character and its length in bytes.
    Char(char, usize),
    /// The beginning of one.
    Cut,
}

/// Decodes one character.
pub(crate) fn wide(bytes: &[u8]) -> Result<Wide, WireError> {
    let head = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.valid_up_to() > 0 => {
            std::str::from_utf8(head.get(..e.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(e) if e.error_len().is_none() => return Ok(Wide::Cut),
        Err(_) => return Err(WireError::InvalidUtf8),
    };
    Ok(text
        .chars()
        .next()
        .map_or(Wide::Cut, |c| Wide::Char(c, c.len_utf8())))
}

/// NameStartChar without the colon (XML 1.0 §2.3, Namespaces in XML §4).
pub(crate) fn is_name_start(c: char) -> bool {
    if c.is_ascii() {
        return is(c as u8, NAME_START);
    }
    matches!(c, '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// NameChar without the colon (XML 1.0 §2.3, Namespaces in XML §4).
pub(crate) fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        return is(c as u8, NAME);
    }
    is_name_start(c) || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XML 1.0 §2.3 [4] and [4a], without the colon, and §2.2 [2]: every character judged by the text of the standard.
    #[test]
    fn characters_are_classed_as_the_standard_says() {
        const START: &str = "A-Z _-_ a-z C0-D6 D8-F6 F8-2FF 370-37D 37F-1FFF 200C-200D 2070-218F 2C00-2FEF 3001-D7FF \
            F900-FDCF FDF0-FFFD 10000-EFFFF";
        const MORE: &str = "--- .-. 0-9 B7-B7 300-36F 203F-2040";
        const ALL: &str = "9-A D-D 20-D7FF E000-FFFD 10000-10FFFF";
        let ranges = |list: &str, hex: fn(&str) -> bool| -> Vec<(u32, u32)> {
            let ends = |range: &str| {
                let (low, high) = range.split_at(range[1..].find('-').unwrap() + 1);
                let code = |end: &str| {
                    if hex(end) {
                        u32::from_str_radix(end, 16).unwrap()
                    } else {
                        end.as_bytes()[0].into()
                    }
                };
                (code(low), code(&high[1..]))
            };
            list.split_whitespace().map(ends).collect()
        };
        let long = |end: &str| end.len() > 1;
        let (start, more, all) = (ranges(START, long), ranges(MORE, long), ranges(ALL, |_| true));
        let within = |list: &[(u32, u32)], c: char| {
            list.iter()
                .any(|(low, high)| (*low..=*high).contains(&(c as u32)))
        };
        for c in '\0'..=char::MAX {
            assert_eq!(is_name_start(c), within(&start, c), "{c:?}");
            assert_eq!(is_name_char(c), within(&start, c) || within(&more, c), "{c:?}");
            assert_eq!(is_char(c), within(&all, c), "{c:?}");
        }
    }

    /// Looking at eight bytes at once finds the same runs as looking at each: every byte at every place of a word.
    #[test]
    fn runs_end_where_they_should() {
        for fill in [
            b'x', b'\t', b' ', 0x7F, 0x80, 0xFF, b';', b'=', b'?', b'%', b'(', b'!', b'#', b'\\', b'^',
        ] {
            for byte in 0..=255u8 {
                for at in 0..20 {
                    let mut bytes = [fill; 20];
                    bytes[at] = byte;
                    for (stop, found) in [
                        (TEXT_STOP, text_run(&bytes, 0)),
                        (VALUE_STOP, value_run(&bytes, 0)),
                    ] {
                        let len = bytes.iter().position(|b| is(*b, stop)).unwrap_or(20);
                        let high = bytes[..len].iter().any(|b| *b >= 0x80);
                        assert_eq!(found, (len, high), "{byte} at {at} among {fill}");
                    }
                }
            }
        }
    }
}
