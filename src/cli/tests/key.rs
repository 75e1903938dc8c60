//! The sealing key as an operator meets it.

use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;

use super::*;
use crate::control::{ControlSocket, Direct};
use crate::house::House;

const KEY: &str = "data/sealing.key";

#[test]
fn a_key_is_made_and_exchanged() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    let first = std::fs::read_to_string(home.file(KEY)).unwrap();
    assert!(first.contains("\nkim-sealing-key-1 "), "{first}");
    let said = home.done("key rotate", "");
    assert!(
        said.starts_with("The sealing key is now ") && said.contains(KEY),
        "{said}"
    );
    let second = std::fs::read_to_string(home.file(KEY)).unwrap();
    assert_ne!(first, second);
    assert_eq!(
        second
            .lines()
            .filter(|line| line.starts_with("kim-sealing-key-1"))
            .count(),
        1
    );
    assert_eq!(home.done("user list", ""), "alice@localhost\n");

    // The old file again.
    std::fs::write(home.file(KEY), first).unwrap();
    let (code, message) = home.refused("user list", "");
    assert_eq!(code, 11);
    assert!(message.contains("does not fit this database"), "{message}");
    let check = home.kim("check", "");
    assert_eq!(check.code, 1);
    assert!(check.out.contains("does not fit this database"), "{}", check.out);

    std::fs::remove_file(home.file(KEY)).unwrap();
    let (code, message) = home.refused("user list", "");
    assert!(code == 11 && message.contains("is missing"), "{message}");
    assert!(!home.file(KEY).exists());

    std::fs::write(home.file(KEY), second).unwrap();
    home.done("user list", "");
    assert!(home.kim("check", "").out.contains("matches the database"));
}

#[test]
fn the_key_may_be_elsewhere() {
    let home = Home::new();
    let place = home.file("elsewhere.key");
    let variable = [("KIM__STORAGE__SEALING_KEY", place.to_str().unwrap())];
    let answer = home.kim_with("user add alice@localhost", "", &variable, &app());
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(place.exists() && !home.file(KEY).exists());
    // A place that cannot be written to.
    let home = Home::new();
    let nowhere = [("KIM__STORAGE__SEALING_KEY", "/proc/kim/sealing.key")];
    let answer = home.kim_with("user add alice@localhost", "", &nowhere, &app());
    assert_eq!(answer.code, 11);
    assert!(
        answer.err.contains("/proc/kim/sealing.key cannot be written"),
        "{}",
        answer.err
    );
}

#[test]
fn a_running_server_exchanges_its_own_key() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    let before = std::fs::read_to_string(home.file(KEY)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = runtime.block_on(async {
        let mut config = Config::default();
        config.server.data_dir = home.data();
        let house = House::open(Arc::new(config), kim_xep::MODULES, Box::new(Solo))
            .await
            .ok()
            .unwrap();
        let socket = ControlSocket::bind(&home.data()).unwrap();
        tokio::spawn(socket.serve(Arc::new(Direct::serving(house.router.clone()))));
        house
    });
    let sealed = runtime
        .block_on(house.router.seals().seal("alice@localhost", &[], b"hello"))
        .unwrap();
    let said = home.done("key rotate", "");
    assert!(said.contains("\n1 data keys are wrapped with it"), "{said}");
    assert_ne!(std::fs::read_to_string(home.file(KEY)).unwrap(), before);
    let opened = runtime.block_on(house.router.seals().open_sealed("alice@localhost", &[], &sealed));
    assert_eq!(opened.unwrap(), b"hello");
    runtime.block_on(house.db.close());
}
