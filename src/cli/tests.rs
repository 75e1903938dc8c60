//! The commands as an operator types them, and what they answer to good and bad input.

use std::io::Cursor;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::cluster::Solo;
use kim_core::config::{Config, NoSettings};
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::jid::Jid;
use kim_core::module::{Coverage, Module, Registrar, Spec};
use kim_core::session::Session;
use zeroize::Zeroizing;

use crate::house::House;
use super::*;
use crate::control::{ControlSocket, Direct};

/// A folder with a configuration file; gone when this is dropped.
struct Home {
    path: PathBuf,
}

/// What a command answered.
#[derive(Debug)]
struct Answer {
    code: u8,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Home {
        let path = std::env::temp_dir().join(format!("kim-{}", kim_core::random::token()));
        std::fs::create_dir(&path).unwrap();
        let home = Home { path };
        home.configure("[listen]\nc2s = []\nc2s_tls = []\n");
        home
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.file("kim.toml"), text).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// Runs a command as typed, with a standard input.
    fn kim(&self, typed: &str, input: &str) -> Answer {
        self.kim_with(typed, input, &[], &app())
    }

    fn kim_with(&self, typed: &str, input: &str, environment: &[(&str, &str)], app: &App) -> Answer {
        let config = self.file("kim.toml").display().to_string();
        let mut arguments: Vec<OsString> = vec!["kim".into()];
        arguments.extend(typed.split_whitespace().map(OsString::from));
        arguments.extend(["--config".into(), config.into()]);
        if !typed.contains("--data-dir") {
            arguments.extend(["--data-dir".into(), self.data().into_os_string()]);
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut typed_passwords = vec!["typed".to_owned(), "typed".to_owned()].into_iter();
        let mut terminal = Terminal {
            out: Box::new(&mut out),
            err: Box::new(&mut err),
            input: Box::new(Cursor::new(input.to_owned())),
            prompt: Box::new(move |_| Ok(Zeroizing::new(typed_passwords.next().unwrap()))),
            environment: environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            logs: false,
        };
        let code = run_with(app, arguments, &mut terminal);
        drop(terminal);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer {
            code,
            out: text(out),
            err: text(err),
        }
    }

    /// Runs a command that must succeed.
    fn done(&self, typed: &str, input: &str) -> String {
        let answer = self.kim(typed, input);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "kim {typed}");
        answer.out
    }

    /// Runs a command that must fail, with one line.
    fn refused(&self, typed: &str, input: &str) -> (u8, String) {
        let answer = self.kim(typed, input);
        assert_eq!(answer.err.lines().count(), 1, "kim {typed}: {}", answer.err);
        assert_eq!(answer.out, "", "kim {typed}");
        (answer.code, answer.err)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn app() -> App {
    App {
        modules: kim_xep::MODULES,
        serve: |config, _| {
            Box::pin(async move {
                let address = "[::1]:5222".parse().unwrap();
                assert!(
                    config.server.data_dir.is_dir(),
                    "it is there before the server starts"
                );
                Err(Failure::listen(
                    "c2s",
                    address,
                    &std::io::ErrorKind::AddrInUse.into(),
                ))
            })
        },
        checks: Vec::new(),
    }
}

/// The lines of `kim check` that begin with a word.
fn lines<'a>(answer: &'a Answer, word: &str) -> Vec<&'a str> {
    answer.out.lines().filter(|line| line.starts_with(word)).collect()
}

#[test]
fn an_accounts_life() {
    let home = Home::new();
    assert_eq!(home.done("user list", ""), "");
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
    assert!(shown.contains("online   not known: no server runs"), "{shown}");
    assert_eq!(
        home.done("user delete alice@localhost", ""),
        "alice@localhost is removed\n"
    );
    assert_eq!(home.done("user list", ""), "bob@localhost\n");
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
    home.done("user delete alice@localhost", "");
    let (code, message) = home.refused("user add alice@localhost", "");
    assert_eq!(code, 10);
    assert!(message.contains("--reuse-name"), "{message}");
    home.done("user add alice@localhost --reuse-name", "");
}

#[test]
fn an_unknown_account_is_told() {
    let home = Home::new();
    for typed in ["user show", "user delete", "user passwd"] {
        assert_eq!(
            home.refused(&format!("{typed} nobody@localhost"), ""),
            (9, "kim: there is no account nobody@localhost\n".to_owned())
        );
    }
}

#[test]
fn an_address_must_be_an_account_of_this_server() {
    let home = Home::new();
    assert_eq!(
        home.refused("user add alice@elsewhere.example", ""),
        (
            1,
            "kim: elsewhere.example is not a domain of this server (localhost)\n".to_owned()
        )
    );
    for wrong in [
        "localhost",
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
            "kim: the password holds characters that no keyboard writes\n",
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
    assert_eq!(home.done("user list", ""), "");
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
    terminal.prompt = Box::new(|_| Err(std::io::Error::other("no terminal")));
    let refused = password::read(false, &mut terminal).unwrap_err();
    assert!(refused.to_string().contains("--password-stdin"), "{refused}");
}

#[test]
fn a_long_list_is_told_page_by_page() {
    let home = Home::new();
    home.done("user list", "");
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
        shown.ends_with("online   phone from 192.0.2.7, not available\n"),
        "{shown}"
    );
    assert_eq!(home.refused("user add alice@localhost", "").0, 10);
    let checked = home.kim("check", "");
    assert!(
        checked.out.contains("ok    server         runs\n"),
        "{}",
        checked.out
    );
    home.done("user delete alice@localhost", "");
    assert!(phone.has_left());
}

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
        "kim: two.example is not a domain of this server (three.example)\n"
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
        "[storage]\nurl = \"postgres://kim:hunter2@{unused}/kim\"\n[listen]\nc2s = []\nc2s_tls = []\n"
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
        "kim: cannot listen on [::1]:5222 ([listen] c2s): another program uses this port; is kIM running already?\n"
    );
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    home.configure(&format!(
        "[listen]\nc2s = [\"{address}\"]\nc2s_tls = [\"192.0.2.1:5223\"]\n"
    ));
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 1);
    let failed = lines(&checked, "FAIL  ports");
    assert!(
        failed[0].contains(&format!(
            "cannot listen on {address} ([listen] c2s): another program"
        )),
        "{failed:?}"
    );
    assert!(
        failed[1].contains("([listen] c2s_tls): this machine does not have this address"),
        "{failed:?}"
    );
    assert_eq!(checked.err, "kim: 2 of the checks failed\n");
}

/// A certificate for these names and its key, as files.
fn certificate(home: &Home, name: &str, domains: &[&str]) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(domains.iter().map(|d| d.to_string()).collect::<Vec<_>>())
        .unwrap();
    let (cert, key) = (
        home.file(&format!("{name}.crt")),
        home.file(&format!("{name}.key")),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

fn check_certificate(home: &Home, cert: &Path, key: &Path) -> String {
    let (cert, key) = (cert.display(), key.display());
    home.configure(&format!(
        "[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n[listen]\nc2s = []\nc2s_tls = []\n"
    ));
    let answer = home.kim("check", "");
    answer
        .out
        .lines()
        .filter(|line| line.contains("  certificate  "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_certificate_that_cannot_be_used_is_told() {
    let home = Home::new();
    let (cert, key) = certificate(&home, "good", &["localhost"]);
    let good = check_certificate(&home, &cert, &key);
    assert!(
        good.starts_with("ok    certificate    for localhost until "),
        "{good}"
    );
    assert!(
        good.contains("can be read by other users") && good.contains("self-signed"),
        "{good}"
    );

    let (other_cert, other_key) = certificate(&home, "other", &["example.org"]);
    let wrong_name = check_certificate(&home, &other_cert, &other_key);
    assert!(
        wrong_name.contains("FAIL  certificate    is not for localhost, only for example.org"),
        "{wrong_name}"
    );
    let wrong_key = check_certificate(&home, &cert, &other_key);
    assert!(
        wrong_key.contains("does not belong to the certificate"),
        "{wrong_key}"
    );
    let swapped = check_certificate(&home, &key, &cert);
    assert!(swapped.contains("holds no certificate"), "{swapped}");
    let no_key = check_certificate(&home, &cert, &cert);
    assert!(no_key.contains("holds no private key"), "{no_key}");
    let missing = check_certificate(&home, &home.file("none.crt"), &key);
    assert!(missing.contains("none.crt: there is no such file"), "{missing}");
    let directory = check_certificate(&home, &home.path, &key);
    assert!(directory.contains("cannot be read"), "{directory}");
    std::fs::write(
        home.file("garbage"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let garbage = check_certificate(&home, &home.file("garbage"), &key);
    assert!(garbage.starts_with("FAIL  certificate"), "{garbage}");
    let failure = inspect(&home.file("none.crt"), &key).unwrap_err();
    assert_eq!(failure.exit_code(), 5);
}

#[test]
fn a_fresh_machine_passes_the_check_and_nothing_is_made_by_it() {
    let home = Home::new();
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.out.contains("will be made at the first start"),
        "{}",
        checked.out
    );
    assert!(!home.data().exists());
    home.done("user add alice@localhost", "");
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 0);
    assert!(
        checked.out.contains("is reachable and up to date"),
        "{}",
        checked.out
    );
    let line_forms = checked
        .out
        .lines()
        .all(|line| ["ok  ", "warn", "FAIL"].contains(&&line[..4]));
    assert!(line_forms, "{}", checked.out);
}

#[test]
fn a_check_of_the_program_can_fail_the_whole() {
    let home = Home::new();
    let login: Check = Box::new(|context| {
        Box::pin(async move {
            assert!(!context.running);
            vec![Finding::fail("login", "nobody answers")]
        })
    });
    let answer = home.kim_with(
        "check",
        "",
        &[],
        &App {
            checks: vec![login],
            ..app()
        },
    );
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.ends_with("FAIL  login          nobody answers\n"),
        "{}",
        answer.out
    );
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
        room: "xep9999_future",
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

#[test]
fn modules_are_listed() {
    let home = Home::new();
    let shown = home.done("modules", "");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("xep0199_ping") && line.contains("XEP-0199")),
        "{shown}"
    );
    assert!(!home.data().exists(), "nothing is made for it");
    home.configure("[xep0199_ping]\nenabled = false\n");
    let shown = home.done("modules", "");
    assert!(shown.ends_with("\nxep0199_ping is switched off\n"), "{shown}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let home = Home::new();
    for typed in ["--help", "--version", "user --help", "user add --help"] {
        let answer = home.kim(typed, "");
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{typed}");
        assert!(answer.out.contains("kim"), "{}", answer.out);
    }
    assert_eq!(home.kim("fly", "").code, 2);
}

#[test]
fn the_arguments_are_consistent() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}
