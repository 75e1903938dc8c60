//! Dates and times (XEP-0082). Bytes that are no text are a stamp to be written.

use kim_core::clock::Timestamp;

pub fn check(data: &[u8]) {
    if let Some(stamp) = std::str::from_utf8(data).ok().and_then(Timestamp::parse) {
        assert_eq!(
            read(&stamp.to_string()),
            stamp.0,
            "what is read is written as it was meant"
        );
        assert_eq!(Timestamp::parse(&stamp.to_string()), Some(stamp));
    }
    if let Some(bytes) = data.first_chunk() {
        let written = Timestamp(i64::from_be_bytes(*bytes)).to_string();
        let again = Timestamp::parse(&written).expect("every stamp is written so that others can read it");
        assert_eq!((again.to_string(), read(&written)), (written, again.0));
    }
}

/// A second opinion on the one form that kIM writes, `2026-01-31T12:00:00.000001Z`, in microseconds since 1970.
fn read(text: &str) -> i64 {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    assert!(
        (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60,
        "{text}"
    );
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let in_month = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    assert!((1..=in_month[month as usize - 1]).contains(&day), "{text}");
    // Leap days before a year, counted from the year 0, which has one.
    let leaps = |year: i64| (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let first_of_year = |year: i64| year * 365 + leaps(year);
    let days = first_of_year(year) - first_of_year(1970) + day - 1;
    let days = days + in_month[..month as usize - 1].iter().sum::<i64>();
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + number(20..26)
}
