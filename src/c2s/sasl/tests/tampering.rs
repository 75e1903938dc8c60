//! What an attacker on the line, or a user with a password of their own, might change, case by case.

use super::*;

fn refused(client: &Client, offer: &Offer, bend: impl FnOnce(&mut Answer)) -> SaslFailure {
    failure(client.login_bent(offer, bend))
}

const SCRAM: Mechanism = Mechanism::ScramSha256;
const PLUS: Mechanism = Mechanism::ScramSha256Plus;

#[test]
fn row_11_a_gs2_flag_changed_between_first_and_last_message() {
    // "n" on the line, "y" where it is signed: RFC 5802 §6, c= must repeat what was sent.
    let sent = |gs2: &str| STANDARD.encode(gs2);
    let client = Client::new(SCRAM);
    for gs2 in ["y,,", "n,a=alice,", "N,,", "n,", "p=tls-exporter,,"] {
        assert_eq!(
            refused(&client, &unbound(), |a| a.binding = sent(gs2)),
            SaslFailure::NotAuthorized,
            "{gs2}"
        );
    }
    // Also when the client really signs the other flag, so that only c= tells.
    let said_y = Client {
        gs2: "y,,".into(),
        ..client.clone()
    };
    let Step::Challenge { data, then } = served(client.start(&unbound())) else {
        panic!()
    };
    let answer = said_y.answer(std::str::from_utf8(&data).unwrap());
    assert_eq!(
        failure(then.respond(answer.text().as_bytes())),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn row_11_the_offer_of_plus_was_removed_on_its_way() {
    // RFC 5802 §6: "y" says "you did not offer it". We did.
    let client = Client {
        gs2: "y,,".into(),
        ..Client::new(SCRAM)
    };
    assert_eq!(failure(client.start(&offer())), SaslFailure::NotAuthorized);
    // Where nothing could be bound the client is right, and comes in.
    assert_eq!(success(client.login(&unbound())).0, alice());
}

#[test]
fn row_11_plus_without_a_binding() {
    for gs2 in ["n,,", "y,,", "p=,,", "p,,", ",,", "F,n,,"] {
        let client = Client {
            gs2: gs2.into(),
            channel: Vec::new(),
            ..Client::new(PLUS)
        };
        assert!(matches!(
            failure(client.login(&offer())),
            SaslFailure::MalformedRequest | SaslFailure::NotAuthorized
        ));
    }
    // The flag promises a binding, the last message brings none.
    let bare = Client {
        channel: Vec::new(),
        ..Client::new(PLUS)
    };
    assert_eq!(failure(bare.login(&offer())), SaslFailure::NotAuthorized);
}

#[test]
fn row_11_a_binding_in_a_mechanism_without_plus() {
    let client = Client {
        gs2: "p=tls-exporter,,".into(),
        channel: EXPORTER.to_vec(),
        ..Client::new(SCRAM)
    };
    assert_eq!(failure(client.login(&offer())), SaslFailure::MalformedRequest);
}

#[test]
fn row_11_nonce() {
    let client = Client::new(SCRAM);
    let own = client.nonce.clone();
    assert_eq!(
        refused(&client, &offer(), |a| a.nonce = own),
        SaslFailure::NotAuthorized
    );
    assert_eq!(
        refused(&client, &offer(), |a| a.nonce.push('x')),
        SaslFailure::NotAuthorized
    );
    assert_eq!(
        refused(&client, &offer(), |a| a.nonce = a.nonce.to_lowercase()),
        SaslFailure::NotAuthorized
    );
    assert_eq!(
        refused(&client, &offer(), |a| a.nonce.clear()),
        SaslFailure::NotAuthorized
    );
    // Also when the proof covers the other nonce, as that of a client would which accepts what it did not begin.
    for nonce in [
        client.nonce.as_str(),
        "",
        "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
    ] {
        let Step::Challenge { data, then } = served(client.start(&offer())) else {
            panic!()
        };
        let answer = client.answer_repeating(std::str::from_utf8(&data).unwrap(), nonce);
        assert_eq!(
            failure(then.respond(answer.text().as_bytes())),
            SaslFailure::NotAuthorized
        );
    }
    for nonce in ["", "with space", "tab\t", "ünïcode", "nul\0"] {
        let client = Client {
            nonce: nonce.into(),
            ..client.clone()
        };
        assert_eq!(
            failure(client.start(&offer())),
            SaslFailure::MalformedRequest,
            "{nonce:?}"
        );
    }
}

#[test]
fn row_11_an_old_proof_does_not_open_a_new_exchange() {
    let client = Client::new(SCRAM);
    let mut overheard = String::new();
    success(client.login_bent(&offer(), |answer| overheard = answer.text()));
    let Step::Challenge { then, .. } = served(client.start(&offer())) else {
        panic!()
    };
    assert_eq!(
        failure(then.respond(overheard.as_bytes())),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn row_11_every_bit_of_the_proof_counts() {
    let client = Client::new(SCRAM);
    for bit in 0..256 {
        let flip = |a: &mut Answer| a.proof[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&client, &offer(), flip), SaslFailure::NotAuthorized);
    }
    assert_eq!(
        refused(&client, &offer(), |a| a.proof.clear()),
        SaslFailure::NotAuthorized
    );
    assert_eq!(
        refused(&client, &offer(), |a| a.proof.truncate(31)),
        SaslFailure::NotAuthorized
    );
    assert_eq!(
        refused(&client, &offer(), |a| a.proof.push(0)),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn row_11_the_challenge_was_changed_on_its_way() {
    // Fewer iterations would let who listens guess faster (RFC 7677 §4); the proof then covers another challenge.
    let client = Client::new(SCRAM);
    let Step::Challenge { data, then } = served(client.start(&offer())) else {
        panic!()
    };
    let weaker = String::from_utf8(data).unwrap().replace(",i=2", ",i=1");
    let answer = client.answer(&weaker);
    assert_eq!(
        failure(then.respond(answer.text().as_bytes())),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn row_11_the_list_of_mechanisms_was_changed_on_its_way() {
    // XEP-0474: the hash of the offer stands in the signed challenge; without it the proof does not hold.
    let offer = Offer::new(
        HOST,
        Conditions {
            downgrade_hash: true,
            ..everything()
        },
        bindings(),
    );
    let client = Client::new(SCRAM);
    assert_eq!(success(client.login(&offer)).0, alice());
    let Step::Challenge { data, then } = served(client.start(&offer)) else {
        panic!()
    };
    let challenge = String::from_utf8(data).unwrap();
    let (without, _) = challenge.split_once(",h=").unwrap();
    let answer = client.answer(without);
    assert_eq!(
        failure(then.respond(answer.text().as_bytes())),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn the_hash_of_the_offer_is_that_of_xep_0474() {
    // The example of §6.3.
    let mut offer = Offer::new(
        HOST,
        Conditions {
            downgrade_hash: true,
            ..everything()
        },
        bindings(),
    );
    offer.mechanisms = vec![Mechanism::ScramSha1, Mechanism::ScramSha1Plus];
    let Step::Challenge { data, .. } = served(Client::new(Mechanism::ScramSha1Plus).start(&offer)) else {
        panic!()
    };
    assert!(
        String::from_utf8(data)
            .unwrap()
            .ends_with(",i=2,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=")
    );
}

#[test]
fn row_11_extensions() {
    // RFC 5802 §5.1: what begins with m= must be understood, and nothing is; the others may be ignored, but are signed.
    let start = |first: &str| offer().start(SCRAM.name(), Some(first.as_bytes()));
    assert_eq!(
        failure(start("n,,m=must,n=alice,r=abc")),
        SaslFailure::MalformedRequest
    );
    assert_eq!(
        failure(start("n,,n=alice,r=abc,m=must")),
        SaslFailure::MalformedRequest
    );
    assert_eq!(
        failure(start("n,,n=alice,r=abc,x")),
        SaslFailure::MalformedRequest
    );
    let polite = Client {
        first_extension: ",x=a=b".into(),
        final_extension: ",y=19C6".into(),
        ..Client::new(SCRAM)
    };
    assert_eq!(success(polite.login(&offer())).0, alice());
    let demanding = Client {
        final_extension: ",m=must".into(),
        ..Client::new(SCRAM)
    };
    assert_eq!(failure(demanding.login(&offer())), SaslFailure::MalformedRequest);
    let slipped_in = |a: &mut Answer| a.extension = ",x=new".into();
    assert_eq!(
        refused(&Client::new(SCRAM), &offer(), slipped_in),
        SaslFailure::NotAuthorized
    );
}

#[test]
fn row_11_messages_out_of_order_or_shape() {
    let start = |first: &str| failure(offer().start(SCRAM.name(), Some(first.as_bytes())));
    for first in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=alice",
        "n,,r=abc,n=alice",
        "n,,n=,r=abc",
        "n,,n=al=2Gice,r=abc",
        "n,,n=al=,r=abc",
        "n,x=alice,n=alice,r=abc",
        "x,,n=alice,r=abc",
        "nn,,n=alice,r=abc",
        "n,,n=al\0ice,r=abc",
        "n,a=,n=alice,r=abc",
    ] {
        assert_eq!(start(first), SaslFailure::MalformedRequest, "{first:?}");
    }
    for last in [
        "",
        "p=",
        "c=biws,p=AAAA",
        "r=x,c=biws,p=AAAA",
        "c=biws,r=x",
        "c=!,r=x,p=AAAA",
        "c=biws,r=x,p=!",
        "e=x",
    ] {
        let Step::Challenge { then, .. } = served(Client::new(SCRAM).start(&offer())) else {
            panic!()
        };
        assert_eq!(
            failure(then.respond(last.as_bytes())),
            SaslFailure::MalformedRequest,
            "{last:?}"
        );
    }
    // The proof is the last word.
    let Step::Challenge { data, then } = served(Client::new(SCRAM).start(&offer())) else {
        panic!()
    };
    let text = Client::new(SCRAM)
        .answer(std::str::from_utf8(&data).unwrap())
        .text();
    assert_eq!(
        failure(then.respond(format!("{text},x=y").as_bytes())),
        SaslFailure::MalformedRequest
    );
}

#[test]
fn commas_and_equals_signs_in_a_name_are_escaped() {
    // RFC 5802 §5.1; the account is a,b=c@example.org.
    let Step::NeedKeys(lookup) = offer().start(SCRAM.name(), Some(b"n,,n=a=2Cb=3Dc,r=abc")) else {
        panic!()
    };
    assert_eq!(*lookup.account(), "a,b=c@example.org");
}

#[test]
fn row_12_nobody_acts_for_another() {
    let scram = |gs2: &str| {
        Client {
            gs2: gs2.into(),
            ..Client::new(SCRAM)
        }
        .login(&offer())
    };
    let plain = |message: &str| served(offer().start("PLAIN", Some(message.as_bytes())));
    for other in [
        "bob@example.org",
        "alice@example.net",
        "alice",
        "example.org",
        "alice@example.org/x",
        "@",
        "=40",
    ] {
        let gs2 = format!("n,a={},", other.replace("=40", "=3D40"));
        assert_eq!(failure(scram(&gs2)), SaslFailure::InvalidAuthzid, "{other}");
        assert_eq!(
            failure(plain(&format!("{other}\0alice\0pencil"))),
            SaslFailure::InvalidAuthzid,
            "{other}"
        );
    }
    for own in ["alice@example.org", "Alice@EXAMPLE.org", "alice@example.org."] {
        assert_eq!(success(scram(&format!("n,a={own},"))).0, alice());
        assert_eq!(success(plain(&format!("{own}\0alice\0pencil"))).0, alice());
    }
}

#[test]
fn row_13_an_unknown_name_is_treated_like_a_known_one() {
    let challenge = |name: &str| {
        let client = Client {
            name: name.into(),
            ..Client::new(SCRAM)
        };
        let Step::Challenge { data, then } = served(client.start(&offer())) else {
            panic!()
        };
        let data = String::from_utf8(data).unwrap();
        let last = failure(then.respond(client.answer(&data).text().as_bytes()));
        (data, last)
    };
    let (nobody, outcome) = challenge("nobody");
    let (again, _) = challenge("nobody");
    assert_eq!(outcome, SaslFailure::NotAuthorized);
    // The salt of a name does not change from try to try, however it is spelled, and differs from name to name.
    let salt = |challenge: &str| Client::attribute(challenge, "s=").to_owned();
    assert_eq!(salt(&nobody), salt(&again));
    assert_eq!(salt(&nobody), salt(&challenge("NoBody").0));
    assert_ne!(salt(&nobody), salt(&challenge("somebody").0));
    // Same shape as for a real account.
    let real = Client {
        password: "wrong".into(),
        ..Client::new(SCRAM)
    };
    let Step::Challenge { data, .. } = served(real.start(&offer())) else {
        panic!()
    };
    let data = String::from_utf8(data).unwrap();
    assert_eq!(salt(&data).len(), salt(&nobody).len());
    assert_eq!(Client::attribute(&data, "i="), Client::attribute(&nobody, "i="));
    assert_eq!(data.len(), nobody.len());
}

#[test]
fn row_13_plain_does_the_same_work_for_an_unknown_name() {
    for name in ["alice", "nobody"] {
        let step = offer().start("PLAIN", Some(format!("\0{name}\0wrong").as_bytes()));
        // Keys are asked for and stretched in both cases; the iterations of the invented ones are those of new accounts.
        assert!(matches!(&step, Step::NeedKeys(lookup) if lookup.is_heavy()));
        assert_eq!(failure(served(step)), SaslFailure::NotAuthorized);
    }
}

#[test]
fn keys_of_another_hash_are_our_own_fault_not_the_clients() {
    let Step::NeedKeys(lookup) = Client::new(SCRAM).start(&offer()) else {
        panic!()
    };
    let sha1 = keys(lookup.account(), Hash::Sha1);
    assert_eq!(failure(lookup.supply(&sha1)), SaslFailure::TemporaryAuthFailure);
    // PLAIN takes what there is: accounts imported with SHA-1 keys alone can log in.
    let Step::NeedKeys(lookup) = offer().start("PLAIN", Some(b"\0alice\0pencil")) else {
        panic!()
    };
    assert_eq!(success(lookup.supply(&sha1)).0, alice());
}

/// Only a proof or a password that was checked and is wrong is a guess; whatever fails before is none, and neither is the right
/// proof on a wrong channel. An account that is not there is guessed at like any other.
#[test]
fn a_guess_is_what_was_checked_and_is_wrong() {
    let is_guess = |step: Step| match step {
        Step::Wrong => true,
        Step::Failure(_) => false,
        other => panic!("not a failure: {other:?}"),
    };
    let wrong = |name: &str| Client {
        name: name.into(),
        password: "guess".into(),
        ..Client::new(Mechanism::ScramSha256)
    };
    assert!(is_guess(wrong("alice").login(&unbound())));
    assert!(is_guess(wrong("nobody").login(&unbound())));
    let plain = |message: &[u8]| served(unbound().start("PLAIN", Some(message)));
    assert!(is_guess(plain(b"\0alice\0guess")));
    assert!(is_guess(plain(b"\0nobody\0guess")));
    assert!(!is_guess(plain(b"\0alice")));
    assert!(!is_guess(plain(b"bob@example.org\0alice\0pencil")));
    let start = |mechanism: &str, message: &[u8]| served(offer().start(mechanism, Some(message)));
    assert!(!is_guess(start("SCRAM-SHA-256-PLUS", b"n,,n=alice,r=abcdefgh")));
    assert!(!is_guess(start("SCRAM-SHA-256", b"y,,n=alice,r=abcdefgh")));
    assert!(!is_guess(start("KERBEROS_V4", b"")));
}
