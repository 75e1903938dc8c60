//! `kim invite`, with and without a running server.

use std::sync::Arc;

use kim_core::cluster::Solo;

use super::*;
use crate::control::{ControlSocket, Direct};
use crate::house::House;

fn token(answer: &str) -> String {
    let (_, rest) = answer.split_once("preauth=").expect(answer);
    rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
}

#[test]
fn a_link_and_its_code_are_printed() {
    let home = Home::new();
    home.configure("[listen]\nc2s = []\nc2s_tls = []\npublic_url = \"https://chat.example.org\"\n");
    let told = home.done("invite", "");
    let token = token(&told);
    assert_eq!(token.len(), 32);
    assert!(
        told.starts_with(&format!("link     https://chat.example.org/invite/{token}\n")),
        "{told}"
    );
    assert!(
        told.contains(&format!("client   xmpp:localhost?register;preauth={token}\n")),
        "{told}"
    );
    assert!(
        told.contains("\nvalid    until 20") && told.contains("Z, for one person\n"),
        "{told}"
    );
    // The code is as wide as high, two rows in a line.
    let code: Vec<&str> = told.lines().filter(|line| line.contains('█')).collect();
    let width = code[0].chars().count();
    assert!(code.len() * 2 >= width - 2 && width >= 33, "{told}");
    assert_ne!(self::token(&home.done("invite", "")), token);
}

#[test]
fn a_room_an_account_a_time_and_several_people() {
    let home = Home::new();
    let told = home.done("invite --room lobby --expires 12h --uses 5", "");
    assert!(
        told.contains("room     xmpp:lobby@conference.localhost?join\n"),
        "{told}"
    );
    assert!(told.contains(", for 5 people\n"), "{told}");
    // A room that does not exist is created only if that is wanted, and needs an owner.
    let (code, complaint) = home.refused("invite --room Tea@conference.localhost", "");
    assert_eq!(code, 1);
    assert!(
        complaint.contains("the room tea@conference.localhost does not exist; add --create-room"),
        "{complaint}"
    );
    let (_, complaint) = home.refused("invite --room tea --create-room", "");
    assert!(complaint.contains("name one with --owner"), "{complaint}");
    let (_, complaint) = home.refused("invite --room tea --create-room --owner bob@localhost", "");
    assert!(
        complaint.contains("the owner bob@localhost has no account"),
        "{complaint}"
    );
    home.done("user add bob@localhost", "");
    let told = home.done(
        "invite --room Tea@conference.localhost --create-room --owner bob@localhost",
        "",
    );
    assert!(
        told.contains("room     xmpp:tea@conference.localhost?join\n"),
        "{told}"
    );
    home.done("invite --room tea", "");
    // Without a word of the owner it is the administrator.
    home.done("user add admin@localhost", "");
    home.done("invite --room coffee --create-room", "");
    home.done("invite --room coffee --create-room", "");
    let told = home.done("invite --account alice@localhost --expires 30m", "");
    assert!(told.contains("xmpp:alice@localhost?register;preauth="), "{told}");
}

#[test]
fn what_makes_no_sense_is_told() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    assert_eq!(home.refused("invite --account alice@localhost", "").0, 10);
    for (typed, told) in [
        (
            "invite --room conference.localhost/x@",
            "is not the address of a room; it must look like lobby@conference.localhost",
        ),
        (
            "invite --room lobby@localhost",
            "there are no rooms at localhost; try conference.localhost",
        ),
        (
            "invite --room tea@elsewhere.example --create-room",
            "is not on this server; create the room there first",
        ),
        ("invite revoke 0123456789abcdef", "there is no such invitation"),
        ("invite --uses 0", "1 to 10000"),
        ("invite --expires 1000d", "366 days"),
        (
            "invite --account a@elsewhere.example",
            "not a domain of this server",
        ),
    ] {
        let (code, complaint) = home.refused(typed, "");
        assert!(code == 1 && complaint.contains(told), "{typed}: {complaint}");
    }
    for typed in [
        "invite --expires 7",
        "invite --expires d",
        "invite --expires -1d",
        "invite --expires 99999999999999999999d",
        "invite --account @localhost",
        "invite --for",
        "invite --for al&ice",
        "invite --account a@localhost --uses 2",
        "invite --create-room",
        "invite --room lobby --owner a@localhost",
        "invite --reuse-name",
        "invite --uses 2 list",
        "invite revoke",
    ] {
        assert_eq!(home.kim(typed, "").code, 2, "{typed}");
    }
    let off = [("KIM__REGISTRATION__INVITES", "false")];
    let answer = home.kim_with("invite", "", &off, &app());
    assert!(
        answer.code == 1 && answer.err.contains("cannot create accounts"),
        "{answer:?}"
    );
}

#[test]
fn a_name_that_is_held_back_is_given_away_when_the_operator_says_so() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    home.done("user delete alice@localhost --yes", "");
    let (code, complaint) = home.refused("invite --account alice@localhost", "");
    assert!(
        code == 10 && complaint.contains("add --reuse-name"),
        "{code} {complaint}"
    );
    let told = home.done("invite --account alice@localhost --reuse-name", "");
    assert!(told.contains("xmpp:alice@localhost?register;preauth="), "{told}");
}

#[test]
fn links_are_listed_and_revoked_by_id_or_by_the_link_itself() {
    let home = Home::new();
    home.begin();
    let nothing = "No link can be used at present. Make one with: kim invite\n";
    home.lists_nothing("invite list", nothing);
    let first = home.done("invite --uses 3 --room lobby", "");
    home.done("invite --account alice@localhost --expires 1h", "");
    let listed = home.done("invite list", "");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(
        lines[0].ends_with("Z  1 use  by the operator  for alice@localhost")
            && lines[0].contains("  until 20"),
        "{listed}"
    );
    assert!(
        lines[1].ends_with("Z  3 uses  by the operator  room lobby@conference.localhost"),
        "{listed}"
    );
    let id = lines[0].split_whitespace().next().unwrap();
    assert_eq!(
        home.done(&format!("invite revoke {id}"), ""),
        "The link is revoked.\n"
    );
    let client = first.lines().find(|line| line.starts_with("client")).unwrap();
    let link = client.split_whitespace().nth(1).unwrap();
    assert_eq!(
        home.done(&format!("invite revoke {link}"), ""),
        "The link is revoked.\n"
    );
    home.lists_nothing("invite list", nothing);
    assert_eq!(home.refused(&format!("invite revoke {id}"), "").0, 1);
    // The id is told when the link is made, and is the one of the list.
    let made = home.done("invite", "");
    let id = made
        .lines()
        .find_map(|line| line.strip_prefix("id       "))
        .unwrap();
    let (id, hint) = id.split_once(' ').unwrap();
    assert_eq!(hint, format!("(to revoke the link: kim invite revoke {id})"));
    assert!(
        home.done("invite list", "")
            .starts_with(&format!("{id}  until 20"))
    );
    assert_eq!(
        home.done(&format!("invite revoke {id}"), ""),
        "The link is revoked.\n"
    );
}

#[test]
fn a_running_server_is_asked() {
    let home = Home::new();
    std::fs::create_dir(home.data()).unwrap();
    let runtime = runtime().unwrap();
    let (router, server) = runtime.block_on(async {
        let text = "[registration]\nguests = false\n";
        let sources = Sources::none().text("test.toml", text);
        let config = Config::load(&sources, &app().schemas()).unwrap();
        let house = House::at(
            "sqlite::memory:",
            Arc::new(config),
            kim_xep::MODULES,
            Box::new(Solo),
        );
        let house = house.await.unwrap();
        let socket = ControlSocket::bind(&home.data()).unwrap();
        let control = Arc::new(Direct::serving(house.router.clone()));
        (house.router.clone(), tokio::spawn(socket.serve(control)))
    });
    let token = token(&home.done("invite --uses 3", ""));
    let invites = router.fact::<kim_xep::xep0401_invites::api::Invites>().unwrap();
    let found = runtime.block_on(invites.look_up(&router, &token)).unwrap();
    assert_eq!(found.map(|found| found.uses_left), Some(3));
    // 250 links are three pages.
    runtime.block_on(async {
        for _ in 0..249 {
            let wanted = kim_xep::xep0401_invites::api::WantedInvitation::by_operator("localhost");
            invites.create(&router, wanted).await.unwrap();
        }
    });
    let listed = home.done("invite list", "");
    let ids: std::collections::BTreeSet<_> = listed.lines().map(|line| &line[..16]).collect();
    assert_eq!((listed.lines().count(), ids.len()), (250, 250));
    home.done(
        &format!("invite revoke https://chat.example.org/invite/{token}"),
        "",
    );
    let found = runtime.block_on(invites.look_up(&router, &token)).unwrap();
    assert!(found.is_none());
    server.abort();
}
