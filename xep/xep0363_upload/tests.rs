//! Slots, quotas, expiry and erasure, without a web.

use kim_core::db::{DbError, Query};
use kim_core::jid::BareJid;
use kim_core::module::Entry;
use kim_core::testing::House;

use super::Upload;
use super::api::{ContentKey, Purpose, UploadRefusal, UploadWish, Uploads};
use crate::rfc6121_im::Im;
use crate::xep0004_forms::DataForms;
use crate::xep0030_disco::Disco;
use crate::xep0059_rsm::ResultSets;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<DataForms>(),
    Entry::of::<ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<Upload>(),
];

fn wish(bytes: u64) -> UploadWish<'static> {
    UploadWish {
        name: "a b.png",
        bytes,
        media_type: Some("image/png"),
        purpose: Purpose::Message,
        is_guest: false,
    }
}

fn uploads(house: &House) -> std::sync::Arc<Uploads> {
    house.router.fact::<Uploads>().unwrap()
}

/// Id, name and token of an address to put to.
fn parts(put: &str) -> (String, String, String) {
    let rest = put.strip_prefix("https://localhost:5443/upload/").unwrap();
    let (path, token) = rest.split_once("?slot=").unwrap();
    let (id, name) = path.split_once('/').unwrap();
    (id.to_owned(), name.replace("%20", " "), token.to_owned())
}

/// Uploads a file as the web's door would.
async fn store(uploads: &Uploads, account: &BareJid, wish: UploadWish<'_>) -> Result<String, UploadRefusal> {
    let offer = uploads.offer(account, wish).await?;
    let (id, name, token) = parts(&offer.put);
    let slot = uploads.slot(&id, &name, &token).await?.expect("a slot");
    let object = uploads.begin(&slot).await?;
    uploads.finish(&slot, &object, Some(&ContentKey([7; 32]))).await?;
    Ok(id)
}

async fn rows(house: &House, table: &'static str) -> i64 {
    let row = house.db.fetch_optional(Query::new(table)).await.unwrap().unwrap();
    row.i64(0).unwrap()
}

const FILES: &str = "SELECT COUNT(*) FROM upload_files";
const DAYS: &str = "SELECT COUNT(*) FROM upload_days";

#[tokio::test]
async fn a_slot_is_good_for_one_file_of_one_name_and_for_a_while() {
    let house = House::new(MODULES).await;
    let alice = house.account("alice@localhost").await;
    let uploads = uploads(&house);
    let offer = uploads.offer(&alice, wish(1_000)).await.unwrap();
    assert!(offer.get.ends_with("/a%20b.png") && offer.put.starts_with(&offer.get));
    let (id, name, token) = parts(&offer.put);
    let slot = uploads.slot(&id, &name, &token).await.unwrap().unwrap();
    assert_eq!((slot.bytes, slot.account.clone()), (1_000, alice.clone()));
    // docs/security.md, row 24: the token covers path, size and type.
    let other = if token.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{other}{}", &token[1..]);
    for (id, name, token) in [
        (id.as_str(), "other.html", token.as_str()),
        ("another", &name, &token),
        (&id, &name, &changed),
        (&id, &name, ""),
        (&id, &name, "ÿ"),
    ] {
        assert!(uploads.slot(id, name, token).await.unwrap().is_none());
    }
    let object = uploads.begin(&slot).await.unwrap();
    uploads.finish(&slot, &object, None).await.unwrap();
    assert!(matches!(uploads.begin(&slot).await, Err(UploadRefusal::Used)));
    assert!(matches!(
        uploads.finish(&slot, "other", None).await,
        Err(UploadRefusal::Used)
    ));
    let file = uploads.find(&id).await.unwrap().unwrap();
    assert_eq!(
        (file.name.as_str(), file.bytes, file.key),
        ("a b.png", 1_000, None)
    );
    house.clock.advance(301);
    assert!(uploads.slot(&id, &name, &token).await.unwrap().is_none());
}

#[tokio::test]
async fn an_account_has_so_much_in_all_and_so_much_a_day() {
    let toml = "[xep0363_upload]\naccount_bytes_max = 3000\nday_bytes_max = 2000\n";
    let house = House::configured(MODULES, toml).await;
    let (alice, bob) = (
        house.account("alice@localhost").await,
        house.account("bob@localhost").await,
    );
    let uploads = uploads(&house);
    let first = store(&uploads, &alice, wish(1_500)).await.unwrap();
    let Err(UploadRefusal::Quota {
        retry: Some(tomorrow),
    }) = store(&uploads, &alice, wish(1_000)).await
    else {
        panic!("too much for a day");
    };
    // Deleting gives room, but not the day's.
    assert!(!uploads.delete(&bob, &first).await.unwrap(), "somebody else's");
    assert!(uploads.delete(&alice, &first).await.unwrap());
    assert!(matches!(
        store(&uploads, &alice, wish(1_000)).await,
        Err(UploadRefusal::Quota { .. })
    ));
    house.clock.advance(tomorrow.seconds_since(house.clock.now()) + 1);
    for _ in 0..2 {
        store(&uploads, &alice, wish(1_000)).await.unwrap();
    }
    house.clock.advance(86_400);
    store(&uploads, &alice, wish(1_000)).await.unwrap();
    let Err(UploadRefusal::Quota { retry: None }) = store(&uploads, &alice, wish(1_000)).await else {
        panic!("too much in all");
    };
    // Two slots that were given before either was used do not get past it.
    let one = uploads.offer(&bob, wish(1_500)).await.unwrap();
    store(&uploads, &bob, wish(1_500)).await.unwrap();
    let (id, name, token) = parts(&one.put);
    let slot = uploads.slot(&id, &name, &token).await.unwrap().unwrap();
    assert!(matches!(
        uploads.begin(&slot).await,
        Err(UploadRefusal::Quota { .. })
    ));
    assert!(matches!(
        uploads.finish(&slot, "x", None).await,
        Err(UploadRefusal::Quota { .. })
    ));
}

#[tokio::test]
async fn files_expire_by_their_purpose() {
    // §5
    let house = House::configured(MODULES, "[xep0363_upload]\npermanent = true\n").await;
    let alice = house.account("alice@localhost").await;
    let uploads = uploads(&house);
    let mut ids = Vec::new();
    let soon = kim_core::clock::Timestamp(house.clock.now().0 + 3_600 * 1_000_000);
    for purpose in [
        Purpose::Message,
        Purpose::Ephemeral(soon),
        Purpose::Profile,
        Purpose::Permanent,
    ] {
        ids.push(
            store(&uploads, &alice, UploadWish { purpose, ..wish(10) })
                .await
                .unwrap(),
        );
    }
    let there = async || {
        let mut there = Vec::new();
        for id in &ids {
            there.push(uploads.find(id).await.unwrap().is_some());
        }
        there
    };
    house.clock.advance(3_601);
    assert_eq!(there().await, [true, false, true, true]);
    house.clock.advance(31 * 86_400);
    assert_eq!(there().await, [false, false, true, true]);
    assert_eq!(uploads.expire().await.unwrap(), 2);
    assert_eq!(uploads.waste(10).await.unwrap().len(), 2);
    assert_eq!(rows(&house, DAYS).await, 0);
    let over = Purpose::Ephemeral(soon);
    let late = uploads
        .offer(
            &alice,
            UploadWish {
                purpose: over,
                ..wish(10)
            },
        )
        .await;
    assert!(matches!(late, Err(UploadRefusal::Impossible(_))));
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = House::new(MODULES).await;
    let (alice, bob) = (
        house.account("alice@localhost").await,
        house.account("bob@localhost").await,
    );
    let uploads = uploads(&house);
    for account in [&alice, &alice, &bob] {
        store(&uploads, account, wish(10)).await.unwrap();
    }
    assert_eq!(uploads.list(&alice, None, 10).await.unwrap().len(), 2);
    house.router.erase_account(&alice).await.unwrap();
    assert_eq!((rows(&house, FILES).await, rows(&house, DAYS).await), (1, 1));
    let waste = uploads.waste(10).await.unwrap();
    assert_eq!(waste.len(), 2);
    for object in waste {
        uploads.wasted(&object, true).await.unwrap();
    }
    assert!(uploads.waste(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_never_became_a_file_is_waste() {
    let house = House::new(MODULES).await;
    let alice = house.account("alice@localhost").await;
    let uploads = uploads(&house);
    let offer = uploads.offer(&alice, wish(10)).await.unwrap();
    let (id, name, token) = parts(&offer.put);
    let slot = uploads.slot(&id, &name, &token).await.unwrap().unwrap();
    let object = uploads.begin(&slot).await.unwrap();
    assert!(uploads.waste(10).await.unwrap().is_empty(), "it may be under way");
    house.clock.advance(86_401);
    assert_eq!(uploads.waste(10).await.unwrap(), [object]);
}

#[tokio::test]
async fn a_file_whose_commit_is_not_known_keeps_its_object() {
    let house = House::new(MODULES).await;
    let alice = house.account("alice@localhost").await;
    let uploads = uploads(&house);
    assert!(matches!(
        UploadRefusal::from(DbError::OutcomeUnknown),
        UploadRefusal::Unknown
    ));
    let mut objects = Vec::new();
    for is_stored in [true, false] {
        let offer = uploads.offer(&alice, wish(10)).await.unwrap();
        let (id, name, token) = parts(&offer.put);
        let slot = uploads.slot(&id, &name, &token).await.unwrap().unwrap();
        objects.push(uploads.begin(&slot).await.unwrap());
        if is_stored {
            uploads.finish(&slot, &objects[0], None).await.unwrap();
        }
    }
    // Nobody does anything about either: in a day the one without a file is waste, and the other is not.
    house.clock.advance(86_401);
    assert_eq!(uploads.waste(10).await.unwrap(), [objects[1].clone()]);
}

#[tokio::test]
async fn slots_have_a_rate() {
    // §6
    let house = House::configured(MODULES, "[xep0363_upload]\nslots_per_minute = 2\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    let request = "<iq id='u' type='get' to='upload.localhost'>\
                   <request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/></iq>";
    for is_given in [true, true, false] {
        alice.send(request).await;
        let answer = alice.next().unwrap();
        assert_eq!(answer.contains("<slot"), is_given, "{answer}");
        if !is_given {
            for part in [
                "<error type='wait'",
                "<resource-constraint",
                "<retry xmlns='urn:xmpp:http:upload:0' stamp='",
            ] {
                assert!(answer.contains(part), "{answer}");
            }
        }
    }
    bob.send(request).await;
    assert!(bob.next().unwrap().contains("<slot"), "his own");
    house.clock.advance(30);
    alice.send(request).await;
    assert!(alice.next().unwrap().contains("<slot"));
}

#[tokio::test]
async fn guests_are_shown_uploads_where_they_may_upload() {
    let items = |to: &str| {
        format!(
            "<iq id='i' type='get' to='{to}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
        )
    };
    let info = "<iq id='d' type='get' to='upload.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    for may in [false, true] {
        let house = House::configured(MODULES, &format!("[xep0363_upload]\nguests = {may}\n")).await;
        let mut guest = house.guest("somebody@guest.localhost/web").await;
        for domain in ["localhost", "guest.localhost"] {
            guest.send(&items(domain)).await;
            let answer = guest.next().unwrap();
            assert!(answer.contains("type='result'"), "{answer}");
            assert_eq!(answer.contains("upload.localhost"), may, "{answer}");
        }
        guest.send(info).await;
        let answer = guest.next().unwrap();
        assert_eq!(answer.contains("urn:xmpp:http:upload:0"), may, "{answer}");
        let mut alice = house.connect("alice@localhost/phone").await;
        alice.send(&items("localhost")).await;
        assert!(alice.next().unwrap().contains("upload.localhost"));
        alice.send(info).await;
        assert!(alice.next().unwrap().contains("urn:xmpp:http:upload:0"));
    }
}

#[tokio::test]
async fn who_may_not_and_what_makes_no_sense() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut guest = house.guest("somebody@guest.localhost/web").await;
    let request = |attributes: &str| {
        format!(
            "<iq id='u' type='get' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' {attributes}/></iq>"
        )
    };
    for (attributes, condition) in [
        ("", "bad-request"),
        ("filename='a'", "bad-request"),
        ("filename='a' size='-1'", "bad-request"),
        ("filename='a' size='1.5'", "bad-request"),
        ("filename='a' size='99999999999999999999999'", "bad-request"),
        ("filename='a' size='0'", "bad-request"),
        (
            "filename='a' size='1' content-type='text/html&#xA;X: y'",
            "bad-request",
        ),
        ("filename='a' size='104857601'", "not-acceptable"),
    ] {
        alice.send(&request(attributes)).await;
        let answer = alice.next().unwrap();
        assert!(answer.contains(condition), "{attributes}: {answer}");
    }
    guest.send(&request("filename='a' size='1'")).await;
    let answer = guest.next().unwrap();
    assert!(answer.contains("<forbidden"), "{answer}");
}

#[tokio::test]
async fn guests_leave_no_keys_behind() {
    let toml = "[registration]\nguests = true\n[xep0363_upload]\nguests = true\n";
    let house = House::configured(MODULES, toml).await;
    let uploads = uploads(&house);
    for guest in ["one@guest.localhost", "two@guest.localhost"] {
        let guest = BareJid::parse(guest).unwrap();
        let wish = UploadWish {
            is_guest: true,
            ..wish(1_000)
        };
        let id = store(&uploads, &guest, wish).await.unwrap();
        assert_eq!(uploads.find(&id).await.unwrap().unwrap().name, "a b.png");
    }
    let owners = house
        .db
        .fetch_all(Query::new("SELECT owner FROM kim_data_keys ORDER BY owner"));
    let owners: Vec<_> = owners
        .await
        .unwrap()
        .iter()
        .map(|row| row.text(0).unwrap())
        .collect();
    assert_eq!(owners, ["upload guests", "upload slots"]);
}

#[tokio::test]
async fn a_damaged_file_hides_no_other() {
    let house = House::new(MODULES).await;
    let alice = house.account("alice@localhost").await;
    let uploads = uploads(&house);
    let first = store(&uploads, &alice, wish(1_000)).await.unwrap();
    let second = store(&uploads, &alice, wish(2_000)).await.unwrap();
    let damage = Query::new("UPDATE upload_files SET meta = $1 WHERE id = $2");
    house
        .db
        .execute(damage.bind(b"broken").bind(&first))
        .await
        .unwrap();
    let listed = uploads.list(&alice, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|file| &file.id).collect::<Vec<_>>(), [&second]);
}
