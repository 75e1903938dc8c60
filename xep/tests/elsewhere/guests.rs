//! Guests (XEP-0175) reach nobody elsewhere, and nobody elsewhere reaches them.

use kim_core::testing::House;

use super::{ROMEO, UNAVAILABLE, say};
use crate::MODULES;

#[tokio::test]
async fn guests_stay_inside_in_both_directions() {
    let house = House::configured(MODULES, "[registration]\nguests = true\n").await;
    let mut guest = house.guest("g1@guest.localhost/x").await;
    let mut there = house.neighbour("example.org");
    guest.send("<presence/>").await;
    guest.skip();
    for stanza in [
        "<message to='romeo@example.org' id='1'><body>x</body></message>",
        "<iq to='example.org' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq to='romeo@example.org' id='1' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='x'/></pubsub></iq>",
        "<presence to='romeo@example.org/orchard' id='1'/>",
        "<presence to='romeo@example.org' id='1' type='subscribe'/>",
    ] {
        guest.send(stanza).await;
        let error = guest.next().expect("an error");
        assert!(error.contains("type='error'"), "{stanza}: {error}");
    }
    there.expect_nothing();

    for to in ["g1@guest.localhost/x", "g1@guest.localhost", "g2@guest.localhost"] {
        say(
            &mut there,
            &format!("<message from='{ROMEO}' to='{to}' id='m' type='chat'><body>x</body></message>"),
        )
        .await;
        there.expect(&format!(
            "<message from='{to}' to='{ROMEO}' type='error'>{UNAVAILABLE}</message>"
        ));
        for asked in [
            "<ping xmlns='urn:xmpp:ping'/>",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        ] {
            say(
                &mut there,
                &format!("<iq from='{ROMEO}' to='{to}' id='q' type='get'>{asked}</iq>"),
            )
            .await;
            there.expect(&format!(
                "<iq from='{to}' to='{ROMEO}' type='error'>{UNAVAILABLE}</iq>"
            ));
        }
        say(&mut there, &format!("<presence from='{ROMEO}' to='{to}'/>")).await;
        say(
            &mut there,
            &format!("<presence from='romeo@example.org' to='{to}' type='subscribe'/>"),
        )
        .await;
        there.expect_nothing();
    }
    guest.expect_nothing();
    guest.disconnect().await;
    there.expect_nothing();
}
