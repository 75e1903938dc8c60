//! What remains of activity when accounts and rooms go.

use kim_core::db::Query;
use kim_core::testing::House;

const ROOM: &str = "coven@conference.localhost";

async fn rows(house: &House) -> usize {
    let rows = house.db.fetch_all(Query::new("SELECT room FROM room_left")).await;
    rows.unwrap().len()
}

#[tokio::test]
async fn nothing_remains_of_an_account_or_a_room_that_is_gone() {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    for room in [ROOM, "den@conference.localhost"] {
        for text in [
            format!("<presence to='{room}/a'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
            format!(
                "<iq id='c' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>"
            ),
            format!(
                "<iq id='p' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                 <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
                 <field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>"
            ),
            format!("<presence to='{room}/a' type='unavailable'/>"),
        ] {
            alice.send(&text).await;
        }
    }
    assert_eq!(rows(&house).await, 2);
    alice
        .send(&format!(
            "<iq id='x' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ))
        .await;
    assert_eq!(rows(&house).await, 1);
    alice.disconnect().await;
    let account = kim_core::jid::BareJid::parse("alice@localhost").unwrap();
    let erasers = [super::store::ERASE];
    house
        .db
        .write(move |tx| {
            let account = account.clone();
            Box::pin(async move {
                for eraser in erasers {
                    eraser(tx, &account).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
    assert_eq!(rows(&house).await, 0);
}
