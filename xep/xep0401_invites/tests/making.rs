//! Making invitations: commands, limits, names that are held back, links, and what is kept of them.

use super::*;

#[tokio::test]
async fn an_administrator_has_an_account_made_for_a_name_that_is_held() {
    // XEP-0401 §5.4, §6.2.
    let house = House::configured(
        MODULES,
        "[registration]\nopen = true\n[xep0158_captcha]\nenabled = false\n",
    )
    .await;
    let mut admin = house.connect("admin@localhost/desk").await;
    let page = execute(&mut admin, "urn:xmpp:invite#create-account").await;
    assert!(
        page.contains("<actions execute='complete'><complete/></actions>"),
        "{page}"
    );
    assert!(
        page.contains("var='username'") && page.contains("var='roster-subscription'"),
        "{page}"
    );
    let (_, rest) = page.split_once("sessionid='").unwrap();
    let session = rest.split('\'').next().unwrap();
    // As the client of the example sends it: without FORM_TYPE, without an action.
    admin
        .send(&format!(
            "<iq id='y' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:xmpp:invite#create-account' sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='username'><value>Juliet</value></field>\
             <field var='roster-subscription'><value>1</value></field></x></command></iq>"
        ))
        .await;
    let link = admin.next().unwrap();
    assert!(link.contains("xmpp:juliet@localhost?register;preauth="), "{link}");
    let token = token(&link).split('<').next().unwrap().to_owned();

    let stranger = Stream::new(&house);
    assert!(stranger.register("juliet").await.contains("<conflict"));
    let other = super::token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    assert!(is_done(&stranger.show(&other).await));
    assert!(stranger.register("juliet").await.contains("<conflict"));

    let juliet = Stream::new(&house);
    assert!(is_done(&juliet.show(&token).await));
    let fields = juliet
        .ask("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    assert!(fields.contains("<username>juliet</username>"), "{fields}");
    assert!(juliet.register("tybalt").await.contains("<not-acceptable"));
    assert!(is_done(&juliet.register("juliet").await));
    let item = invites(&house)
        .subscriptions
        .item(&house.router, &jid("admin@localhost"), &jid("juliet@localhost"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(item.state.subscription(), "both");
}

/// Nobody gets many accounts out of one at once, and whom nobody knows cannot make others known.
#[tokio::test]
async fn an_account_that_registered_itself_speaks_for_nobody() {
    let house = House::configured(MODULES, "[registration]\nopen = true\n").await;
    let accounts = house.router.accounts();
    let password = Password::prepare("secret").unwrap();
    accounts
        .register(&jid("mallory@localhost"), &password)
        .await
        .unwrap();
    let mut mallory = house.connect("mallory@localhost/x").await;
    let link = execute(&mut mallory, "urn:xmpp:invite#invite").await;
    assert!(link.contains("preauth=") && !link.contains("ibr=y"), "{link}");
    let stream = Stream::new(&house);
    stream.show(token(&link).split('<').next().unwrap()).await;
    assert!(stream.register("one").await.contains("type='error'"));
    let wanted = WantedInvitation {
        contact: false,
        ..WantedInvitation::by_account(&jid("mallory@localhost"))
    };
    let refused = invites(&house).create(&house.router, wanted).await;
    assert!(matches!(refused, Err(InviteError::Wrong(why)) if why.contains("7 days")));

    let back = Query::new("UPDATE accounts SET created_at = 0 WHERE account = 'mallory@localhost'");
    house.db.execute(back).await.unwrap();
    house.db.caches().drop_all();
    let mut romeo = house.connect("romeo@localhost/x").await;
    for (inviter, name, by) in [
        (&mut mallory, "one", Enrolment::Registered),
        (&mut romeo, "two", Enrolment::Invited),
    ] {
        let link = execute(inviter, "urn:xmpp:invite#invite").await;
        assert!(link.contains("ibr=y"), "{link}");
        let stream = Stream::new(&house);
        stream.show(token(&link).split('<').next().unwrap()).await;
        // No work is asked of whoever is invited.
        assert!(is_done(&stream.register(name).await));
        let made = accounts.enrolled(&jid(&format!("{name}@localhost"))).await;
        assert_eq!(made.unwrap().map(|made| made.by), Some(by));
    }
}

#[tokio::test]
async fn a_link_that_was_lost_is_made_anew_and_the_old_one_is_void() {
    let house = House::new(MODULES).await;
    let wanted = || WantedInvitation {
        account: Some(jid("admin@localhost")),
        ..WantedInvitation::by_operator("localhost")
    };
    let first = made(&house, wanted()).await;
    let second = made(&house, wanted()).await;
    let stream = Stream::new(&house);
    assert!(stream.show(&token(&first.links.uri)).await.contains(VOID));
    assert!(is_done(&stream.show(&token(&second.links.uri)).await));
    // The name is reserved for everybody else, and free for whoever was invited to it.
    assert!(is_done(&stream.register("admin").await));
    let taken = invites(&house).create(&house.router, wanted()).await;
    assert!(matches!(taken, Err(InviteError::Taken)));
}

#[tokio::test]
async fn only_so_many_in_a_day() {
    let house = House::configured(MODULES, "[xep0401_invites]\nper_account_per_day_max = 3\n").await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    for _ in 0..3 {
        assert!(
            execute(&mut romeo, "urn:xmpp:invite#invite")
                .await
                .contains("preauth=")
        );
    }
    let refused = execute(&mut romeo, "urn:xmpp:invite#invite").await;
    assert!(
        refused.contains("<resource-constraint") && refused.contains("tomorrow"),
        "{refused}"
    );
    let mut other = house.connect("benvolio@localhost/phone").await;
    assert!(
        execute(&mut other, "urn:xmpp:invite#invite")
            .await
            .contains("preauth=")
    );
    house.clock.advance(86_401);
    assert!(
        execute(&mut romeo, "urn:xmpp:invite#invite")
            .await
            .contains("preauth=")
    );
    // What is over goes once it no longer counts, whether anybody makes another or not.
    house.router.tidy().await;
    assert_eq!(rows(&house).await, 5);
    house.clock.advance(30 * 86_400);
    house.router.tidy().await;
    assert_eq!(rows(&house).await, 0);
}

#[tokio::test]
async fn where_invitations_make_no_accounts_they_make_contacts() {
    let house = House::configured(MODULES, "[registration]\ninvites = false\n").await;
    let features = house.router.stream_features(Offer::BeforeLogin, "localhost");
    assert!(!features.contains("register"), "{features}");
    let mut admin = house.connect("admin@localhost/desk").await;
    let link = execute(&mut admin, "urn:xmpp:invite#invite").await;
    assert!(link.contains("preauth=") && !link.contains("ibr=y"), "{link}");
    assert!(
        execute(&mut admin, "urn:xmpp:invite#create-account")
            .await
            .contains("<item-not-found")
    );
    let none = invites(&house)
        .create(&house.router, WantedInvitation::by_operator("localhost"))
        .await;
    assert!(matches!(none, Err(InviteError::Wrong(_))));
    let token = token(&link).split('<').next().unwrap().to_owned();
    assert_eq!(Stream::new(&house).show(&token).await, "nothing");

    let house = House::configured(MODULES, "[xep0401_invites]\naccounts_invite = false\n").await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    let link = execute(&mut romeo, "urn:xmpp:invite#invite").await;
    assert!(!link.contains("ibr=y"), "{link}");
    let token = super::token(&link).split('<').next().unwrap().to_owned();
    assert!(Stream::new(&house).show(&token).await.contains(VOID));
}

#[tokio::test]
async fn a_web_page_redeems_a_link_to_a_room() {
    let house = House::configured(MODULES, SITE).await;
    let wanted = WantedInvitation {
        room: Some(jid("lobby@conference.localhost")),
        uses: 2,
        ..WantedInvitation::by_operator("localhost")
    };
    let made = made(&house, wanted).await;
    let invites = invites(&house);
    assert_eq!(
        made.links.room.as_deref(),
        Some("xmpp:lobby@conference.localhost?join")
    );
    let landing = made.links.landing.clone().unwrap();
    let token = landing.rsplit('/').next().unwrap();
    let found = invites.look_up(&house.router, token).await.unwrap().unwrap();
    assert_eq!(found, made.invitation);
    assert_eq!(invites.links(&found, token), made.links);
    let password = Password::prepare("secret").unwrap();
    let account = invites
        .redeem(&house.router, token, "Juliet", &password)
        .await
        .unwrap();
    assert_eq!(account, jid("juliet@localhost"));
    let again = invites.redeem(&house.router, token, "juliet", &password).await;
    assert!(matches!(again, Err(InviteError::Taken)));
    let reserved = invites
        .redeem(&house.router, token, "postmaster", &password)
        .await;
    assert!(matches!(reserved, Err(InviteError::Taken)));
    invites
        .redeem(&house.router, &token.to_uppercase(), "nurse", &password)
        .await
        .unwrap();
    let void = invites.redeem(&house.router, token, "tybalt", &password).await;
    assert!(matches!(void, Err(InviteError::Void)));
    assert_eq!(invites.look_up(&house.router, token).await.unwrap(), None);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let house = House::new(MODULES).await;
    let operator = || WantedInvitation::by_operator("localhost");
    for wanted in [
        WantedInvitation {
            domain: "elsewhere.example".into(),
            ..operator()
        },
        WantedInvitation {
            domain: "guest.localhost".into(),
            ..operator()
        },
        WantedInvitation {
            uses: 0,
            ..operator()
        },
        WantedInvitation {
            uses: u32::MAX,
            ..operator()
        },
        WantedInvitation {
            seconds: Some(0),
            ..operator()
        },
        WantedInvitation {
            seconds: Some(u64::MAX),
            ..operator()
        },
        WantedInvitation {
            account: Some(jid("a@elsewhere.example")),
            ..operator()
        },
        WantedInvitation {
            account: Some(jid("localhost")),
            ..operator()
        },
        WantedInvitation {
            account: Some(jid("a@localhost")),
            uses: 2,
            ..operator()
        },
    ] {
        let refused = invites(&house).create(&house.router, wanted.clone()).await;
        assert!(matches!(refused, Err(InviteError::Wrong(_))), "{wanted:?}");
    }
    assert_eq!(rows(&house).await, 0);
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    house.account("benvolio@localhost").await;
    let invitation = made(&house, WantedInvitation::by_account(&jid("romeo@localhost"))).await;
    made(&house, WantedInvitation::by_account(&jid("benvolio@localhost"))).await;
    house.router.erase_account(&jid("romeo@localhost")).await.unwrap();
    assert_eq!(rows(&house).await, 1);
    assert!(
        Stream::new(&house)
            .show(&token(&invitation.links.uri))
            .await
            .contains(VOID)
    );
}

#[tokio::test]
async fn the_table_holds_no_token_and_no_log_would() {
    let house = House::new(MODULES).await;
    let made = made(&house, WantedInvitation::by_operator("localhost")).await;
    let token = token(&made.links.uri);
    let row = house
        .db
        .fetch_optional(Query::new("SELECT token_hash FROM invites"));
    let hash = row.await.unwrap().unwrap().bytes(0).unwrap();
    assert_eq!(hash.len(), 32);
    assert!(
        !hash
            .windows(8)
            .any(|part| token.as_bytes().windows(8).any(|t| t == part))
    );
    assert!(!format!("{made:?}").contains(&token));
}

#[tokio::test]
async fn odd_names_stay_whole_in_links() {
    // RFC 5122 §2.2.
    let house = House::new(MODULES).await;
    let inviter = jid("o?;=#ü@localhost");
    let link = made(&house, WantedInvitation::by_account(&inviter))
        .await
        .links
        .uri;
    assert!(
        link.starts_with("xmpp:o%3F%3B%3D%23%C3%BC@localhost?roster;preauth="),
        "{link}"
    );
}

#[tokio::test]
async fn a_name_that_is_held_back_is_given_away_by_the_operator_alone() {
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    house.router.erase_account(&jid("romeo@localhost")).await.unwrap();
    let wanted = |inviter: Option<&str>, reuse_name| WantedInvitation {
        account: Some(jid("romeo@localhost")),
        inviter: inviter.map(jid),
        reuse_name,
        ..WantedInvitation::by_operator("localhost")
    };
    let admin = Some("admin@localhost");
    for (inviter, reuse_name) in [(None, false), (admin, false), (admin, true)] {
        let refused = invites(&house)
            .create(&house.router, wanted(inviter, reuse_name))
            .await;
        assert!(
            matches!(refused, Err(InviteError::HeldBack)),
            "{inviter:?} {reuse_name}"
        );
    }
    let made = made(&house, wanted(None, true)).await;
    let romeo = Stream::new(&house);
    assert!(is_done(&romeo.show(&token(&made.links.uri)).await));
    assert!(is_done(&romeo.register("romeo").await));
    assert!(
        house
            .router
            .accounts()
            .exists(&jid("romeo@localhost"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn invitations_are_listed_page_by_page_and_revoked() {
    let house = House::new(MODULES).await;
    let begun = house.clock.now();
    let mut links = Vec::new();
    for hours in [3, 1, 2, 1] {
        let wanted = WantedInvitation {
            seconds: Some(hours * 3_600),
            ..WantedInvitation::by_operator("localhost")
        };
        links.push(made(&house, wanted).await.links.uri);
    }
    let list = async || {
        let mut all: Vec<ListedInvitation> = Vec::new();
        loop {
            let last = all
                .last()
                .map(|last| (last.invitation.expires_at, last.id.as_str()));
            let page = invites(&house).list(&house.router, last, 1).await.unwrap();
            match page.into_iter().next() {
                Some(next) => all.push(next),
                None => return all,
            }
        }
    };
    let all = list().await;
    let hours: Vec<u64> = all
        .iter()
        .map(|one| one.invitation.expires_at.seconds_since(begun) / 3_600)
        .collect();
    assert_eq!(hours, [1, 1, 2, 3], "by the time they expire, each once");
    let third = Invites::id_of(&token(&links[2])).unwrap();
    assert_eq!(all[2].id, third);
    assert!(
        !links.iter().any(|link| link.contains(&third)),
        "an id says nothing of a token"
    );

    assert!(invites(&house).revoke(&third).await.unwrap());
    assert!(!invites(&house).revoke(&third).await.unwrap());
    assert!(!invites(&house).revoke("no id at all").await.unwrap());
    assert!(Stream::new(&house).show(&token(&links[2])).await.contains(VOID));
    assert_eq!(list().await.len(), 3);
    // What is over is not listed.
    house.clock.advance(2 * 3_600);
    assert_eq!(list().await.len(), 1);
}

#[tokio::test]
async fn lists_and_revocations_go_by_an_index() {
    use kim_core::db::CORE_MIGRATIONS;
    use kim_core::testing::migrated_databases;
    for db in migrated_databases(&[CORE_MIGRATIONS, crate::xep0401_invites::Invitations::MIGRATIONS]).await {
        let list = Query::new(store::LIST).bind(1).bind(vec![0u8; 32]).bind(100);
        db.assert_uses_index(list).await;
        let plan = db
            .explain(Query::new(store::REVOKE).bind(vec![0u8; 32]).bind(vec![1u8; 32]))
            .await;
        let plan = plan.unwrap().join("\n");
        assert!(plan.to_lowercase().contains("index"), "{plan}");
    }
}
