//! What stops a command before it begins: the configuration, the data directory, the database, the ports.

use std::net::TcpListener;

use kim_core::config::NoSettings;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::module::{Coverage, Module, Registrar, Spec};

use super::*;

#[test]
fn a_wrong_configuration_is_told_a_line_for_each_mistake() {
    let home = Home::new();
    home.configure("[limits]\nstanza_byte_max = 1\n[c2s]\nplain = 2\n");
    let answer = home.kim("user list", "");
    let file = home.file("kim.toml");
    let file = file.display();
    assert_eq!(answer.code, 3);
    assert_eq!(
        answer.err,
        format!(
            "kim: {file}:2: unknown key \"stanza_byte_max\" in [limits]; did you mean \"stanza_bytes_max\"?\n\
             kim: {file}:4: \"plain\" in [c2s] must be true or false, not 2\n"
        )
    );
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 1);
    assert_eq!(lines(&checked, "FAIL  configuration").len(), 2, "{}", checked.out);
    std::fs::remove_file(home.file("kim.toml")).unwrap();
    let (code, message) = home.refused("serve", "");
    assert_eq!(
        (code, message),
        (3, format!("kim: {file}: there is no such configuration file\n"))
    );
}

#[test]
fn the_environment_is_read_and_flags_win() {
    let home = Home::new();
    let environment = [("KIM__SERVER__DOMAINS", "one.example,two.example")];
    let answer = home.kim_with("user add alice@two.example", "", &environment, &app());
    assert_eq!(answer.code, 0, "{answer:?}");
    let answer = home.kim_with(
        "user add bob@two.example --domain three.example",
        "",
        &environment,
        &app(),
    );
    assert_eq!(
        answer.err,
        "kim: two.example is not a domain of this server; it serves three.example\n"
    );
    let answer = home.kim_with("user list", "", &[("KIM__SERVER__DOMAIN", "x")], &app());
    assert_eq!(answer.code, 3);
    assert!(
        answer.err.contains("did you mean KIM__SERVER__DOMAINS?"),
        "{}",
        answer.err
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told() {
    let home = Home::new();
    std::fs::write(home.file("a-file"), "").unwrap();
    let file = home.file("a-file");
    for directory in [file.clone(), file.join("below"), PathBuf::from("/proc/kim")] {
        let typed = format!("--data-dir {}", directory.display());
        for command in ["user list", "serve", ""] {
            let (code, message) = home.refused(&format!("{command} {typed}"), "");
            assert_eq!(code, 7, "{message}");
            assert!(
                message.contains(&format!("the data directory {} ", directory.display())),
                "{message}"
            );
        }
        let checked = home.kim(&format!("check {typed}"), "");
        assert_eq!(lines(&checked, "FAIL  data").len(), 1, "{}", checked.out);
    }
}

#[test]
fn a_database_that_cannot_be_used_is_told_without_its_password() {
    let home = Home::new();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.configure(&format!(
        "[storage]\nurl = \"postgres://kim:hunter2@{unused}/kim\"\n[listen]\nc2s = []\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n"
    ));
    let (code, message) = home.refused("user list", "");
    assert_eq!(code, 6, "{message}");
    assert!(
        message.starts_with("kim: cannot reach PostgreSQL at 127.0.0.1:"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 1);
    assert_eq!(lines(&checked, "FAIL  database").len(), 1, "{}", checked.out);
    assert!(!checked.out.contains("hunter2"));

    let directory = home.path.display().to_string();
    home.configure(&format!("[storage]\nurl = \"sqlite://{directory}\"\n"));
    assert_eq!(home.refused("user list", "").0, 6);
    std::fs::write(
        home.file("text.db"),
        "this is not a database, but it is long enough to look at".repeat(20),
    )
    .unwrap();
    home.configure(&format!("[storage]\nurl = \"sqlite://{directory}/text.db\"\n"));
    assert_eq!(home.refused("user list", "").0, 6);
}

#[test]
fn a_port_that_is_in_use_is_told() {
    let home = Home::new();
    let (code, message) = home.refused("", "");
    assert_eq!(code, 4, "what serve reports comes through");
    assert_eq!(
        message,
        "kim: cannot listen on [::1]:5222 ([listen] c2s): the port is in use; is kIM already running?\n"
    );
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    home.configure(&format!(
        "[listen]\nc2s = [\"{address}\"]\nc2s_tls = [\"192.0.2.1:5223\"]\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n"
    ));
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 1);
    let failed = lines(&checked, "FAIL  ports");
    assert!(
        failed[0].contains(&format!(
            "cannot listen on {address} ([listen] c2s): the port is in use"
        )),
        "{failed:?}"
    );
    assert!(
        failed[1].contains("([listen] c2s_tls): this machine does not have this address"),
        "{failed:?}"
    );
    assert_eq!(checked.err, "kim: 2 checks failed\n");
}

/// A room of a version to come.
struct Future;

impl Module for Future {
    type Config = NoSettings;
    const NAME: &'static str = "xep9999_future";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-9999",
        title: "Future",
        version: "0.1",
        coverage: Coverage::Complete,
    }];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep9999_future",
        name: "0001_future",
        sql: "CREATE TABLE future (id BIGINT PRIMARY KEY)",
    }];

    fn register(_: NoSettings, _: &mut Registrar<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let home = Home::new();
    let newer = App {
        modules: const { &[Entry::of::<Future>()] },
        ..app()
    };
    assert_eq!(home.kim_with("user list", "", &[], &newer).code, 0);
    let (code, message) = home.refused("user list", "");
    assert_eq!(code, 6);
    assert!(message.contains("newer"), "{message}");
    let checked = home.kim("check", "");
    assert!(
        lines(&checked, "FAIL  database")[0].contains("xep9999_future/0001_future"),
        "{}",
        checked.out
    );
}
