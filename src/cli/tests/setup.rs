//! What stops a command before it begins: the configuration, the data directory, the database, the ports.

use std::net::TcpListener;

use kim_core::config::NoSettings;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::module::{Coverage, Module, Registrar, Spec};

use super::super::reach::Begins;
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
        for command in ["user add alice@localhost", "serve", ""] {
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
fn a_command_in_the_wrong_place_makes_nothing_and_says_how_to_name_another() {
    let home = Home::new();
    for typed in [
        "user list",
        "user show alice@localhost",
        "user passwd alice@localhost",
        "user delete alice@localhost",
        "invite list",
        "invite revoke 0123456789abcdef",
        "key rotate",
        "storage compact",
        "report list",
        "block list",
        "block add spammer.example",
    ] {
        let (code, message) = home.refused(typed, "y\n");
        let told = format!(
            "kim: there is no database at {}; name another place with --data-dir or --config, or begin one here with: \
             kim serve\n",
            home.file("data/kim.db").display()
        );
        assert_eq!((code, message), (6, told), "{typed}");
        assert!(!home.data().exists(), "{typed}");
    }
    let (_, message) = home.refused("s2s list", "");
    assert!(message.contains("--data-dir or --config"), "{message}");
    // An account or an invitation may begin one, but only where somebody said where.
    let begins = |is_named: bool| {
        let mut config = Config::default();
        config.server.data_dir = home.data();
        let site = Site {
            app: &app(),
            config: Arc::new(config),
            is_named,
        };
        let begins = runtime().unwrap().block_on(site.would_begin(Begins::IfNamed));
        begins.unwrap()
    };
    assert!(begins(true) && !begins(false));
    let added = home.kim("user add alice@localhost", "");
    let told = format!(
        "kim: a new database begins at {}\n",
        home.file("data/kim.db").display()
    );
    assert_eq!((added.code, added.err), (0, told));
    home.lists_nothing("block list", "Nothing is blocked.\n");
    home.lists_nothing("report list --all", "There are no reports.\n");
}

#[test]
fn a_certificate_or_key_that_is_missing_is_named_with_its_setting() {
    let home = Home::new();
    let (cert, key) = (home.file("a.crt"), home.file("a.key"));
    home.configure(&format!("{NO_PORTS}[tls]\ncert = {cert:?}\nkey = {key:?}\n"));
    let checked = home.kim("check", "");
    let told = format!(
        "FAIL  certificate    {} ([tls] cert): there is no such file",
        cert.display()
    );
    assert_eq!(lines(&checked, "FAIL"), [told], "{}", checked.out);
    let config = Config::load(&Sources::none().file(home.file("kim.toml")), &app().schemas()).unwrap();
    let load = || {
        let error = crate::tls::Certificates::load(&config).err().unwrap();
        Failure::from(error).to_string()
    };
    assert_eq!(
        load(),
        format!("{} ([tls] cert): there is no such file", cert.display())
    );
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    assert_eq!(
        load(),
        format!("{} ([tls] key): there is no such file", key.display())
    );
    std::fs::write(&key, "no key").unwrap();
    let told = load();
    assert!(
        told.contains("([tls] key): contains no private key in PEM"),
        "{told}"
    );
}

#[test]
fn ports_that_another_server_has_are_one_cause() {
    let home = Home::new();
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two, three] = held.each_ref().map(|held| held.local_addr().unwrap());
    home.configure(&format!(
        "[listen]\nc2s = [\"{one}\"]\nc2s_tls = [\"{two}\"]\ns2s = []\ns2s_tls = []\nhttps = [\"{three}\"]\nhttp = []\n"
    ));
    let checked = home.kim("check", "");
    let told = format!(
        "FAIL  ports          in use: {one} (c2s), {two} (c2s_tls), {three} (https); does kIM run already, with another \
         data directory (--data-dir)?"
    );
    assert_eq!(lines(&checked, "FAIL"), [told], "{}", checked.out);
    assert_eq!(checked.err, "kim: 1 check failed\n");
}

#[test]
fn what_depends_on_the_data_directory_is_skipped_where_that_fails() {
    let home = Home::new();
    std::fs::write(home.file("a-file"), "").unwrap();
    let checked = home.kim(&format!("check --data-dir {}", home.file("a-file").display()), "");
    assert_eq!(lines(&checked, "FAIL").len(), 1, "{}", checked.out);
    let skipped = lines(&checked, "skip");
    for what in ["certificate", "database"] {
        let told = format!("skip  {what:13}  the data directory cannot be used");
        assert!(skipped.contains(&told.as_str()), "{}", checked.out);
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
    assert_eq!(home.kim_with("user add alice@localhost", "", &[], &newer).code, 0);
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
