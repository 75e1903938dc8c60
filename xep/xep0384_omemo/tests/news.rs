//! What owners hear of their devices.

use kim_core::accounts::Eraser;
use kim_core::db::Query;
use kim_core::module::Module;

use super::super::Omemo;
use super::super::api::Devices;
use super::super::bundle::Bundle;
use super::bundles::{LEGACY, TWO};
use super::*;
use kim_core::wire::Element;

/// How long nobody is told that a bundle of a new device list is missing.
const GRACE_SECONDS: u64 = 300;

fn fingerprint(protocol: Protocol, xml: &str) -> String {
    let bundle = Bundle::check(protocol, Element::parse(xml).unwrap().el(), 500).unwrap();
    bundle.fingerprint.to_string()
}

#[tokio::test]
async fn a_new_device_is_announced_to_the_others_once_with_its_fingerprint() {
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let wanted = fingerprint(Protocol::Legacy, LEGACY[0]);

    // Clients publish list and bundle in either order; with its keys it is a device.
    assert!(headlines(&publishes_list(&mut tablet, Protocol::Legacy, &[7]).await).is_empty());
    assert!(headlines(&everything(&mut phone)).is_empty());
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    let told = headlines(&everything(&mut phone));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("OMEMO device 7") && told[0].contains(&wanted),
        "{told:?}"
    );

    // The other version of the same device, and everything published again, is no news.
    publishes_bundle(&mut tablet, Protocol::Two, 7, TWO[0]).await;
    publishes_list(&mut tablet, Protocol::Two, &[7]).await;
    publishes_list(&mut tablet, Protocol::Legacy, &[]).await;
    publishes_list(&mut tablet, Protocol::Legacy, &[7]).await;
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    assert!(headlines(&everything(&mut phone)).is_empty());

    // Another identity under the same number is.
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[1]).await;
    let told = headlines(&everything(&mut phone));
    assert!(
        told.len() == 1 && told[0].contains(&fingerprint(Protocol::Legacy, LEGACY[1])),
        "{told:?}"
    );

    // So is one whose bundle is there before the list names it.
    assert!(headlines(&publishes_bundle(&mut phone, Protocol::Two, 8, TWO[1]).await).is_empty());
    publishes_list(&mut phone, Protocol::Two, &[7, 8]).await;
    let told = headlines(&everything(&mut tablet));
    assert!(told.len() == 1 && told[0].contains("OMEMO device 8"), "{told:?}");
    assert!(headlines(&everything(&mut bob)).is_empty());
}

#[tokio::test]
async fn alerts_can_be_switched_off_and_are_not_sent_to_who_is_not_there() {
    let house = house("[xep0384_omemo]\nalerts = false\n").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    publishes_list(&mut tablet, Protocol::Legacy, &[7]).await;
    assert!(headlines(&everything(&mut phone)).is_empty());

    let house = self::house("").await;
    let mut idle = house.connect("alice@localhost/idle").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    publishes_list(&mut tablet, Protocol::Legacy, &[7]).await;
    assert!(headlines(&everything(&mut idle)).is_empty());
}

#[tokio::test]
async fn a_missing_bundle_is_reported_once_a_day_to_its_owner_and_not_to_who_asked() {
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    for protocol in Protocol::ALL {
        publishes_list(&mut phone, protocol, &[7, 8]).await;
        publishes_bundle(
            &mut phone,
            protocol,
            8,
            if protocol == Protocol::Legacy {
                LEGACY[0]
            } else {
                TWO[0]
            },
        )
        .await;
        everything(&mut phone);
        house.clock.advance(GRACE_SECONDS);
        let item = (protocol == Protocol::Two).then_some("7");
        for day in 0..2 {
            for _ in 0..3 {
                let asked = fetch("alice@localhost", &protocol.bundle_node(7), item);
                let answer = answer(&mut bob, &asked, &mut Vec::new()).await;
                assert!(answer.contains("<item-not-found"), "{answer}");
            }
            let told = headlines(&everything(&mut phone));
            assert_eq!(told.len(), 1, "{protocol:?} on day {day}: {told:?}");
            assert!(told[0].contains("OMEMO device 7 of alice@localhost"));
            house.clock.advance(86_400);
        }
        // Not of a device that is there, or that nobody announced; and nobody learns which those are.
        for device in [8, 9] {
            let id = device.to_string();
            let item = (protocol == Protocol::Two).then_some(id.as_str());
            answer(
                &mut bob,
                &fetch("alice@localhost", &protocol.bundle_node(device), item),
                &mut Vec::new(),
            )
            .await;
        }
        assert!(headlines(&everything(&mut phone)).is_empty());
        assert!(headlines(&everything(&mut bob)).is_empty());
    }
    // Of an account that does not exist, as of a device that does not.
    let nobody = answer(
        &mut bob,
        &fetch("nobody@localhost", &Protocol::Legacy.bundle_node(7), None),
        &mut Vec::new(),
    )
    .await;
    assert!(nobody.contains("type='error'"), "{nobody}");
}

#[tokio::test]
async fn a_first_login_raises_no_alarm_about_its_own_bundle() {
    let house = house("").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let mut dino = house.online("alice@localhost/dino").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    for protocol in Protocol::ALL {
        // Dino puts its device on the list, asks whether its bundle is there, and publishes it because it is not.
        publishes_list(&mut dino, protocol, &[7]).await;
        let item = (protocol == Protocol::Two).then_some("7");
        let asked = fetch("alice@localhost", &protocol.bundle_node(7), item);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        assert!(
            answer(&mut dino, &asked, &mut own)
                .await
                .contains("<item-not-found")
        );
        // A contact who has just heard of the list is as early.
        assert!(
            answer(&mut bob, &asked, &mut others)
                .await
                .contains("<item-not-found")
        );
        own.extend(everything(&mut tablet));
        own.extend(everything(&mut dino));
        assert!(headlines(&own).is_empty(), "{protocol:?}: {own:?}");

        // However long it takes, the account's own question is none that others ask.
        house.clock.advance(GRACE_SECONDS);
        for own in [&mut dino, &mut tablet] {
            let mut rest = Vec::new();
            answer(own, &asked, &mut rest).await;
            assert!(headlines(&rest).is_empty(), "{protocol:?}: {rest:?}");
        }
        assert!(headlines(&everything(&mut tablet)).is_empty());
        // Others who still find nothing are a reason to say so.
        answer(&mut bob, &asked, &mut others).await;
        assert_eq!(headlines(&everything(&mut tablet)).len(), 1, "{protocol:?}");
        everything(&mut dino);
    }
}

#[tokio::test]
async fn the_operator_is_shown_what_is_published() {
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    publishes_list(&mut phone, Protocol::Legacy, &[7, 9]).await;
    publishes_list(&mut phone, Protocol::Two, &[7]).await;
    publishes_bundle(&mut phone, Protocol::Legacy, 7, LEGACY[1]).await;
    publishes_bundle(&mut phone, Protocol::Two, 7, TWO[1]).await;
    let devices = house.router.fact::<Devices>().unwrap();
    let shown = devices.of(&house.router, &phone.session.account).await.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (shown[0].id, shown[0].versions.as_slice(), shown[0].prekeys),
        (7, ["0.3", "2"].as_slice(), 100)
    );
    assert_eq!(
        shown[0].fingerprint,
        Some(fingerprint(Protocol::Legacy, LEGACY[1]))
    );
    assert!(shown[0].since.is_some_and(|since| since < house.clock.now()));
    assert_eq!(
        (shown[1].id, shown[1].fingerprint.clone(), shown[1].prekeys),
        (9, None, 0)
    );
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_is_removed() {
    let erasers: &[Eraser] = Omemo::ERASERS;
    assert_eq!(erasers.len(), 1);
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    publishes_list(&mut phone, Protocol::Legacy, &[7, 8]).await;
    publishes_bundle(&mut phone, Protocol::Legacy, 7, LEGACY[0]).await;
    house.clock.advance(GRACE_SECONDS);
    answer(
        &mut bob,
        &fetch("alice@localhost", &Protocol::Legacy.bundle_node(8), None),
        &mut Vec::new(),
    )
    .await;
    let count = async || {
        let mut rows = 0;
        for sql in [
            "SELECT owner FROM omemo_devices",
            "SELECT owner FROM omemo_reports",
        ] {
            rows += house.db.fetch_all(Query::new(sql)).await.unwrap().len();
        }
        rows
    };
    assert_eq!(count().await, 2);
    house.router.erase_account(&phone.session.account).await.unwrap();
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn keys_that_were_there_before_are_learnt_in_silence() {
    // The module was disabled, or the keys were imported: what is known is empty.
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    house
        .db
        .write(|tx| Box::pin(async move { tx.execute(Query::new("DELETE FROM omemo_devices")).await }))
        .await
        .unwrap();
    everything(&mut phone);
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[0]).await;
    assert!(headlines(&everything(&mut phone)).is_empty());
    publishes_bundle(&mut tablet, Protocol::Legacy, 7, LEGACY[1]).await;
    assert_eq!(headlines(&everything(&mut phone)).len(), 1);
}

#[tokio::test]
async fn who_is_away_is_told_of_a_missing_bundle_later() {
    let house = house("").await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    publishes_list(&mut phone, Protocol::Legacy, &[7]).await;
    house.clock.advance(GRACE_SECONDS);
    phone.disconnect().await;
    let asked = fetch("alice@localhost", &Protocol::Legacy.bundle_node(7), None);
    answer(&mut bob, &asked, &mut Vec::new()).await;
    let mut phone = house.online("alice@localhost/phone").await;
    assert!(headlines(&everything(&mut phone)).is_empty());
    answer(&mut bob, &asked, &mut Vec::new()).await;
    assert_eq!(headlines(&everything(&mut phone)).len(), 1);
}
