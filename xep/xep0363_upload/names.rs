//! Names of files, as they come from clients and as they go into addresses.

/// Bytes of a name; what is longer is cut in the middle, so that the ending stays (§4).
const NAME_BYTES_MAX: usize = 160;
/// Bytes of a media type (RFC 6838 §4.2 allows 127 for each half).
const TYPE_BYTES_MAX: usize = 255;

/// A name that is only a name: no path, nothing invisible, not too long, never empty.
pub fn clean(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = base.chars().filter(|c| !is_hidden(*c)).collect();
    let name = plain.trim_matches(|c: char| c.is_whitespace() || c == '.');
    if name.is_empty() {
        return "file".to_owned();
    }
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let ending = match name.rsplit_once('.') {
        Some((_, ending)) if ending.len() <= 16 => format!(".{ending}"),
        _ => String::new(),
    };
    let mut cut = NAME_BYTES_MAX - ending.len();
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{ending}", name.get(..cut).unwrap_or_default())
}

/// Control characters, and those that turn the direction of text or cannot be seen: they make one name look like another.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(c, '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// A media type without parameters, in lower case; `None` if it is none.
pub fn media_type(text: &str) -> Option<String> {
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let (kind, subtype) = essence.split_once('/')?;
    (essence.len() <= TYPE_BYTES_MAX && is_token(kind) && is_token(subtype)).then_some(essence)
}

/// A name as it stands in an address (RFC 3986 §2.1).
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_a_name() {
        for (name, clean_name) in [
            ("très cool.jpg", "très cool.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\a\\b.txt", "b.txt"),
            ("..", "file"),
            ("", "file"),
            (" . ", "file"),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("photo\u{202E}gpj.exe", "photogpj.exe"),
            ("a\0b", "ab"),
            ("\"><script>", "\"><script>"),
        ] {
            assert_eq!(clean(name), clean_name, "{name:?}");
        }
        let long = clean(&format!("{}.tar.gz", "ä".repeat(1_000)));
        assert!(long.len() <= NAME_BYTES_MAX && long.ends_with("ä.gz"), "{long}");
        assert_eq!(clean(&clean("a/./b")), "b");
    }

    #[test]
    fn types_and_addresses() {
        assert_eq!(media_type("Image/JPEG; q=1").as_deref(), Some("image/jpeg"));
        for wrong in [
            "",
            "image",
            "image/",
            "/x",
            "a b/c",
            "text/html\r\nX: y",
            "text/<b>",
        ] {
            assert_eq!(media_type(wrong), None, "{wrong}");
        }
        assert_eq!(encode("très cool.jpg"), "tr%C3%A8s%20cool.jpg");
        assert_eq!(encode("a/b?c#d'\""), "a%2Fb%3Fc%23d%27%22");
    }
}
