//! Addresses as people and other servers write them, and texts that must not become one.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn refused(text: &str) -> JidError {
    Jid::parse(text).unwrap_err()
}

#[test]
fn an_address_has_up_to_three_parts() {
    let full = jid("alice@example.org/phone");
    assert_eq!(
        (full.local(), full.domain(), full.resource()),
        (Some("alice"), "example.org", Some("phone"))
    );
    assert!(!full.is_bare());
    let bare = full.bare();
    assert_eq!(
        (bare.local(), bare.domain(), bare.resource()),
        (Some("alice"), "example.org", None)
    );
    assert_eq!(bare, "alice@example.org");
    assert_eq!(full.bare_str(), "alice@example.org");
    let host = full.to_domain();
    assert!(host.is_domain() && !bare.is_domain());
    assert_eq!((host.local(), host.domain()), (None, "example.org"));
    let at_host = jid("example.org/announce");
    assert_eq!(
        (at_host.local(), at_host.domain(), at_host.resource()),
        (None, "example.org", Some("announce"))
    );
}

#[test]
fn the_first_slash_and_the_first_at_sign_divide() {
    // RFC 7622 §3.5 example 4 and §3.2: separators belong to the resource once it has begun.
    assert_eq!(jid("a.example.com/b@example.net").domain(), "a.example.com");
    assert_eq!(
        jid("room@conference.example.org/me/you@home").resource(),
        Some("me/you@home")
    );
    assert_eq!(refused("a@b@example.org"), JidError::Forbidden(Part::Domain));
}

#[test]
fn rfc_7622_examples_that_are_addresses() {
    // RFC 7622 §3.5, table 1. Example 9 (henryⅣ, which PRECIS refuses) is folded by nodeprep and not listed here.
    for text in [
        "juliet@example.com",
        "juliet@example.com/foo",
        "juliet@example.com/foo bar",
        "juliet@example.com/foo@bar",
        "foo\\20bar@example.com",
        "fussball@example.com",
        "π@example.com",
        "king@example.com/♚",
        "example.com",
        "example.com/foobar",
        "a.example.com/b@example.net",
    ] {
        assert_eq!(jid(text).as_str(), text);
    }
    assert_eq!(jid("Σ@example.com/foo"), jid("σ@example.com/foo"));
}

#[test]
fn rfc_7622_examples_that_are_none() {
    // RFC 7622 §3.5, table 2, but for "♚@example.com", which nodeprep allows and other servers have.
    for text in [
        "\"juliet\"@example.com",
        "foo bar@example.com",
        "@example.com/",
        "@example.com",
        "juliet@",
    ] {
        refused(text);
    }
}

#[test]
fn localparts_fold_as_on_other_servers() {
    assert_eq!(jid("Alice@example.org"), "alice@example.org");
    assert_eq!(
        jid("FUßBALL@example.com").local(),
        jid("fussball@example.com").local()
    );
    assert_eq!(jid("ﬁona@example.com").local(), Some("fiona"));
    assert_eq!(jid("ｊörg@example.com"), jid("jörg@example.com"));
}

#[test]
fn forbidden_characters_of_the_localpart() {
    for c in "\"&'/:<>@ \u{0}\t\n\u{7F}\u{A0}\u{200E}\u{E000}\u{FFFD}".chars() {
        let name = format!("a{c}b");
        assert!(prepare_username(&name).is_err(), "{c:?}");
        assert!(Jid::new(Some(&name), "example.org", None).is_err(), "{c:?}");
    }
    // Full-width forms of the same, which compatibility mapping turns into them.
    for c in "＂＆＇／：＜＞＠\u{3000}".chars() {
        assert!(prepare_username(&format!("a{c}b")).is_err(), "{c:?}");
    }
}

#[test]
fn a_character_newer_than_nodeprep_makes_no_twin_account() {
    // U+1D2C MODIFIER LETTER CAPITAL A: unknown to the tables of Unicode 3.2, an "A" after normalisation.
    assert_eq!(
        prepare_username("\u{1D2C}dmin"),
        Err(JidError::Forbidden(Part::Local))
    );
}

#[test]
fn domains_are_lower_case_u_labels_without_the_last_dot() {
    assert_eq!(jid("xn--bcher-kva.example"), jid("bücher.example"));
    assert_eq!(jid("XN--BCHER-KVA.example"), jid("BÜCHER.Example."));
    assert_eq!(jid("xn--bcher-kva.example").as_str(), "bücher.example");
    assert_eq!(jid("EXAMPLE.org."), "example.org");
    assert_eq!(jid("example。org。"), "example.org");
    assert_eq!(jid("irc_gateway.example.org"), "irc_gateway.example.org");
    for text in [
        ".",
        "..",
        "example..org",
        ".example.org",
        "example.org..",
        "-a.example",
        "a-.example",
        "a b.example",
        "ex&mple.org",
        "xn--a.example",
        "xn--.example",
        "\u{AD}",
        "a\u{0}.example",
        "münchen-.example",
        "１２７.0.0.1",
    ] {
        refused(text);
    }
}

#[test]
fn ip_literals_are_hosts() {
    assert_eq!(jid("alice@[::1]/x").domain(), "[::1]");
    assert_eq!(jid("[2001:0DB8:0::0001]"), "[2001:db8::1]");
    assert_eq!(jid("alice@127.0.0.1").domain(), "127.0.0.1");
    for text in ["[]", "[::1", "::1", "[::1]x", "[fe80::1%eth0]", "[127.0.0.1]"] {
        refused(text);
    }
}

#[test]
fn nicknames_keep_case_spaces_and_emoji() {
    assert_eq!(jid("r@c.example/Thé Queen").resource(), Some("Thé Queen"));
    assert_eq!(jid("r@c.example/😀").resource(), Some("😀"));
    // U+1F923 (2016), U+1FAE8 (2022): newer than the PRECIS registry's Unicode 6.3.
    assert_eq!(jid("r@c.example/🤣🫨").resource(), Some("🤣🫨"));
    // The heart carries a variation selector, the family two joiners: invisible, and dropped.
    assert_eq!(jid("r@c.example/❤\u{FE0F}").resource(), Some("❤"));
    assert_eq!(jid("r@c.example/👩\u{200D}👧").resource(), Some("👩👧"));
    // A joiner that RFC 5892 appendix A.2 allows (after a virama) stays.
    assert_eq!(
        jid("r@c.example/क\u{94D}\u{200D}ष").resource(),
        Some("क\u{94D}\u{200D}ष")
    );
    assert_eq!(jid("r@c.example/a\u{A0}b").resource(), Some("a b"));
    assert_eq!(jid("r@c.example/e\u{301}").resource(), Some("é"));
}

#[test]
fn a_joiner_that_composition_sets_adrift_is_dropped() {
    // The virama is sorted before the mark (Unicode §3.11), and so away from the joiner it would have allowed.
    assert_eq!(jid("b/\u{301}\u{94D}\u{200C}").resource(), Some("\u{94D}\u{301}"));
    // U+0387 composes to the middle dot of U+00B7, which stands between two l only.
    assert_eq!(jid("b/l\u{387}l").resource(), Some("l·l"));
    assert_eq!(refused("b/x\u{387}x"), JidError::Forbidden(Part::Resource));
}

#[test]
fn resources_hold_nothing_that_xml_or_a_reader_could_stumble_over() {
    for c in
        "\u{0}\t\n\r\u{7F}\u{85}\u{202E}\u{2028}\u{E000}\u{FFFE}\u{10FFFF}\u{1BCA0}\u{180F}\u{378}".chars()
    {
        assert_eq!(
            refused(&format!("r@c.example/a{c}b")),
            JidError::Forbidden(Part::Resource),
            "{c:?}"
        );
    }
}

#[test]
fn a_part_that_prepares_to_nothing_is_refused() {
    assert_eq!(refused(""), JidError::Empty(Part::Domain));
    assert_eq!(refused("@example.org"), JidError::Empty(Part::Local));
    assert_eq!(refused("a@/x"), JidError::Empty(Part::Domain));
    assert_eq!(refused("a@b/"), JidError::Empty(Part::Resource));
    assert_eq!(
        refused("\u{AD}\u{200B}@example.org"),
        JidError::Empty(Part::Local)
    );
    assert_eq!(
        refused("a@example.org/\u{200B}\u{FE0F}"),
        JidError::Empty(Part::Resource)
    );
    assert_eq!(jid("a@b").with_resource(""), Err(JidError::Empty(Part::Resource)));
}

#[test]
fn parts_have_at_most_1023_bytes() {
    // RFC 7622 §3.1, counted after preparation.
    let (max, over) = ("a".repeat(PART_BYTES_MAX), "a".repeat(PART_BYTES_MAX + 1));
    let longest = Jid::new(Some(&max), &max, Some(&max)).unwrap();
    assert_eq!(longest.as_str().len(), JID_BYTES_MAX);
    assert_eq!(longest.resource(), Some(max.as_str()));
    assert_eq!(
        Jid::new(Some(&over), "b", None),
        Err(JidError::TooLong(Part::Local))
    );
    assert_eq!(Jid::new(None, &over, None), Err(JidError::TooLong(Part::Domain)));
    assert_eq!(
        jid("b").with_resource(&over),
        Err(JidError::TooLong(Part::Resource))
    );
    // 342 characters of three bytes each fold to 342; the limit is on what is stored.
    assert_eq!(
        jid(&format!("{}@b", "ａ".repeat(342))).local().map(str::len),
        Some(342)
    );
    // What is longer than any address could be is not prepared at all.
    assert_eq!(
        refused(&"\u{AD}".repeat(100_000)),
        JidError::TooLong(Part::Domain)
    );
}

#[test]
fn the_costly_characters_are_few() {
    // Each Arabic digit asks for a look at the whole text (RFC 5892 appendix A.8).
    assert!(Jid::new(None, "b", Some(&"٠".repeat(64))).is_ok());
    assert_eq!(
        Jid::new(None, "b", Some(&"٠".repeat(65))),
        Err(JidError::Forbidden(Part::Resource))
    );
    assert_eq!(
        refused(&format!("a@b/{}ア", "・".repeat(1000))),
        JidError::Forbidden(Part::Resource)
    );
}

#[test]
fn maps_keyed_by_addresses_are_looked_up_by_text() {
    let sessions = HashMap::from([(BareJid::parse("Alice@Example.org").unwrap(), 1)]);
    assert_eq!(sessions.get("alice@example.org"), Some(&1));
    assert_eq!(sessions.get(jid("alice@example.org/phone").bare_str()), Some(&1));
    assert_eq!(sessions.get(&jid("alice@example.org/phone").bare()), Some(&1));
    let full = HashMap::from([(jid("alice@example.org/phone"), 2)]);
    assert_eq!(full.get("alice@example.org/phone"), Some(&2));
}

#[test]
fn a_bare_address_has_no_resource() {
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::NotBare));
    assert_eq!(BareJid::try_from(jid("a@b/c")), Err(JidError::NotBare));
    assert_eq!(Jid::from(jid("a@b/c").bare()), "a@b");
    assert_eq!(jid("a@b/c").with_resource("d").unwrap(), "a@b/d");
    assert_eq!(BareJid::new(Some("A"), "b").unwrap(), "a@b");
}

#[test]
fn order_is_that_of_the_text() {
    let mut jids = [jid("b@x"), jid("a@x/z"), jid("a@x"), jid("x")];
    jids.sort();
    assert_eq!(jids.map(|j| j.to_string()), ["a@x", "a@x/z", "b@x", "x"]);
}

#[test]
fn json_and_toml_hold_the_text_and_are_checked() {
    let json = serde_json::to_string(&jid("Alice@example.org/ö")).unwrap();
    assert_eq!(json, "\"alice@example.org/ö\"");
    assert_eq!(
        serde_json::from_str::<Jid>(&json).unwrap(),
        jid("alice@example.org/ö")
    );
    assert!(serde_json::from_str::<BareJid>(&json).is_err());
    assert!(serde_json::from_str::<Jid>("\"@\"").is_err());
    assert_eq!(serde_json::from_str::<BareJid>(r#""a\u0040b""#).unwrap(), "a@b");
}

/// Text in which the characters that make trouble are frequent: separators, folds, joiners, marks of many scripts.
fn troublesome() -> impl Strategy<Value = String> {
    let odd = "@/.:\\-_ aAzZ09xn--ßẞΣςİıéé\u{301}ﬁⅣª\u{AD}\u{200C}\u{200D}\u{FE0F}\u{1D2C}ａＡ／＠。ع٠א·・क्\u{387}\u{345}\u{37E}\u{212A}😀🤣\u{3000}\u{130}\u{345}\u{10400}";
    let odd: Vec<char> = odd.chars().collect();
    let one =
        prop_oneof![4 => prop::sample::select(odd), 3 => proptest::char::range('!', '~'), 1 => any::<char>()];
    prop::collection::vec(one, 0..12).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn what_was_accepted_is_read_back_unchanged(text in troublesome()) {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(Jid::parse(jid.as_str()).map(|j| j.to_string()), Ok(jid.to_string()));
            prop_assert_eq!(&Jid::new(jid.local(), jid.domain(), jid.resource()).unwrap(), &jid);
        }
    }

    #[test]
    fn preparing_twice_changes_nothing(text in troublesome()) {
        for prepare in [prepare::local, prepare::domain, prepare::resource] {
            if let Ok(once) = prepare(&text) {
                prop_assert_eq!(prepare(&once), Ok(once.clone()));
                prop_assert!(!once.is_empty() && once.len() <= PART_BYTES_MAX);
            }
        }
        if let Ok(local) = prepare::local(&text) {
            prop_assert!(!local.contains(['"', '&', '\'', '/', ':', '<', '>', '@', ' ']));
        }
        if let Ok(domain) = prepare::domain(&text) {
            prop_assert!(!domain.contains(['@', '/']) && !domain.ends_with('.'));
        }
    }

    #[test]
    fn the_short_way_for_ascii_agrees_with_the_long_one(text in "[!-~]{1,12}") {
        let folded = stringprep::nodeprep(&text).ok();
        prop_assert_eq!(prepare::local(&text).ok(), folded);
    }

    #[test]
    fn any_text_is_read_without_trouble(text in any::<String>()) {
        let _ = Jid::parse(&text);
    }
}

#[test]
fn nicknames_that_look_alike_are_alike() {
    // RFC 8266 §3, and XEP-0045 §14.6 (7).
    for (one, other) in [
        ("Foo", "foo"),
        (" alice", "alice "),
        ("the  cat", "The Cat"),
        ("\u{3a3}igma", "\u{3c3}igma"),
        ("\u{ff21}lice", "alice"),
        ("Richard \u{2163}", "richard iv"),
        ("\u{1d2c}lice", "alice"),
    ] {
        assert_eq!(nickname_key(one), nickname_key(other), "{one} {other}");
    }
    assert_ne!(nickname_key("alice"), nickname_key("alices"));
    assert_eq!(nickname_key("  "), None);
}
