//! How each part of an address is prepared before it is compared or stored: nodeprep for the localpart, U-labels for the
//! domain, OpaqueString for the resource (RFC 7622 §3; the reasons are in `docs/decisions/0003-jid-preparation.md`).
//!
//! ASCII never reaches the Unicode machinery. Every function returns the borrowed input when nothing had to change.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use precis_core::profile::PrecisFastInvocation;
use precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use precis_profiles::OpaqueString;
use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::{JidError, PART_BYTES_MAX, Part};

/// What a domain label may not hold beside what UTS 46 itself refuses: all of ASCII but letters, digits, hyphen and
/// underscore (no host name of the DNS has one, yet gateways and container names do).
const DOMAIN_FORBIDDEN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// How many characters with a rule about their neighbours a resource may hold. The PRECIS crate looks through the text anew
/// for each of them, which for three kilobytes of them takes milliseconds.
const CONTEXT_CHARACTERS_MAX: usize = 64;

/// The localpart: nodeprep (RFC 3920 appendix A) as other servers do, which forbids what RFC 7622 §3.3.1 forbids.
pub(super) fn local(input: &str) -> Result<Cow<'_, str>, JidError> {
    let prepared = if input.is_ascii() {
        if !input
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"&'/:<>@".contains(&b))
        {
            return Err(JidError::Forbidden(Part::Local));
        }
        ascii_lowercase(input)
    } else {
        let once = nodeprep(input)?;
        // Some characters fold to what would fold again; two spellings of one account must not pass for two.
        if nodeprep(&once)? != once {
            return Err(JidError::Forbidden(Part::Local));
        }
        once
    };
    sized(prepared, Part::Local)
}

fn nodeprep(input: &str) -> Result<Cow<'_, str>, JidError> {
    // The tables are those of Unicode 3.2, the normalisation is today's: U+1D2C, unknown to the tables, would become a
    // capital A that no table sees. RFC 3454 §7 lets a stored string hold no unassigned code point; ask before mapping.
    if input.chars().any(tables::unassigned_code_point) {
        return Err(JidError::Forbidden(Part::Local));
    }
    stringprep::nodeprep(input).map_err(|_| JidError::Forbidden(Part::Local))
}

/// The domain: lower case, U-labels, no trailing dot, or an IP literal (RFC 7622 §3.2).
pub(super) fn domain(input: &str) -> Result<Cow<'_, str>, JidError> {
    if let Some(literal) = input.strip_prefix('[') {
        return ipv6(literal, input);
    }
    let input = input.strip_suffix('.').unwrap_or(input);
    if input.ends_with('.') {
        return Err(JidError::Forbidden(Part::Domain));
    }
    let lower = ascii_lowercase(input);
    if is_plain_domain(&lower) {
        return sized(lower, Part::Domain);
    }
    let once = u_labels(&lower)?.into_owned();
    if u_labels(&once)? != once {
        return Err(JidError::Forbidden(Part::Domain));
    }
    sized(Cow::Owned(once), Part::Domain)
}

/// Lower-case ASCII labels that UTS 46 would hand back as they are.
fn is_plain_domain(lower: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    lower.split('.').all(|label| {
        let hyphen = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !hyphen && !label.starts_with("xn--") && label.bytes().all(plain)
    })
}

fn u_labels(input: &str) -> Result<Cow<'_, str>, JidError> {
    let (name, valid) = Uts46::new().to_unicode(input.as_bytes(), DOMAIN_FORBIDDEN, Hyphens::CheckFirstLast);
    valid.map_err(|_| JidError::Forbidden(Part::Domain))?;
    let name = match name.strip_suffix('.') {
        Some(stripped) => Cow::Owned(stripped.to_owned()),
        None => name,
    };
    // A name that became an address by mapping (full-width digits) is not what its writer sees.
    if name.split('.').any(str::is_empty) || (name != input && name.parse::<Ipv4Addr>().is_ok()) {
        return Err(JidError::Forbidden(Part::Domain));
    }
    Ok(name)
}

fn ipv6<'a>(literal: &str, whole: &'a str) -> Result<Cow<'a, str>, JidError> {
    let address: Option<Ipv6Addr> = literal.strip_suffix(']').and_then(|text| text.parse().ok());
    let text = format!("[{}]", address.ok_or(JidError::Forbidden(Part::Domain))?);
    Ok(if text == whole {
        Cow::Borrowed(whole)
    } else {
        Cow::Owned(text)
    })
}

/// The resource: the OpaqueString profile (RFC 7622 §3.4, RFC 8265 §4.2), with two allowances for emoji.
pub(super) fn resource(input: &str) -> Result<Cow<'_, str>, JidError> {
    if input.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return sized(Cow::Borrowed(input), Part::Resource);
    }
    if input.chars().filter(|&c| has_context_rule(c)).count() > CONTEXT_CHARACTERS_MAX {
        return Err(JidError::Forbidden(Part::Resource));
    }
    let once = opaque(input).ok_or(JidError::Forbidden(Part::Resource))?;
    if once != input && opaque(&once).as_ref() != Some(&once) {
        return Err(JidError::Forbidden(Part::Resource));
    }
    sized(once, Part::Resource)
}

/// The characters of RFC 5892 appendix A: joiners, middle dots, Greek and Hebrew number signs, Arabic digits.
fn has_context_rule(c: char) -> bool {
    matches!(
        c,
        '\u{B7}' | '\u{375}' | '\u{5F3}' | '\u{5F4}' | '\u{30FB}' | '\u{200C}' | '\u{200D}'
    ) || matches!(c, '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}')
}

/// OpaqueString, if its answer is also its answer to that answer. Composition may move a joiner away from the letter that
/// allowed it; then the joiner goes, as it does beside emoji.
fn opaque(input: &str) -> Option<Cow<'_, str>> {
    match OpaqueString::enforce(input) {
        Ok(strict) if strict == input || OpaqueString::enforce(&*strict).as_ref() == Ok(&strict) => {
            Some(strict)
        }
        _ => opaque_with_emoji(input).map(Cow::Owned),
    }
}

/// OpaqueString for what the strict profile refuses only because of emoji: characters that Unicode assigned after 6.3, the
/// version of the PRECIS registry, are judged by today's category; variation selectors and joiners, which have no place in
/// PRECIS, are dropped as resourceprep dropped them, so the answer equals that of the servers which still use it.
fn opaque_with_emoji(input: &str) -> Option<String> {
    let class = FreeformClass::default();
    let visible: String = input
        .chars()
        .filter(|&c| !tables::commonly_mapped_to_nothing(c))
        .collect();
    // The context rules look at neighbours, so the class is asked about the whole text, with a stand-in for each new one.
    let known: String = visible
        .chars()
        .map(|c| match class.get_value_from_char(c) {
            DerivedPropertyValue::Unassigned if is_new_and_visible(c) => '☺',
            _ => c,
        })
        .collect();
    class.allows(&known).ok()?;
    let spaced = visible.chars().map(|c| {
        if c.general_category() == GeneralCategory::SpaceSeparator {
            ' '
        } else {
            c
        }
    });
    Some(spaced.nfc().collect())
}

/// What the FreeformClass would take if its tables knew the character (RFC 8264 §4.3.1).
fn is_new_and_visible(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number, Punctuation, Symbol};
    // U+180F is a variation selector: ignorable, though its category is Mark.
    c != '\u{180F}'
        && matches!(
            c.general_category_group(),
            Letter | Mark | Number | Punctuation | Symbol
        )
}

fn ascii_lowercase(input: &str) -> Cow<'_, str> {
    if input.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(input.to_ascii_lowercase())
    } else {
        Cow::Borrowed(input)
    }
}

fn sized(text: Cow<'_, str>, part: Part) -> Result<Cow<'_, str>, JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        bytes if bytes > PART_BYTES_MAX => Err(JidError::TooLong(part)),
        _ => Ok(text),
    }
}

/// RFC 8266 §2.4: spaces, case, NFKC, again until nothing changes (§2.3: at most a few times).
pub(super) fn nickname_key(nick: &str) -> String {
    const ROUNDS_MAX: usize = 4;
    let fold = |text: &str| -> String {
        let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if spaced.is_ascii() {
            return spaced.to_ascii_lowercase();
        }
        spaced.to_lowercase().nfkc().collect()
    };
    let mut key = fold(nick);
    if nick.is_ascii() {
        return key;
    }
    // A key that has become ASCII is not done: U+1D2C is not a capital letter but becomes one.
    for _ in 1..ROUNDS_MAX {
        let again = fold(&key);
        if again == key {
            break;
        }
        key = again;
    }
    key
}
