//! Which messages come for which query (§4).

use super::*;

/// Alice with an archive of ten messages to Bob, `m0` to `m9`, and what a query for all gives.
async fn ten() -> (House, Client, Answer) {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    for n in 0..10 {
        say(&mut alice, "bob@localhost", &format!("m{n}")).await;
        house.clock.advance(60);
    }
    let all = ask(&mut alice, "").await;
    (house, alice, all)
}

#[tokio::test]
async fn an_empty_archive_is_complete_and_has_no_ends() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    for page in ["", "<set xmlns='http://jabber.org/protocol/rsm'><before/></set>"] {
        let answer = ask(&mut alice, page).await;
        assert!(answer.results.is_empty() && answer.is_complete());
        assert!(
            !answer.fin.contains("<first>") && answer.fin.contains("<set "),
            "{}",
            answer.fin
        );
    }
    alice
        .ask(
            "<iq id='m' type='get'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
            "<iq id='m' type='result'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
        )
        .await;
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    // §4.3.2
    let (_house, mut alice, all) = ten().await;
    assert_eq!(
        all.bodies(),
        ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"]
    );
    assert!(all.is_complete());
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = ask(&mut alice, &set(&format!("<max>3</max>{after}"))).await;
        assert!(page.fin.contains(&format!("<first>{}</first>", page.ids[0])));
        after = format!("<after>{}</after>", page.ids.last().unwrap());
        seen.extend(page.ids.clone());
        if page.is_complete() {
            break;
        }
        assert_eq!(page.ids.len(), 3);
    }
    assert_eq!(seen, all.ids);
    // A page that ends exactly where the archive ends is complete.
    let page = ask(
        &mut alice,
        &set(&format!("<max>3</max><after>{}</after>", all.ids[6])),
    )
    .await;
    assert_eq!((page.ids.as_slice(), page.is_complete()), (&all.ids[7..], true));
    let page = ask(
        &mut alice,
        &set(&format!("<max>3</max><after>{}</after>", all.ids[9])),
    )
    .await;
    assert!(page.ids.is_empty() && page.is_complete());
}

#[tokio::test]
async fn pages_go_backwards_from_the_end_oldest_first() {
    // §4.3.3
    let (_house, mut alice, all) = ten().await;
    let last = ask(&mut alice, &set("<max>4</max><before/>")).await;
    assert_eq!((last.ids.as_slice(), last.is_complete()), (&all.ids[6..], false));
    let before = |id: &str| set(&format!("<max>4</max><before>{id}</before>"));
    let middle = ask(&mut alice, &before(&last.ids[0])).await;
    assert_eq!(
        (middle.ids.as_slice(), middle.is_complete()),
        (&all.ids[2..6], false)
    );
    let first = ask(&mut alice, &before(&middle.ids[0])).await;
    assert_eq!((first.ids.as_slice(), first.is_complete()), (&all.ids[..2], true));
    let nothing = ask(&mut alice, &before(&first.ids[0])).await;
    assert!(nothing.ids.is_empty() && nothing.is_complete());
    // §4.3.4: a flipped page has the same messages, the newest first; its ends are those of the page.
    let flipped = ask(&mut alice, &format!("{}<flip-page/>", before(&last.ids[0]))).await;
    let mut ids = flipped.ids.clone();
    ids.reverse();
    assert_eq!(ids, middle.ids);
    assert!(flipped.fin.contains(&format!(
        "<first>{}</first><last>{}</last>",
        all.ids[2], all.ids[5]
    )));
}

#[tokio::test]
async fn the_form_narrows_what_is_found() {
    // §4.1
    let (house, mut alice, all) = ten().await;
    let mut carol = house.online("carol@localhost/x").await;
    say(&mut carol, "alice@localhost", "from carol").await;
    say(&mut alice, "alice@localhost", "to myself").await;
    let with = async |alice: &mut Client, jid: &str| ask(alice, &form(&[("with", jid)])).await;
    assert_eq!(with(&mut alice, "bob@localhost").await.ids, all.ids);
    assert_eq!(with(&mut alice, "carol@localhost").await.bodies(), ["from carol"]);
    assert_eq!(
        with(&mut alice, "carol@localhost/x").await.bodies(),
        ["from carol"]
    );
    assert!(with(&mut alice, "carol@localhost/y").await.ids.is_empty());
    // §4.1.1: with oneself is only what one wrote to oneself.
    assert_eq!(with(&mut alice, "alice@localhost").await.bodies(), ["to myself"]);
    assert_eq!(
        with(&mut alice, "alice@localhost/phone").await.bodies(),
        ["to myself"]
    );

    // §4.1.2: both ends belong to it.
    let stamp = |at: usize| {
        all.results[at]
            .split("stamp='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    let between = form(&[("start", &stamp(2)), ("end", &stamp(4))]);
    assert_eq!(ask(&mut alice, &between).await.ids, all.ids[2..=4]);
    let with_page = format!(
        "{}{}",
        form(&[("start", &stamp(2)), ("with", "bob@localhost")]),
        set("<max>1</max><before/>")
    );
    assert_eq!(ask(&mut alice, &with_page).await.bodies(), ["m9"]);

    // §4.1.3: neither end belongs to it.
    let between = form(&[("after-id", &all.ids[2]), ("before-id", &all.ids[5])]);
    assert_eq!(ask(&mut alice, &between).await.ids, all.ids[3..5]);
    let paged = format!(
        "{between}{}",
        set(&format!("<max>1</max><after>{}</after>", all.ids[3]))
    );
    let page = ask(&mut alice, &paged).await;
    assert_eq!((page.ids.as_slice(), page.is_complete()), (&all.ids[4..5], true));
    let nothing = form(&[("after-id", &all.ids[5]), ("before-id", &all.ids[2])]);
    assert!(ask(&mut alice, &nothing).await.ids.is_empty());

    // Some by their ids, in the order of the archive.
    let some = |ids: &[&String]| {
        let values: String = ids.iter().map(|id| format!("<value>{id}</value>")).collect();
        form(&[]).replace("</x>", &format!("<field var='ids'>{values}</field></x>"))
    };
    let page = ask(&mut alice, &some(&[&all.ids[7], &all.ids[1], &all.ids[7]])).await;
    assert_eq!((page.bodies(), page.is_complete()), (vec!["m1", "m7"], true));
    let page = ask(
        &mut alice,
        &format!(
            "{}{}",
            some(&[&all.ids[7], &all.ids[1]]),
            set("<max>1</max><before/>")
        ),
    )
    .await;
    assert_eq!((page.bodies(), page.is_complete()), (vec!["m7"], false));
}

#[tokio::test]
async fn ids_that_are_not_there_are_item_not_found() {
    // §4.1.3, §4.3.2
    let (house, mut alice, all) = ten().await;
    let mut bob = house.online("bob@localhost/x").await;
    let of_bob = ask(&mut bob, "").await.ids[0].clone();
    // Well formed, but of nothing: the last character stands for two bits only.
    let mut altered = all.ids[0].clone();
    altered.replace_range(3..4, if &altered[3..4] == "a" { "b" } else { "a" });
    for wrong in ["x", "09af3-cc343-b409f", &of_bob, &altered] {
        for query in [
            set(&format!("<after>{wrong}</after>")),
            set(&format!("<before>{wrong}</before>")),
            form(&[("after-id", wrong)]),
            form(&[("before-id", wrong)]),
            form(&[("ids", wrong)]),
        ] {
            let answer = ask(&mut alice, &query).await;
            assert!(
                answer.ids.is_empty() && answer.fin.contains("<item-not-found "),
                "{query}: {}",
                answer.fin
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused() {
    let (_house, mut alice, _) = ten().await;
    for (query, condition) in [
        (
            form(&[("{http://example.com/}mood", "lonely")]),
            "feature-not-implemented",
        ),
        (form(&[("include-groupchat", "true")]), "feature-not-implemented"),
        (form(&[("start", "yesterday")]), "bad-request"),
        (form(&[("with", "@")]), "jid-malformed"),
        (form(&[]).replace("urn:xmpp:mam:2", "urn:other"), "bad-request"),
        (form(&[]).replace("submit", "form"), "bad-request"),
        (set("<max>many</max>"), "bad-request"),
        (set("<max>-1</max>"), "bad-request"),
        (set("<index>3</index>"), "feature-not-implemented"),
        (
            form(&[]).replace(
                "</x>",
                &format!("<field var='ids'>{}</field></x>", "<value>x</value>".repeat(101)),
            ),
            "resource-constraint",
        ),
    ] {
        let answer = ask(&mut alice, &query).await;
        assert!(
            answer.fin.contains(&format!("<{condition} ")),
            "{query}: {}",
            answer.fin
        );
    }
    alice
        .send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' node='x'/></iq>")
        .await;
    assert!(alice.next().unwrap().contains("<item-not-found "));
    // Fields without a value ask for nothing.
    assert_eq!(
        ask(&mut alice, &form(&[("with", ""), ("start", "")]))
            .await
            .ids
            .len(),
        10
    );
}

#[tokio::test]
async fn a_count_is_told_where_it_is_asked_for() {
    // XEP-0059 §2.7
    let (_house, mut alice, _) = ten().await;
    let answer = ask(&mut alice, &set("<max>0</max>")).await;
    assert!(answer.ids.is_empty() && answer.fin.contains("<count>10</count>") && !answer.is_complete());
    let none = format!("{}{}", form(&[("with", "nobody@localhost")]), set("<max>0</max>"));
    let answer = ask(&mut alice, &none).await;
    assert!(answer.fin.contains("<count>0</count>") && answer.is_complete());
}

#[tokio::test]
async fn a_page_has_a_longest_length_in_messages_and_bytes() {
    let house = House::configured(MODULES, "[xep0313_mam]\npage_messages_max = 10\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    for n in 0..12 {
        say(&mut alice, "bob@localhost", &format!("m{n}")).await;
    }
    let page = ask(&mut alice, &set("<max>100</max>")).await;
    assert_eq!((page.ids.len(), page.is_complete()), (10, false));
    // Half of what the client's outbox holds.
    let long = "x".repeat(200_000);
    for _ in 0..4 {
        say(&mut alice, "bob@localhost", &long).await;
    }
    let page = ask(&mut alice, &set("<before/>")).await;
    assert_eq!((page.ids.len(), page.is_complete()), (2, false));
    let next = ask(&mut alice, &set(&format!("<before>{}</before>", page.ids[0]))).await;
    assert!(next.ids.len() >= 2 && !next.ids.contains(&page.ids[0]));
    // Who does not read what came gets no more.
    alice.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><before/></set></query></iq>").await;
    alice.send("<iq type='set' id='again'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><before/></set></query></iq>").await;
    assert!(!alice.session.outbox.is_closed());
    let mut answers = Vec::new();
    while let Some(stanza) = alice.next() {
        answers.extend(stanza.starts_with("<iq").then_some(stanza));
    }
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn the_form_and_the_features_are_told() {
    // §4.1.5, §7
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .send("<iq type='get' id='f'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    let fields = alice.next().unwrap();
    for var in ["with", "start", "end", "before-id", "after-id", "ids"] {
        assert!(fields.contains(&format!("var='{var}'")), "{fields}");
    }
    alice.send("<iq type='get' id='d' to='alice@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>").await;
    let info = alice.next().unwrap();
    for feature in [
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:sid:0",
        "urn:xmpp:message-retract:1#tombstone",
    ] {
        assert!(info.contains(&format!("<feature var='{feature}'/>")), "{info}");
    }
}

#[tokio::test]
async fn the_metadata_are_the_ends() {
    // §5
    let (_house, mut alice, all) = ten().await;
    alice
        .send("<iq id='m' type='get'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    let metadata = alice.next().unwrap();
    let place = |name: &str, id: &str| format!("<{name} id='{id}' timestamp='2026-01-31T12:0");
    assert!(
        metadata.contains(&place("start", &all.ids[0])) && metadata.contains(&place("end", &all.ids[9])),
        "{metadata}"
    );
}

#[tokio::test]
async fn times_at_the_edge_are_as_far_as_there_are_messages() {
    // XEP-0082 §3: clients that mean "all" write the first and the last time that there is.
    let (_house, mut alice, whole) = ten().await;
    for (start, end, wanted) in [
        ("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 10),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999999Z", 10),
        ("0000-01-01T00:00:00+12:00", "9999-12-31T23:59:60-12:00", 10),
        ("1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", 10),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", 0),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", 0),
    ] {
        let answer = ask(&mut alice, &form(&[("start", start), ("end", end)])).await;
        assert_eq!(answer.ids.len(), wanted, "{start} to {end}: {}", answer.fin);
        assert!(answer.is_complete());
    }
    for wrong in [
        "9999-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "tomorrow",
        "10000-01-01T00:00:00Z",
    ] {
        let answer = ask(&mut alice, &form(&[("end", wrong)])).await;
        assert!(answer.fin.contains("<bad-request"), "{wrong}: {}", answer.fin);
    }
    for max in ["4294967296", "99999999999", "99999999999999999999999999"] {
        let answer = ask(&mut alice, &set(&format!("<max>{max}</max>"))).await;
        assert_eq!(answer.ids, whole.ids, "{max}");
    }
    for max in ["-1", "", "many", "1.0"] {
        let answer = ask(&mut alice, &set(&format!("<max>{max}</max>"))).await;
        assert!(answer.fin.contains("<bad-request"), "{max}: {}", answer.fin);
    }
}
