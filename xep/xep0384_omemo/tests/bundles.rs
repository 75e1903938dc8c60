//! Bundles that real libraries made (by `tests/support/omemo_bundles.py`, with oldmemo 2.1 and twomemo 2.1), as they are and
//! then broken in one place each.

use kim_core::wire::Element;

use super::super::bundle::{Bundle, PREKEYS_MIN};
use super::super::devices;
use super::super::flaw::Flaw;
use super::super::nodes::{KeyNode, Protocol};
use super::super::signature;

pub const LEGACY: [&str; 2] = [
    include_str!("bundles/legacy_sign_0.xml"),
    include_str!("bundles/legacy_sign_1.xml"),
];
pub const TWO: [&str; 2] = [
    include_str!("bundles/omemo2_sign_0.xml"),
    include_str!("bundles/omemo2_sign_1.xml"),
];
const PREKEYS_MAX: usize = 500;

fn check(protocol: Protocol, xml: &str) -> Result<Bundle, Flaw> {
    Bundle::check(protocol, Element::parse(xml).unwrap().el(), PREKEYS_MAX)
}

/// All four, each with its protocol.
fn all() -> impl Iterator<Item = (Protocol, &'static str)> {
    let legacy = LEGACY.into_iter().map(|xml| (Protocol::Legacy, xml));
    legacy.chain(TWO.into_iter().map(|xml| (Protocol::Two, xml)))
}

/// The text of the first element of that name.
fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.find(&format!("<{name}")).unwrap();
    let start = start + xml[start..].find('>').unwrap() + 1;
    &xml[start..start + xml[start..].find('<').unwrap()]
}

fn decoded(xml: &str, name: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(text(xml, name).as_bytes()).unwrap()
}

/// With other bytes in the first element of that name.
fn with(xml: &str, name: &str, bytes: &[u8]) -> String {
    xml.replacen(text(xml, name), &data_encoding::BASE64.encode(bytes), 1)
}

fn names(protocol: Protocol) -> [&'static str; 4] {
    match protocol {
        Protocol::Legacy => [
            "identityKey",
            "signedPreKeyPublic",
            "signedPreKeySignature",
            "preKeyPublic",
        ],
        Protocol::Two => ["ik", "spk", "spks", "pk"],
    }
}

#[test]
fn what_real_libraries_publish_is_right_for_both_signs_of_the_identity_key() {
    for (protocol, xml) in all() {
        let bundle = check(protocol, xml).unwrap();
        assert_eq!(bundle.prekeys, 100);
        assert!(bundle.prekeys >= PREKEYS_MIN);
    }
    assert_eq!(decoded(LEGACY[0], "signedPreKeySignature")[63] >> 7, 0);
    assert_eq!(decoded(LEGACY[1], "signedPreKeySignature")[63] >> 7, 1);
}

#[test]
fn a_device_has_one_fingerprint_in_both_versions() {
    // XEP-0384 §8: the Curve25519 form, so that versions can be compared.
    for sign in 0..2 {
        let legacy = check(Protocol::Legacy, LEGACY[sign]).unwrap().fingerprint;
        let two = check(Protocol::Two, TWO[sign]).unwrap().fingerprint;
        assert_eq!(legacy, two);
        let shown = legacy.to_string();
        assert_eq!(shown.split(' ').map(str::len).collect::<Vec<_>>(), [8; 8]);
        assert_eq!(decoded(LEGACY[sign], "identityKey")[1], legacy.0[0]);
    }
}

#[test]
fn any_flipped_bit_of_the_signature_is_wrong_signature() {
    for (protocol, xml) in all() {
        let [_, _, signature, _] = names(protocol);
        let right = decoded(xml, signature);
        for bit in 0..512 {
            let mut wrong = right.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                check(protocol, &with(xml, signature, &wrong)),
                Err(Flaw::WrongSignature),
                "{protocol:?} bit {bit}"
            );
        }
    }
}

#[test]
fn another_device_s_key_or_signed_prekey_is_wrong_signature() {
    for (protocol, [one, other]) in [(Protocol::Legacy, LEGACY), (Protocol::Two, TWO)] {
        let [identity, signed, signature, _] = names(protocol);
        for part in [identity, signed, signature] {
            let mixed = with(one, part, &decoded(other, part));
            let flaw = check(protocol, &mixed).unwrap_err();
            // The other's key with this one's sign bit is some point; never is it right.
            assert_eq!(flaw, Flaw::WrongSignature, "{protocol:?} {part}");
        }
    }
}

#[test]
fn short_and_long_keys_are_wrong_key_length() {
    for (protocol, xml) in all() {
        let [identity, signed, _, prekey] = names(protocol);
        for part in [identity, signed, prekey] {
            let right = decoded(xml, part);
            let long = [right.as_slice(), &[0]].concat();
            for wrong in [&right[1..], &right[..31], &[], long.as_slice()] {
                assert_eq!(
                    check(protocol, &with(xml, part, wrong)),
                    Err(Flaw::WrongKeyLength)
                );
            }
        }
    }
}

#[test]
fn a_legacy_key_of_another_type_is_wrong_key_type() {
    for part in ["identityKey", "signedPreKeyPublic", "preKeyPublic"] {
        let mut wrong = decoded(LEGACY[0], part);
        wrong[0] = 6;
        assert_eq!(
            check(Protocol::Legacy, &with(LEGACY[0], part, &wrong)),
            Err(Flaw::WrongKeyType)
        );
    }
}

#[test]
fn a_short_signature_is_wrong_signature_length() {
    for (protocol, xml) in all() {
        let [_, _, signature, _] = names(protocol);
        let right = decoded(xml, signature);
        for wrong in [&right[..63], &[][..]] {
            let flaw = check(protocol, &with(xml, signature, wrong)).unwrap_err();
            assert_eq!(flaw, Flaw::WrongSignatureLength);
        }
    }
}

#[test]
fn what_is_no_base64_is_wrong_base64_and_white_space_does_not_count() {
    for (protocol, xml) in all() {
        for part in names(protocol) {
            let right = text(xml, part);
            for wrong in ["!", "AAA", "AAAA====", "AA=A", "ä", "BQ_-"] {
                let broken = xml.replacen(right, wrong, 1);
                assert_eq!(check(protocol, &broken), Err(Flaw::WrongBase64), "{part} {wrong}");
            }
            let (front, back) = right.split_at(20);
            let wrapped = xml.replacen(right, &format!("\n  {front}\r\n{back} "), 1);
            assert!(check(protocol, &wrapped).is_ok(), "{part}");
        }
    }
}

#[test]
fn two_prekeys_of_one_id_are_duplicate_key_id() {
    let doubled = LEGACY[0].replacen("preKeyId=\"4\"", "preKeyId=\"1\"", 1);
    assert_ne!(doubled, LEGACY[0], "the bundle has a prekey 4");
    assert_eq!(check(Protocol::Legacy, &doubled), Err(Flaw::DuplicateKeyId));
    let pk = |id: usize| format!("<pk id=\"{id}\">{}</pk>", text(TWO[0], "pk"));
    let doubled = TWO[0].replacen("<prekeys>", &format!("<prekeys>{}{}", pk(70_000), pk(70_000)), 1);
    assert_eq!(check(Protocol::Two, &doubled), Err(Flaw::DuplicateKeyId));
    // §5.3.2: the signed prekey may have the id of a prekey.
    let same = TWO[0].replacen("<spk id=\"1\"", &format!("<spk id=\"{}\"", first_id(TWO[0])), 1);
    assert!(check(Protocol::Two, &same).is_ok());
}

fn first_id(xml: &str) -> &str {
    xml.split("<pk id=\"").nth(1).unwrap().split('"').next().unwrap()
}

/// With that many prekeys in place of its own.
fn with_prekeys(protocol: Protocol, count: usize) -> String {
    let xml = if protocol == Protocol::Legacy {
        LEGACY[0]
    } else {
        TWO[0]
    };
    let [_, _, _, prekey] = names(protocol);
    let id = if protocol == Protocol::Legacy {
        "preKeyId"
    } else {
        "id"
    };
    let one = text(xml, prekey);
    let stock: String = (1..=count)
        .map(|n| format!("<{prekey} {id}=\"{n}\">{one}</{prekey}>"))
        .collect();
    let (before, rest) = xml.split_once("<prekeys>").unwrap();
    let (_, after) = rest.split_once("</prekeys>").unwrap();
    format!("{before}<prekeys>{stock}</prekeys>{after}")
}

#[test]
fn no_prekeys_and_ten_thousand_are_each_refused_by_name() {
    for protocol in Protocol::ALL {
        assert_eq!(check(protocol, &with_prekeys(protocol, 0)), Err(Flaw::NoPrekeys));
        for count in [1, PREKEYS_MAX] {
            assert_eq!(
                check(protocol, &with_prekeys(protocol, count)).unwrap().prekeys,
                count
            );
        }
        // One element more than a stanza may have by default, so read without that limit.
        for count in [PREKEYS_MAX + 1, 10_000] {
            let limits = kim_core::wire::Limits {
                stanza_bytes_max: 10_000_000,
                children_max: 100_000,
                ..kim_core::wire::Limits::default()
            };
            let element = Element::parse_within(&with_prekeys(protocol, count), limits).unwrap();
            let flaw = Bundle::check(protocol, element.el(), PREKEYS_MAX).unwrap_err();
            assert_eq!(flaw, Flaw::TooManyPrekeys);
        }
    }
}

#[test]
fn ids_out_of_range_are_wrong_key_id() {
    for id in ["", "x", "-1", "+1", " 1", "1.0", "4294967296"] {
        let wrong = LEGACY[0].replacen("preKeyId=\"1\"", &format!("preKeyId=\"{id}\""), 1);
        assert_eq!(check(Protocol::Legacy, &wrong), Err(Flaw::WrongKeyId), "{id}");
        let wrong = LEGACY[0].replacen("signedPreKeyId=\"1\"", &format!("signedPreKeyId=\"{id}\""), 1);
        assert_eq!(check(Protocol::Legacy, &wrong), Err(Flaw::WrongKeyId), "{id}");
    }
    // §5.3.2: between 1 and 2^31 - 1; but Converse begins with 0, and version 0.3 set no bounds.
    for (id, fits) in [("0", true), ("2147483647", true), ("2147483648", false)] {
        let two = TWO[0].replacen("<spk id=\"1\"", &format!("<spk id=\"{id}\""), 1);
        let expected = (!fits).then_some(Flaw::WrongKeyId);
        assert_eq!(check(Protocol::Two, &two).err(), expected, "{id}");
        let allowed = LEGACY[0].replacen("signedPreKeyId=\"1\"", &format!("signedPreKeyId=\"{id}\""), 1);
        assert!(check(Protocol::Legacy, &allowed).is_ok(), "{id}");
    }
    let without = LEGACY[0].replacen(" signedPreKeyId=\"1\"", "", 1);
    assert_eq!(check(Protocol::Legacy, &without), Err(Flaw::WrongKeyId));
}

#[test]
fn each_part_must_be_there_once() {
    for (protocol, xml) in all() {
        let [identity, signed, signature, _] = names(protocol);
        for part in [identity, signed, signature, "prekeys"] {
            let renamed =
                xml.replacen(&format!("<{part}"), "<other", 1)
                    .replacen(&format!("</{part}>"), "</other>", 1);
            assert_eq!(check(protocol, &renamed), Err(Flaw::Missing(part)));
            let twice = xml.replacen("</bundle>", &format!("<{part}/></bundle>"), 1);
            assert_eq!(check(protocol, &twice), Err(Flaw::Missing(part)));
        }
        let foreign = xml.replacen("<bundle xmlns=\"", "<bundle xmlns=\"x", 1);
        assert_eq!(check(protocol, &foreign), Err(Flaw::WrongElement));
    }
    assert_eq!(check(Protocol::Two, LEGACY[0]), Err(Flaw::WrongElement));
    assert_eq!(
        check(Protocol::Legacy, "<body>hi</body>"),
        Err(Flaw::WrongElement)
    );
}

#[test]
fn keys_of_small_order_are_weak() {
    // The list is what it says: eight times the point is nothing (RFC 7748 §6.1).
    let eight = curve25519_dalek::scalar::Scalar::from(8_u8);
    let nothing = curve25519_dalek::montgomery::MontgomeryPoint([0; 32]);
    for key in signature::SMALL_ORDER {
        assert_eq!(
            eight * curve25519_dalek::montgomery::MontgomeryPoint(key),
            nothing
        );
        assert!(signature::is_weak(&key));
        let mut high = key;
        high[31] |= 0x80;
        assert!(signature::is_weak(&high));
    }
    for (protocol, xml) in all() {
        let [_, signed, _, prekey] = names(protocol);
        let zero = vec![0; decoded(xml, prekey).len()];
        let mut zero = zero;
        if protocol == Protocol::Legacy {
            zero[0] = 5;
        }
        for part in [signed, prekey] {
            assert_eq!(check(protocol, &with(xml, part, &zero)), Err(Flaw::WeakKey));
        }
    }
}

#[test]
fn an_identity_key_that_is_no_point_is_named_so() {
    // Half of all numbers are not on the curve.
    let mut found = 0;
    for byte in 0..32 {
        for (protocol, xml) in [(Protocol::Legacy, LEGACY[0]), (Protocol::Two, TWO[0])] {
            let [identity, ..] = names(protocol);
            let mut other = decoded(xml, identity);
            let at = other.len() - 32;
            other[at] = other[at].wrapping_add(byte + 1);
            match check(protocol, &with(xml, identity, &other)) {
                Err(Flaw::NoPoint) => found += 1,
                result => assert_eq!(result, Err(Flaw::WrongSignature)),
            }
        }
    }
    assert!((8..56).contains(&found), "{found}");
}

#[test]
fn mutilated_bundles_never_pass_and_never_panic() {
    let mut state: u64 = 1;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for (protocol, xml) in all() {
        let whole = check(protocol, xml).unwrap();
        for _ in 0..300 {
            let mut bytes = xml.as_bytes().to_vec();
            for _ in 0..=random() % 3 {
                let at = random() % bytes.len();
                bytes[at] = b"<>/=\"ABCz09 "[random() % 12];
            }
            let Ok(Ok(element)) = String::from_utf8(bytes).map(|text| Element::parse(&text)) else {
                continue;
            };
            // A prekey may become another prekey; what is signed may not change.
            if let Ok(bundle) = Bundle::check(protocol, element.el(), PREKEYS_MAX) {
                assert_eq!(bundle.fingerprint, whole.fingerprint);
            }
        }
    }
}

#[test]
fn every_flaw_says_its_name_in_its_sentence() {
    for flaw in [
        Flaw::WrongSignature,
        Flaw::Missing("ik"),
        Flaw::ForeignAccount,
        Flaw::TooManyDevices,
    ] {
        assert!(flaw.to_string().contains(&format!("({})", flaw.name())));
    }
}

#[test]
fn device_lists_of_both_versions() {
    let list = |protocol, xml: &str, devices_max| {
        let element = Element::parse(xml).unwrap();
        devices::check(protocol, element.el(), devices_max)
            .map(|devices| devices.into_iter().collect::<Vec<_>>())
    };
    let legacy = "<list xmlns='eu.siacs.conversations.axolotl'><device id='2'/><device id='1'/><device id='2'/></list>";
    assert_eq!(list(Protocol::Legacy, legacy, 2), Ok(vec![1, 2]));
    assert_eq!(list(Protocol::Legacy, legacy, 1), Err(Flaw::TooManyDevices));
    let two =
        "<devices xmlns='urn:xmpp:omemo:2'><device id='7' label='x' labelsig='y'/><other id='z'/></devices>";
    assert_eq!(list(Protocol::Two, two, 9), Ok(vec![7]));
    assert_eq!(
        list(Protocol::Two, "<devices xmlns='urn:xmpp:omemo:2'/>", 9),
        Ok(vec![])
    );
    assert_eq!(list(Protocol::Two, legacy, 9), Err(Flaw::WrongElement));
    for id in ["0", "-5", "x", "", "2147483648"] {
        let wrong = format!("<devices xmlns='urn:xmpp:omemo:2'><device id='{id}'/></devices>");
        assert_eq!(list(Protocol::Two, &wrong, 9), Err(Flaw::WrongDeviceId), "{id}");
    }
    assert_eq!(
        list(
            Protocol::Two,
            "<devices xmlns='urn:xmpp:omemo:2'><device/></devices>",
            9
        ),
        Err(Flaw::WrongDeviceId)
    );
}

#[test]
fn key_nodes_are_known_by_name() {
    let node = KeyNode::of("eu.siacs.conversations.axolotl.bundles:31415").unwrap();
    assert_eq!(node, KeyNode::LegacyBundle(Some(31415)));
    assert_eq!(node.device("current"), Some(31415));
    let node = KeyNode::of("eu.siacs.conversations.axolotl.bundles:").unwrap();
    assert_eq!(node.device("5"), None);
    let node = KeyNode::of("urn:xmpp:omemo:2:bundles").unwrap();
    assert_eq!((node.device("5"), node.device("current")), (Some(5), None));
    assert_eq!(
        KeyNode::of("urn:xmpp:omemo:2:devices"),
        Some(KeyNode::Devices(Protocol::Two))
    );
    // A tester's node that only looks like one.
    for other in [
        "eu.siacs.conversations.axolotl.6c8a",
        "urn:xmpp:omemo:1:bundles",
        "urn:xmpp:avatar:data",
        "",
    ] {
        assert_eq!(KeyNode::of(other), None);
    }
    for protocol in Protocol::ALL {
        assert_eq!(
            KeyNode::of(protocol.list_node()),
            Some(KeyNode::Devices(protocol))
        );
        assert_eq!(
            KeyNode::of(&protocol.bundle_node(9)).unwrap().device("9"),
            Some(9)
        );
    }
}
