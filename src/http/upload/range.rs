//! Parts of a file (RFC 9110 §14).

use axum::http::{HeaderMap, header};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From this byte to that one, both included.
    Bytes(u64, u64),
    /// Something that is not there.
    Nothing,
}

/// Reads the header `Range` for a file of so many bytes. Several ranges, other units and what cannot be read ask for the
/// whole file, as the standard allows; so does a part of another version (`If-Range`).
pub(super) fn asked(headers: &HeaderMap, etag: &str, bytes: u64) -> Part {
    let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else {
        return Part::Whole;
    };
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|version| version != etag)
    {
        return Part::Whole;
    }
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Part::Whole,
        (Some(first), _) if first >= bytes => Part::Nothing,
        (Some(first), Some(last)) => Part::Bytes(first, last.min(bytes - 1)),
        (Some(first), None) if last.is_empty() => Part::Bytes(first, bytes - 1),
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(length)) if first.is_empty() && bytes > 0 => {
            Part::Bytes(bytes.saturating_sub(length), bytes - 1)
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(range: &'static str) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        asked(&headers, "\"x\"", 1_000)
    }

    #[test]
    fn parts_are_what_the_standard_says() {
        assert_eq!(part("bytes=0-0"), Part::Bytes(0, 0));
        assert_eq!(part("bytes=500-"), Part::Bytes(500, 999));
        assert_eq!(part("bytes=-100"), Part::Bytes(900, 999));
        assert_eq!(part("bytes=-5000"), Part::Bytes(0, 999));
        assert_eq!(part("bytes=999-99999999999999999999999"), Part::Bytes(999, 999));
        for nothing in ["bytes=1000-", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(part(nothing), Part::Nothing, "{nothing}");
        }
        for whole in [
            "bytes=5-1",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=a-b",
            "bytes=",
            "bytes=-",
            "bytes=1--1",
            "bytes=+1-2",
        ] {
            assert_eq!(part(whole), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn of_another_version_there_is_no_part() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"y\"".parse().unwrap());
        assert_eq!(asked(&headers, "\"x\"", 1_000), Part::Whole);
        assert_eq!(asked(&headers, "\"y\"", 1_000), Part::Bytes(0, 1));
    }
}
