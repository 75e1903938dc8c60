//! Two devices of this crate talk; what the Python libraries make of it is in `tests/clients/test_omemo_rust.py`.

use futures_util::FutureExt;
use kim_wire::Element;

use super::*;

const ALICE: &str = "alice@localhost";
const BOB: &str = "bob@localhost";

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn decrypt(device: &mut Device, from: &str, xml: &str) -> Result<Decrypted, Error> {
    now(device.decrypt(from, Element::parse(xml).unwrap().el()))
}

#[test]
fn two_devices_talk_in_both_directions() {
    let (mut alice, mut bob) = (Device::new(1).unwrap(), Device::new(2).unwrap());
    let bundle = Element::parse(&bob.bundle()).unwrap();
    assert!(!alice.knows(BOB, 2));
    now(alice.meet(BOB, 2, bundle.el())).unwrap();
    assert!(alice.knows(BOB, 2));

    let first = now(alice.encrypt("What man art thou?", &[(BOB, 2)])).unwrap();
    assert!(first.contains("prekey='true'") && !first.contains("man"));
    let read = decrypt(&mut bob, ALICE, &first).unwrap();
    assert_eq!(
        (read.text.as_deref(), read.device, read.used_prekey),
        (Some("What man art thou?"), 1, true)
    );
    // §5.6: the used prekey makes room for a new one.
    assert_ne!(bob.bundle(), bundle.el().to_xml());
    assert_eq!(bob.bundle().matches("<preKeyPublic ").count(), 100);

    for n in 0..5 {
        let text = format!("answer {n}");
        let answer = now(bob.encrypt(&text, &[(ALICE, 1)])).unwrap();
        assert!(!answer.contains("prekey="));
        assert_eq!(
            decrypt(&mut alice, BOB, &answer).unwrap().text,
            Some(text.clone())
        );
        let question = now(alice.encrypt(&text, &[(BOB, 2)])).unwrap();
        let read = decrypt(&mut bob, ALICE, &question).unwrap();
        assert_eq!((read.text, read.used_prekey), (Some(text), false));
        // Twice is a replay.
        assert!(decrypt(&mut bob, ALICE, &question).is_err());
    }
}

#[test]
fn what_was_tampered_with_does_not_open() {
    let (mut alice, mut bob, mut carol) = (
        Device::new(1).unwrap(),
        Device::new(2).unwrap(),
        Device::new(3).unwrap(),
    );
    let bundle = bob.bundle();
    now(alice.meet(BOB, 2, Element::parse(&bundle).unwrap().el())).unwrap();
    let message = now(alice.encrypt("hello", &[(BOB, 2)])).unwrap();
    assert!(matches!(
        decrypt(&mut carol, ALICE, &message),
        Err(Error::NotForUs)
    ));
    let payload = message
        .split("<payload>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let other = message.replace(payload, "AAAAAAA=");
    assert!(matches!(decrypt(&mut bob, ALICE, &other), Err(Error::WrongKey)));
    for wrong in ["<encrypted xmlns='eu.siacs.conversations.axolotl'/>", "<body/>"] {
        assert!(matches!(
            decrypt(&mut bob, ALICE, wrong),
            Err(Error::Malformed(_))
        ));
    }
    // A bundle whose signature is another's.
    let signature = |bundle: &str| {
        bundle
            .split("Signature>")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap()
            .to_owned()
    };
    let forged = bundle.replace(&signature(&bundle), &signature(&carol.bundle()));
    let met = now(carol.meet(BOB, 2, Element::parse(&forged).unwrap().el()));
    assert!(matches!(met, Err(Error::Signal(_))));
    assert!(!carol.knows(BOB, 2));
}

#[test]
fn lists_are_written_as_they_are_read() {
    let list = Element::parse(&device_list(&[1, 31415])).unwrap();
    assert_eq!(devices(list.el()), [1, 31415]);
    assert_eq!(Device::new(7).unwrap().fingerprint().len(), 64);
}
