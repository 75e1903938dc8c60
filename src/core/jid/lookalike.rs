//! Names that look alike: `alice`, and `аlice` with a Cyrillic first letter (Unicode TR39 §4).

/// The TR39 skeleton of a text. Two texts that people can mistake for each other have the same skeleton.
///
/// A skeleton is for comparing only; it is not a name, and it is never shown. Letter case counts: fold it before, where names
/// that differ in case only are to be taken for one.
///
/// ```
/// use kim_core::jid::skeleton;
///
/// assert_eq!(skeleton("аlice"), skeleton("alice"));
/// assert_ne!(skeleton("alicia"), skeleton("alice"));
/// ```
pub fn skeleton(text: &str) -> String {
    unicode_security::skeleton(text).collect()
}

#[cfg(test)]
mod tests {
    use super::skeleton;

    #[test]
    fn names_that_look_alike_share_a_skeleton() {
        for (name, others) in [
            ("alice", ["аlice", "alicе", "ɑlice"].as_slice()),
            ("paypal", &["раураl", "paypa1", "payp\u{430}l"]),
            ("lobby", &["1obby", "Iobby"]),
            ("Jürgen", &["Ju\u{308}rgen"]),
        ] {
            for other in others {
                assert_eq!(skeleton(name), skeleton(other), "{name} and {other}");
            }
        }
    }

    #[test]
    fn names_that_do_not_look_alike_have_skeletons_of_their_own() {
        for (name, other) in [
            ("alice", "alicia"),
            ("bob", "rob"),
            ("анна", "anna"),
            ("王", "玉"),
            ("max", "maximilian"),
        ] {
            assert_ne!(skeleton(name), skeleton(other), "{name} and {other}");
        }
    }

    #[test]
    fn a_skeleton_is_its_own_skeleton() {
        for name in ["аlice", "m0dern", "Ꮃilliam", "ﷺ", ""] {
            assert_eq!(skeleton(&skeleton(name)), skeleton(name), "{name}");
        }
    }
}
