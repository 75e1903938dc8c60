//! Tokens in subscription requests (XEP-0379).

use super::*;

#[tokio::test]
async fn somebody_with_an_account_becomes_a_contact() {
    // XEP-0379 §3.4, §3.5: the inviter is offline, the server answers.
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    let invitation = made(&house, WantedInvitation::by_account(&jid("romeo@localhost"))).await;
    let token = token(&invitation.links.uri);
    let mut juliet = house.online("juliet@localhost/phone").await;
    let ask = |token: &str| {
        format!(
            "<presence id='s' to='romeo@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
        )
    };
    juliet.send(&ask(&token)).await;
    juliet.expect_all(&[
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@localhost' subscription='none' ask='subscribe'/></query></iq>",
        "<presence from='romeo@localhost' to='juliet@localhost' type='subscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@localhost' subscription='to'/></query></iq>",
        "<presence from='romeo@localhost' to='juliet@localhost' type='subscribe'/>",
    ]);
    juliet
        .send("<presence to='romeo@localhost' type='subscribed'/>")
        .await;
    juliet.skip();

    // The same token from somebody else is as if it were not there (§4.1): romeo is asked.
    let mut mallory = house.online("mallory@localhost/web").await;
    mallory.send(&ask(&token)).await;
    mallory.send(&ask("nonsense")).await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    romeo
        .ask(
            "<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq id='1' type='result'><query xmlns='jabber:iq:roster' ver='*'><item jid='juliet@localhost' subscription='both' approved='true'/></query></iq>",
        )
        .await;
    // And it makes no account any more.
    assert!(Stream::new(&house).show(&token).await.contains(VOID));
}

#[tokio::test]
async fn a_token_is_its_inviters_only() {
    // XEP-0379 §5.2: a token of romeo's says nothing to paris.
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    house.account("paris@localhost").await;
    let invitation = made(&house, WantedInvitation::by_account(&jid("romeo@localhost"))).await;
    let mut mallory = house.online("mallory@localhost/web").await;
    mallory
        .send(&format!(
            "<presence to='paris@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{}'/></presence>",
            token(&invitation.links.uri)
        ))
        .await;
    let state = invites(&house)
        .subscriptions
        .item(&house.router, &jid("paris@localhost"), &jid("mallory@localhost"))
        .await
        .unwrap()
        .unwrap()
        .state;
    assert!(!state.is_from());
    let found = invites(&house)
        .look_up(&house.router, &token(&invitation.links.uri))
        .await;
    assert_eq!(found.unwrap().unwrap().uses_left, 1);
}

#[tokio::test]
async fn somebody_on_another_server_becomes_a_contact() {
    // XEP-0379 §3.4: the token comes with the request, from wherever it is sent.
    let house = House::new(MODULES).await;
    let mut romeo = house.online("romeo@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let invitation = made(&house, WantedInvitation::by_account(&jid("romeo@localhost"))).await;
    let ask = |from: &str| {
        let token = token(&invitation.links.uri);
        format!(
            "<presence from='{from}' to='romeo@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
        )
    };
    there.send(&ask("juliet@example.org")).await;
    let told: Vec<String> = std::iter::from_fn(|| there.next()).collect();
    for kind in ["subscribed", "subscribe"] {
        let is_told = told.iter().any(|xml| xml.contains(&format!("type='{kind}'")));
        assert!(is_told, "{kind}: {told:#?}");
    }
    assert!(
        told.iter()
            .any(|xml| xml.contains("from='romeo@localhost/phone'")),
        "{told:#?}"
    );
    there
        .send("<presence from='juliet@example.org' to='romeo@localhost' type='subscribed'/>")
        .await;
    romeo.skip();
    // It is used up.
    there.send(&ask("mallory@example.org")).await;
    romeo.expect("<presence from='mallory@example.org' to='romeo@localhost' type='subscribe'>...</presence>");
    there.skip();
}

#[tokio::test]
async fn a_token_of_another_server_goes_there() {
    let house = House::new(MODULES).await;
    let mut romeo = house.online("romeo@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let preauth = "<preauth xmlns='urn:xmpp:pars:0' token='abc'/>";
    romeo
        .send(&format!(
            "<presence to='juliet@example.org' type='subscribe'>{preauth}</presence>"
        ))
        .await;
    there.expect(&format!(
        "<presence from='romeo@localhost' to='juliet@example.org' type='subscribe'>{preauth}\
         <info xmlns='urn:xmpp:raa:0' affiliation='member'/></presence>"
    ));
}
