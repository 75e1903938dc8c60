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
    assert!(told.contains("Z, for one person\n"), "{told}");
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
    let told = home.done("invite --room Tea@conference.localhost", "");
    assert!(
        told.contains("room     xmpp:tea@conference.localhost?join\n"),
        "{told}"
    );
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
            "not the address of a room",
        ),
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
        "invite --account localhost",
        "invite --account a@localhost --uses 2",
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
    server.abort();
}
