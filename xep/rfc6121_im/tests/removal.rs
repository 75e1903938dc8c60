//! The end of an account: contacts are told, nothing stays behind.

use kim_core::jid::BareJid;

use super::{friends, houses, rows};

#[tokio::test]
async fn contacts_are_told_and_nothing_stays() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let mut bob = house.online("bob@localhost/b").await;
        let mut carol = house.online("carol@localhost/c").await;
        let mut dan = house.online("dan@localhost/d").await;
        friends(&mut alice, &mut bob).await;
        // Carol waits for alice's answer; alice for that of erin, who does not exist; dan was shown presence.
        carol
            .send("<presence to='alice@localhost' type='subscribe'/>")
            .await;
        alice
            .send("<presence to='erin@localhost' type='subscribe'/>")
            .await;
        alice.send("<presence to='dan@localhost/d'/>").await;
        for client in [&mut alice, &mut bob, &mut carol, &mut dan] {
            client.skip();
        }
        let account = BareJid::parse("alice@localhost").unwrap();
        house.router.erase_account(&account).await.unwrap();

        bob.expect_all(&[
            "<presence from='alice@localhost/a' to='bob@localhost' type='unavailable'/>",
            "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='alice@localhost' subscription='to'/></query></iq>",
            "<presence from='alice@localhost' to='bob@localhost' type='unsubscribe'/>",
            "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='alice@localhost' subscription='none'/></query></iq>",
            "<presence from='alice@localhost' to='bob@localhost' type='unsubscribed'/>",
        ]);
        carol.expect_all(&[
            "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='alice@localhost' subscription='none'/></query></iq>",
            "<presence from='alice@localhost' type='unsubscribed'/>",
        ]);
        dan.expect("<presence from='alice@localhost/a' to='dan@localhost/d' type='unavailable'/>");
        alice.disconnect().await;
        for client in [&mut bob, &mut carol, &mut dan] {
            client.expect_nothing();
        }
        for table in [
            "SELECT COUNT(*) FROM im_roster WHERE account = $1",
            "SELECT COUNT(*) FROM im_roster_versions WHERE account = $1",
            "SELECT COUNT(*) FROM im_roster_removed WHERE account = $1",
            "SELECT COUNT(*) FROM im_offline WHERE account = $1",
        ] {
            assert_eq!(rows(&house, table, "alice@localhost").await, 0, "{table}");
        }
    }
}

/// The erasers take what is there even if nobody said goodbye (an account removed by hand, a crash between the two).
#[tokio::test]
async fn the_erasers_know_every_table() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        let bob = house.online("bob@localhost/b").await;
        for item in ["carol", "dan"] {
            alice
                .send(&format!("<iq id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='{item}@localhost'/></query></iq>"))
                .await;
        }
        alice
            .send("<iq id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='dan@localhost' subscription='remove'/></query></iq>")
            .await;
        alice.disconnect().await;
        let mut bob = bob;
        bob.send("<message to='alice@localhost' type='chat'><body>x</body></message>")
            .await;
        let erasers = [
            crate::rfc6121_im::store::roster::erase,
            crate::rfc6121_im::store::offline::erase,
        ];
        let tables = [
            "SELECT COUNT(*) FROM im_roster WHERE account = $1",
            "SELECT COUNT(*) FROM im_roster_versions WHERE account = $1",
            "SELECT COUNT(*) FROM im_roster_removed WHERE account = $1",
            "SELECT COUNT(*) FROM im_offline WHERE account = $1",
        ];
        for table in tables {
            assert_eq!(rows(&house, table, "alice@localhost").await, 1, "{table}");
        }
        let account = BareJid::parse("alice@localhost").unwrap();
        let erasers: Vec<kim_core::accounts::Eraser> = erasers.to_vec();
        house.router.accounts().delete(&account, &erasers).await.unwrap();
        for table in tables {
            assert_eq!(rows(&house, table, "alice@localhost").await, 0, "{table}");
        }
    }
}

/// Everything of the account's own goes in the transaction that removes it: if that fails, all of it is still there.
#[tokio::test]
async fn a_removal_that_fails_leaves_nothing_half() {
    for (_db, house) in houses("").await {
        let mut alice = house.online("alice@localhost/a").await;
        for item in ["carol", "dan"] {
            let roster = "<query xmlns='jabber:iq:roster'>";
            alice
                .send(&format!(
                    "<iq id='s' type='set'>{roster}<item jid='{item}@localhost'/></query></iq>"
                ))
                .await;
        }
        alice.disconnect().await;
        let mut bob = house.online("bob@localhost/b").await;
        bob.send("<message to='alice@localhost' type='chat'><body>x</body></message>")
            .await;
        let account = BareJid::parse("alice@localhost").unwrap();
        let counts = async || {
            let mut all = Vec::new();
            for table in [
                "SELECT COUNT(*) FROM accounts WHERE account = $1",
                "SELECT COUNT(*) FROM account_keys WHERE account = $1",
                "SELECT COUNT(*) FROM im_roster WHERE account = $1",
                "SELECT COUNT(*) FROM im_roster_versions WHERE account = $1",
                "SELECT COUNT(*) FROM im_offline WHERE account = $1",
            ] {
                all.push(rows(&house, table, "alice@localhost").await);
            }
            all
        };
        let before = counts().await;
        assert_eq!(before, [1, 2, 2, 1, 1]);
        // The last step of the transaction cannot be done.
        let rename = |sql| house.db.execute(kim_core::db::Query::new(sql));
        rename("ALTER TABLE kim_data_keys RENAME TO away").await.unwrap();
        assert!(house.router.erase_account(&account).await.is_err());
        assert_eq!(counts().await, before);
        rename("ALTER TABLE away RENAME TO kim_data_keys").await.unwrap();
        house.router.erase_account(&account).await.unwrap();
        assert_eq!(counts().await, [0; 5]);
    }
}

#[tokio::test]
async fn a_damaged_contact_costs_only_itself() {
    for (_db, house) in houses("").await {
        let mut alice = house.connect("alice@localhost/a").await;
        for item in ["carol", "dan"] {
            let roster = "<query xmlns='jabber:iq:roster'>";
            alice
                .send(&format!(
                    "<iq id='s' type='set'>{roster}<item jid='{item}@localhost'/></query></iq>"
                ))
                .await;
        }
        alice.disconnect().await;
        let damage = "UPDATE im_roster SET contact = 'no @ddress' WHERE contact = 'carol@localhost'";
        house.db.execute(kim_core::db::Query::new(damage)).await.unwrap();
        // As after a restart: nothing of it is in memory.
        let account = BareJid::parse("alice@localhost").unwrap();
        let store = crate::rfc6121_im::store::roster::RosterStore::new(house.db.clone());
        let roster = store.load(&account).await.unwrap();
        let contacts: Vec<_> = roster.all().iter().map(|item| item.contact.as_str()).collect();
        assert_eq!(contacts, ["dan@localhost"]);
    }
}
