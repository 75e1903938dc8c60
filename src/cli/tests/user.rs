//! `kim user …`, with and without a running server.

use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::cluster::Solo;
use kim_core::jid::{BareJid, Jid};
use kim_core::session::{Session, Terms};

use super::*;
use crate::control::{ControlSocket, Direct};
use crate::house::House;

#[test]
fn an_accounts_life() {
    let home = Home::new();
    assert_eq!(
        home.done("user add alice@localhost --password-stdin", "secret\n"),
        "alice@localhost can log in now\n"
    );
    assert_eq!(
        home.done("user add Bob@LOCALHOST", ""),
        "bob@localhost can log in now\n"
    );
    assert_eq!(home.done("user list", ""), "alice@localhost\nbob@localhost\n");
    assert_eq!(
        home.done("user passwd alice@localhost --password-stdin", "other"),
        "alice@localhost has a new password\n"
    );
    let shown = home.done("user show alice@localhost", "");
    assert!(
        shown.starts_with("account  alice@localhost\ncreated  20"),
        "{shown}"
    );
    assert!(
        shown.contains("online   unknown: no server is running"),
        "{shown}"
    );
    assert_eq!(
        home.done("user delete alice@localhost --yes", ""),
        "alice@localhost is removed\n"
    );
    assert_eq!(home.done("user list", ""), "bob@localhost\n");
}

#[test]
fn a_removal_is_asked_about() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    let question =
        "Remove alice@localhost with its messages, contacts and files? This cannot be undone. [y/N] ";
    for (answer, told) in [
        ("n\n", "kim: nothing was removed\n"),
        ("\n", "kim: nothing was removed\n"),
        ("yellow\n", "kim: nothing was removed\n"),
        (
            "",
            "kim: alice@localhost was not removed: add --yes to remove it without being asked\n",
        ),
    ] {
        let asked = home.kim("user delete alice@localhost", answer);
        assert_eq!(
            (asked.code, asked.err),
            (1, format!("{question}{told}")),
            "{answer:?}"
        );
        assert_eq!(home.done("user list", ""), "alice@localhost\n");
    }
    let removed = home.kim("user delete alice@localhost", "Yes\n");
    assert_eq!((removed.code, removed.err.as_str()), (0, question));
    home.lists_nothing(
        "user list",
        "No accounts yet. Add one with: kim user add alice@localhost\n",
    );
}

#[test]
fn a_name_that_exists_or_is_held_back_is_not_given_away() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    assert_eq!(
        home.refused("user add alice@localhost", ""),
        (
            10,
            "kim: alice@localhost: the account exists already\n".to_owned()
        )
    );
    home.done("user delete alice@localhost --yes", "");
    let (code, message) = home.refused("user add alice@localhost", "");
    assert_eq!(code, 10);
    assert!(message.contains("--reuse-name"), "{message}");
    home.done("user add alice@localhost --reuse-name", "");
}

#[test]
fn an_unknown_account_is_told_before_anything_is_asked() {
    let home = Home::new();
    home.begin();
    let foreign = "kim: example.org is not a domain of this server; it serves localhost\n";
    for typed in ["user show", "user delete --yes", "user delete", "user passwd"] {
        assert_eq!(
            home.refused(&format!("{typed} nobody@localhost"), "y\n"),
            (9, "kim: there is no account nobody@localhost\n".to_owned())
        );
        let refused = home.refused(&format!("{typed} alice@example.org"), "y\n");
        assert_eq!(refused, (1, foreign.to_owned()));
    }
}

#[test]
fn a_name_that_cannot_be_had_is_told_before_a_password_is_asked_for() {
    let home = Home::new();
    // Where nothing is yet, and nothing is left behind.
    let foreign = "kim: example.org is not a domain of this server; it serves localhost\n".to_owned();
    assert_eq!(home.never_asked("user add alice@example.org"), (1, foreign));
    assert!(!home.data().exists());
    home.done("user add alice@localhost", "");
    home.done("user add bob@localhost", "");
    home.done("user delete bob@localhost --yes", "");
    for (typed, code, told) in [
        ("user add alice@localhost", 10, "the account exists already"),
        ("user add bob@localhost", 10, "--reuse-name"),
        (
            "user add \u{430}lice@localhost",
            1,
            "looks like that of another account",
        ),
        ("user add alice@example.org", 1, "is not a domain of this server"),
        (
            "user passwd bob@localhost",
            9,
            "there is no account bob@localhost",
        ),
    ] {
        let (found, message) = home.never_asked(typed);
        assert!(
            found == code && message.contains(told),
            "{typed}: {found} {message}"
        );
    }
}

#[test]
fn a_name_alone_is_enough_where_there_is_one_domain() {
    let home = Home::new();
    assert_eq!(
        home.done("user add Alice", ""),
        "alice@localhost can log in now\n"
    );
    assert!(
        home.done("user show alice", "")
            .starts_with("account  alice@localhost\n")
    );
    assert_eq!(
        home.done("user passwd alice", ""),
        "alice@localhost has a new password\n"
    );
    let told = home.done("invite --for bob", "");
    assert!(told.contains("client   xmpp:bob@localhost?register;"), "{told}");
    assert_eq!(
        home.done("user delete alice --yes", ""),
        "alice@localhost is removed\n"
    );
    let (code, message) = home.refused("user show localhost", "");
    let told = "kim: localhost is a domain; an account needs a name before it, such as alice@localhost\n";
    assert_eq!((code, message.as_str()), (1, told));
    // Of several domains none is guessed.
    let (code, message) = home.refused("user add carol --domain a.example --domain b.example", "");
    let told =
        "kim: this server has several domains; type the whole address: carol@a.example or carol@b.example\n";
    assert_eq!((code, message.as_str()), (1, told));
}

#[test]
fn an_address_must_be_an_account_of_this_server() {
    let home = Home::new();
    assert_eq!(
        home.refused("user add alice@elsewhere.example", ""),
        (
            1,
            "kim: elsewhere.example is not a domain of this server; it serves localhost\n".to_owned()
        )
    );
    for wrong in [
        "@localhost",
        "alice@",
        "alice@localhost/phone",
        "al ice@localhost",
    ] {
        let answer = home.kim(&format!("user add {wrong}"), "");
        assert_eq!(answer.code, 2, "{wrong}: {answer:?}");
        assert!(answer.err.starts_with("error: "), "{}", answer.err);
    }
}

#[test]
fn a_username_that_cannot_be_is_refused_with_the_reason() {
    let home = Home::new();
    let answer = home.kim("user add al&ice@localhost", "");
    assert!(answer.err.contains("a username cannot contain &"), "{answer:?}");
    let answer = home.kim("user add @localhost", "");
    assert!(
        answer.err.contains("an account needs a name before the @"),
        "{answer:?}"
    );
}

#[test]
fn a_password_comes_from_standard_input_or_a_prompt_and_never_from_an_argument() {
    let home = Home::new();
    assert_eq!(home.kim("user add alice@localhost hunter2", "").code, 2);
    assert_eq!(
        home.kim("user add alice@localhost --password hunter2", "").code,
        2
    );
    for (input, message) in [
        (
            "",
            "kim: no password on standard input: the first line is empty\n",
        ),
        (
            "\nsecond\n",
            "kim: no password on standard input: the first line is empty\n",
        ),
        (
            "a\u{7}b\n",
            "kim: the password contains unsupported characters, such as control characters\n",
        ),
    ] {
        let refused = home.refused("user add alice@localhost --password-stdin", input);
        assert_eq!(refused, (1, message.to_owned()));
    }
    let long = home.refused("user add alice@localhost --password-stdin", &"x".repeat(5000));
    assert_eq!(
        long,
        (
            1,
            "kim: no password on standard input: the line is longer than 4096 bytes\n".to_owned()
        )
    );
    assert!(!home.data().exists());
    home.done(
        "user add alice@localhost --password-stdin",
        "with a blank at the end \r\nnot read\n",
    );
}

#[test]
fn two_different_typed_passwords_change_nothing() {
    let mut typed = vec!["one".to_owned(), "two".to_owned()].into_iter();
    let mut terminal = Terminal {
        prompt: Box::new(move |_| Ok(Zeroizing::new(typed.next().unwrap()))),
        ..Terminal::of_process()
    };
    let refused = password::read(false, &mut terminal).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the two passwords differ; nothing was changed"
    );
    // What opening /dev/tty says without a terminal: ENXIO.
    terminal.prompt = Box::new(|_| Err(std::io::Error::from_raw_os_error(6)));
    let refused = password::read(false, &mut terminal).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "asking for the password needs a terminal; without one, add --password-stdin and give the password on the first \
         line of standard input"
    );
    terminal.prompt = Box::new(|_| Err(std::io::ErrorKind::UnexpectedEof.into()));
    let refused = password::read(false, &mut terminal).unwrap_err();
    assert_eq!(refused.to_string(), "no password was typed; nothing was changed");
}

#[test]
fn a_long_list_is_told_page_by_page() {
    let home = Home::new();
    let names: Vec<String> = (0..1_203)
        .map(|number| format!("user{number:04}@localhost"))
        .collect();
    runtime().unwrap().block_on(async {
        let house = open_house(&home).await;
        for name in &names {
            let account = BareJid::parse(name).unwrap();
            house
                .router
                .accounts()
                .import(&account, Vec::new(), 1, Tombstone::Respect)
                .await
                .unwrap();
        }
        house.db.close().await;
    });
    assert_eq!(home.done("user list", "").lines().collect::<Vec<_>>(), names);
}

async fn open_house(home: &Home) -> House {
    prepare_data_dir(&home.data()).unwrap();
    let mut config = Config::default();
    config.server.data_dir = home.data();
    House::open(Arc::new(config), kim_xep::MODULES, Box::new(Solo))
        .await
        .unwrap()
}

#[test]
fn the_running_server_is_asked_first() {
    let home = Home::new();
    let server = runtime().unwrap();
    let house = server.block_on(open_house(&home));
    let control = Arc::new(Direct::serving(house.router.clone()));
    let inside = server.enter();
    server.spawn(ControlSocket::bind(&home.data()).unwrap().serve(control));
    drop(inside); // the commands bring runtimes of their own
    home.done("user add alice@localhost", "");
    let address = Some("192.0.2.7".parse().unwrap());
    let phone = Session::new(
        Jid::parse("alice@localhost/phone").unwrap(),
        false,
        address,
        65_536,
    );
    server.block_on(house.router.start(&phone)).unwrap();
    let shown = home.done("user show alice@localhost", "");
    assert!(
        shown.contains("\nonline   phone from 192.0.2.7 since 20"),
        "{shown}"
    );
    assert_eq!(home.refused("user add alice@localhost", "").0, 10);
    let terms = Terms {
        request: "<r/>".into(),
        stanzas_max: 10,
        bytes_max: 10_000,
    };
    phone.begin_tally(60).unwrap();
    phone.outbox.keep("<enabled/>".into(), terms);
    assert_eq!(phone.outbox.take_some(usize::MAX).parcels.len(), 1);
    phone.tally().unwrap().make_resumable(600);
    assert!(server.block_on(house.router.park(&phone)));
    let shown = home.done("user show alice@localhost", "");
    assert!(
        shown.contains(", parked since 20") && shown.contains("Z: not connected, may resume\n"),
        "{shown}"
    );
    let checked = home.kim("check", "");
    assert!(
        checked.out.contains("ok    server         is running\n"),
        "{}",
        checked.out
    );
    home.done("user delete alice@localhost --yes", "");
    assert!(phone.has_left());
}
