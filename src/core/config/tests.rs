//! What an operator writes, rightly and wrongly, and what the configuration says to it.

use std::path::PathBuf;

use super::*;
use crate::section;

section! {
    /// The archive.
    pub struct Archive {
        /// Days until a message is erased; 0 keeps it for ever.
        pub retention_days: u32 = 0, in 0..=36_500;
        /// Where copies go.
        pub copies: Option<String> = None, example r#""/var/copies""#;
    }
}

fn modules() -> Vec<Schema> {
    vec![
        Schema::module::<Archive>("xep0313_mam", &[]),
        Schema::module::<NoSettings>("xep0199_ping", &[]),
    ]
}

fn load(sources: Sources) -> Result<Config, ConfigErrors> {
    Config::load(&sources, &modules())
}

fn text(text: &str) -> Sources {
    Sources::none().text("kim.toml", text)
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources::none().environment(
        variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string())),
    )
}

/// All mistakes, a line each.
fn mistakes(sources: Sources) -> String {
    load(sources)
        .expect_err("this configuration is wrong")
        .to_string()
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = load(Sources::none()).unwrap();
    assert_eq!(config.main_domain(), "localhost");
    assert_eq!(config.server.admins, ["admin@localhost"]);
    assert_eq!(config.listen.c2s, ["[::]:5222".parse().unwrap()]);
    assert_eq!(config.listen.c2s_tls, ["[::]:5223".parse().unwrap()]);
    assert_eq!(config.storage_url().as_str(), "sqlite://data/kim.db");
    assert_eq!(config.control_socket(), PathBuf::from("data/kim.sock"));
    assert!(config.c2s.require_tls && !config.c2s.plain);
    assert!(!config.registration.open && config.registration.guests);
    assert_eq!(config.limits.stanza_bytes_max, 262_144);
    assert!(config.modules.is_enabled("xep0313_mam"));
    assert_eq!(
        config.modules.section::<Archive>("xep0313_mam").unwrap(),
        Archive::default()
    );
}

#[test]
fn a_file_sets_what_it_names_and_nothing_else() {
    let config = load(text(
        "[server]\ndomains = [\"example.org\", \"example.net\"]\ndata_dir = \"/var/lib/kim\"\n\
         [limits]\nstanza_bytes_max = 300_000\n[xep0313_mam]\nretention_days = 30\n[xep0199_ping]\nenabled = false\n",
    ))
    .unwrap();
    assert_eq!(config.main_domain(), "example.org");
    assert_eq!(config.storage_url().as_str(), "sqlite:///var/lib/kim/kim.db");
    assert_eq!(
        config.limits,
        Limits {
            stanza_bytes_max: 300_000,
            ..Limits::default()
        }
    );
    assert_eq!(
        config
            .modules
            .section::<Archive>("xep0313_mam")
            .unwrap()
            .retention_days,
        30
    );
    assert!(config.modules.is_enabled("xep0313_mam"));
    assert!(!config.modules.is_enabled("xep0199_ping"));
}

#[test]
fn each_component_has_a_section_of_its_own() {
    let section = |name: &str| format!("[[component]]\njid = \"{name}.localhost\"\nsecret = \"of {name}\"\n");
    let config = load(text(&(section("irc") + &section("sip")))).unwrap();
    let told: Vec<(&str, &str)> = config
        .components
        .iter()
        .map(|component| (&*component.jid, component.secret.expose()))
        .collect();
    assert_eq!(told, [("irc.localhost", "of irc"), ("sip.localhost", "of sip")]);
    assert!(
        !format!("{config:?}").contains("of irc"),
        "a secret is never shown"
    );
    let twice = load(text(&(section("irc") + &section("irc")))).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "kim.toml:4: there is another [[component]] with jid \"irc.localhost\""
    );
}

#[test]
fn the_administrator_lives_at_the_main_domain_unless_told() {
    assert_eq!(
        load(text("[server]\ndomains = [\"a.example\"]"))
            .unwrap()
            .server
            .admins,
        ["admin@a.example"]
    );
    let told = load(text(
        "[server]\ndomains = [\"a.example\"]\nadmins = [\"root@a.example\"]",
    ))
    .unwrap();
    assert_eq!(told.server.admins, ["root@a.example"]);
    assert!(
        load(text("[server]\nadmins = []"))
            .unwrap()
            .server
            .admins
            .is_empty()
    );
}

#[test]
fn the_environment_wins_over_the_file_and_flags_win_over_both() {
    let sources =
        text("[server]\ndomains = [\"file.example\"]\ndata_dir = \"file\"\n[limits]\ndepth_max = 32\n")
            .environment([
                (
                    "KIM__SERVER__DOMAINS".to_owned(),
                    "one.example, two.example".to_owned(),
                ),
                ("KIM__SERVER__DATA_DIR".to_owned(), "environment".to_owned()),
                ("KIM__C2S__REQUIRE_TLS".to_owned(), "false".to_owned()),
                ("KIM_OTHER".to_owned(), "not ours".to_owned()),
            ])
            .flag("--data-dir", "server", "data_dir", "flag");
    let config = load(sources).unwrap();
    assert_eq!(
        config
            .server
            .domains
            .iter()
            .map(|d| d.to_string())
            .collect::<Vec<_>>(),
        ["one.example", "two.example"]
    );
    assert_eq!(config.server.data_dir, PathBuf::from("flag"));
    assert_eq!(config.limits.depth_max, 32);
    assert!(!config.c2s.require_tls);
}

#[test]
fn lists_in_the_environment_are_toml_or_have_commas() {
    for written in [
        r#"["[::]:5222", "127.0.0.1:5000"]"#,
        "[::]:5222,127.0.0.1:5000",
        " [::]:5222 , 127.0.0.1:5000 ",
    ] {
        let config = load(environment(&[("KIM__LISTEN__C2S", written)])).unwrap();
        assert_eq!(config.listen.c2s.len(), 2, "{written}");
    }
    assert!(
        load(environment(&[("KIM__LISTEN__C2S_TLS", "")]))
            .unwrap()
            .listen
            .c2s_tls
            .is_empty()
    );
    assert!(
        load(environment(&[("KIM__LISTEN__C2S_TLS", "[]")]))
            .unwrap()
            .listen
            .c2s_tls
            .is_empty()
    );
}

#[test]
fn an_empty_variable_leaves_an_optional_key_absent() {
    let config = load(environment(&[("KIM__STORAGE__URL", ""), ("KIM__TLS__CERT", "")])).unwrap();
    assert_eq!(config.storage.url, None);
    assert_eq!(config.tls.cert, None);
}

#[test]
fn modules_are_set_by_the_environment_too() {
    let sources = environment(&[
        ("KIM__XEP0313_MAM__RETENTION_DAYS", "7"),
        ("KIM__XEP0199_PING__ENABLED", "false"),
    ]);
    let config = load(sources).unwrap();
    assert_eq!(
        config
            .modules
            .section::<Archive>("xep0313_mam")
            .unwrap()
            .retention_days,
        7
    );
    assert!(!config.modules.is_enabled("xep0199_ping"));
}

/// Each line: what is written in the file, and the whole message about it.
#[test]
fn every_mistake_is_one_line_with_its_place_and_the_remedy() {
    let cases = [
        (
            "[limits]\nenabled = true\nstanza_byte_max = 1\n",
            r#"kim.toml:3: unknown key "stanza_byte_max" in [limits]; did you mean "stanza_bytes_max"?"#,
        ),
        (
            "\n[limit]\n",
            "kim.toml:2: unknown section [limit]; did you mean [limits]?",
        ),
        (
            "[xep0313_mamm]\n",
            "kim.toml:1: unknown section [xep0313_mamm]; did you mean [xep0313_mam]?",
        ),
        (
            "[xep0313_mam]\nretention = 1\n",
            r#"kim.toml:2: unknown key "retention" in [xep0313_mam]; known keys are enabled, retention_days, copies"#,
        ),
        (
            "[xep0313_mam]\nretention_day = 1\n",
            r#"kim.toml:2: unknown key "retention_day" in [xep0313_mam]; did you mean "retention_days"?"#,
        ),
        (
            "[limits]\nstanza_bytes_max = \"256 KB\"\n",
            r#"kim.toml:2: "stanza_bytes_max" in [limits] must be a whole number from 10000 to 16777216, not a string"#,
        ),
        (
            "[limits]\nstanza_bytes_max = 5\n",
            r#"kim.toml:2: "stanza_bytes_max" in [limits] must be a whole number from 10000 to 16777216, not 5"#,
        ),
        (
            "[limits]\ndepth_max = -1\n",
            r#"kim.toml:2: "depth_max" in [limits] must be a whole number from 8 to 256, not -1"#,
        ),
        (
            "[limits]\ndepth_max = 99999999999999999999\n",
            r#"kim.toml:2: "depth_max" in [limits] must be a whole number from 8 to 256, not so large a number"#,
        ),
        (
            "[limits]\ndepth_max = 1.5\n",
            r#"kim.toml:2: "depth_max" in [limits] must be a whole number from 8 to 256, not a fraction"#,
        ),
        (
            "[c2s]\nplain = 1\n",
            r#"kim.toml:2: "plain" in [c2s] must be true or false, not 1"#,
        ),
        (
            "[c2s]\nplain = true\n\nplain = false\n",
            r#"kim.toml:4: duplicate key "plain""#,
        ),
        ("[c2s]\n[limits]\n[c2s]\n", r#"kim.toml:3: duplicate key "c2s""#),
        (
            "plain = true\n",
            r#"kim.toml:1: unknown key "plain" outside any section; it belongs in [c2s]"#,
        ),
        (
            "limits = 3\n",
            r#"kim.toml:1: "limits" is a section; write [limits] and its keys below it"#,
        ),
        (
            "[[limits]]\n",
            "kim.toml:1: [limits] may stand once only; write [limits] instead of [[limits]]",
        ),
        (
            "[component]\njid = \"irc.localhost\"\n",
            "kim.toml:1: [component] may stand several times in the file; write [[component]]",
        ),
        (
            "[[component]]\njid = \"irc.localhost\"\n",
            "kim.toml:1: [[component]] needs \"secret\"",
        ),
        (
            "[[component]]\njid = \"irc.localhost\"\nsecret = \"\"\n",
            "kim.toml:3: \"secret\" in [component] must be a text that is not empty, not an empty one",
        ),
        (
            "[[components]]\njid = \"irc.localhost\"\n",
            "kim.toml:1: unknown section [[components]]",
        ),
        (
            "[server]\nurl = \"x\"\n",
            r#"kim.toml:2: unknown key "url" in [server]; it belongs in [storage]"#,
        ),
        (
            "[tls]\nacme = []\n",
            r#"kim.toml:2: unknown key "acme" in [tls]; this version does not have it yet"#,
        ),
        (
            "[cluster]\nredis = \"\"\n",
            "kim.toml:1: unknown section [cluster]; this version does not have it yet",
        ),
        (
            "[server.deep]\nx = 1\n",
            "kim.toml:1: unknown section [server.deep]; known sections are server, listen, tls, storage, registration, rooms, \
             c2s, s2s, push.webpush, push.fcm, push.apns, http, contact, component, limits, xep0313_mam, xep0199_ping",
        ),
        (
            "[server]\ndomains = []\n",
            r#"kim.toml:2: "domains" in [server] is empty; a server needs at least one domain"#,
        ),
        (
            "[server]\ndomains = [\"a@b\"]\n",
            r#"kim.toml:2: each item of "domains" in [server] must be a domain such as "example.org", not "a@b""#,
        ),
        (
            "[server]\ndomains = \"a.example\"\n",
            r#"kim.toml:2: "domains" in [server] must be a list, each item a domain such as "example.org", not a string"#,
        ),
        (
            "[server]\ndomains = [\"a\", \"A\"]\n",
            r#"kim.toml:2: "domains" in [server] has a twice"#,
        ),
        (
            "[server]\nadmins = [\"root\"]\n",
            r#"kim.toml:2: each item of "admins" in [server] must be an account such as "admin@example.org", not "root""#,
        ),
        (
            "[contact]\nabuse = [\"abuse@example.org\"]\n",
            r#"kim.toml:2: each item of "abuse" in [contact] must be a URI such as "mailto:admin@example.org", not "abuse@example.org""#,
        ),
        (
            "[listen]\nc2s = [\"127.0.0.1:99999\"]\n",
            r#"kim.toml:2: each item of "c2s" in [listen] must be an address with a port from 1 to 65535, such as "[::]:5222" or "127.0.0.1:5222", not "127.0.0.1:99999""#,
        ),
        (
            "[s2s]\nresolver = \"127.0.0.1:99999\"\n",
            r#"kim.toml:2: "resolver" in [s2s] must be an address with a port from 1 to 65535, such as "[::]:5222" or "127.0.0.1:5222", not "127.0.0.1:99999""#,
        ),
        (
            "[tls]\ncert = \"c.pem\"\n",
            r#"kim.toml:2: "cert" in [tls] needs "key" beside it"#,
        ),
        (
            "[tls]\nkey = \"k.pem\"\n",
            r#"kim.toml:2: "key" in [tls] needs "cert" beside it"#,
        ),
        (
            "[tls]\nkey = \"\"\n",
            r#"kim.toml:2: "key" in [tls] must be a path, not an empty string"#,
        ),
        (
            "[listen]\nc2s = [\"[::]:5223\"]\n",
            r#"kim.toml:2: "c2s" in [listen] has [::]:5223, and so has "c2s_tls" by default"#,
        ),
        (
            "[limits]\nstanza_bytes_max = 2000000\noutbox_bytes_max = 2000000\n",
            "kim.toml:2: \"stanza_bytes_max\" in [limits] would leave no room for one stanza: bytes_burst is 1048576, stanza_bytes_max 2000000",
        ),
    ];
    for (written, message) in cases {
        assert_eq!(mistakes(text(written)), message, "for {written:?}");
    }
}

#[test]
fn any_free_port_may_be_asked_for_twice() {
    let free = load(text(
        "[listen]\nc2s = [\"127.0.0.1:0\"]\nc2s_tls = [\"127.0.0.1:0\"]\n",
    ));
    assert!(free.is_ok(), "{free:?}");
}

#[test]
fn an_item_of_a_list_is_told_on_its_own_line() {
    let message = mistakes(text("[listen]\nc2s = [\n  \"[::]:5222\",\n  \"5222\",\n]\n"));
    assert_eq!(
        message,
        "kim.toml:4: each item of \"c2s\" in [listen] must be an address with a port from 1 to 65535, such as \
         \"[::]:5222\" or \"127.0.0.1:5222\", not \"5222\""
    );
}

#[test]
fn broken_syntax_is_told_with_its_line_and_in_one_line() {
    for (written, line) in [
        ("[server\n", 1),
        ("[server]\ndomains = [\n", 2),
        ("[server]\ndata_dir = yes\n", 2),
        ("\n\n=\n", 3),
    ] {
        let message = mistakes(text(written));
        assert!(
            message.starts_with(&format!("kim.toml:{line}: not TOML: ")),
            "{written:?}: {message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn several_mistakes_are_told_together_in_the_order_of_lines() {
    let message = mistakes(text("[limits]\ndeth_max = 1\n[c2s]\nplain = 3\n[serve]\n"));
    let lines: Vec<_> = message
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines, ["kim.toml:2:", "kim.toml:4:", "kim.toml:5:"], "{message}");
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    for (name, value, message) in [
        (
            "KIM__LIMITS__STANZA_BYTE_MAX",
            "1",
            "KIM__LIMITS__STANZA_BYTE_MAX: unknown key \"stanza_byte_max\" in [limits]; did you mean KIM__LIMITS__STANZA_BYTES_MAX?",
        ),
        (
            "KIM__LIMIT__X",
            "1",
            "KIM__LIMIT__X: unknown section [limit]; did you mean [limits]?",
        ),
        (
            "KIM__DATA_DIR",
            "x",
            "KIM__DATA_DIR: names no setting; write KIM__SECTION__KEY",
        ),
        (
            "KIM__LIMITS__DEPTH_MAX",
            "deep",
            "KIM__LIMITS__DEPTH_MAX: \"depth_max\" in [limits] must be a whole number from 8 to 256, not \"deep\"",
        ),
        (
            "KIM__C2S__PLAIN",
            "yes",
            "KIM__C2S__PLAIN: \"plain\" in [c2s] must be true or false, not \"yes\"",
        ),
    ] {
        assert_eq!(mistakes(environment(&[(name, value)])), message);
    }
}

#[test]
fn a_flag_is_checked_like_a_key() {
    let message = mistakes(Sources::none().flag("--domain", "server", "domains", "not a domain"));
    assert_eq!(
        message,
        "--domain: each item of \"domains\" in [server] must be a domain such as \"example.org\", not \"not a domain\""
    );
}

#[test]
fn a_file_that_is_named_must_be_there_and_readable() {
    assert_eq!(
        mistakes(Sources::none().file("/nonexistent/kim.toml")),
        "/nonexistent/kim.toml: there is no such configuration file"
    );
    assert!(mistakes(Sources::none().file("/")).starts_with("/: cannot be read: "));
}

#[test]
fn the_password_of_a_database_is_never_shown() {
    let config = load(text(
        "[storage]\nurl = \"postgres://kim:s3cret@db.example:5432/kim?password=s3cret\"\n",
    ))
    .unwrap();
    assert!(config.storage_url().as_str().contains("s3cret"));
    assert_eq!(
        config.storage_url().to_string(),
        "postgres://kim:***@db.example:5432/kim"
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    let message = mistakes(text("[storage]\nurl = \"mysql://kim:s3cret@db\"\n"));
    assert_eq!(
        message,
        "kim.toml:2: \"url\" in [storage] must be \"sqlite://FILE\" or \"postgres://USER:PASSWORD@HOST/DATABASE\", \
         not what is written there"
    );
    assert!(!mistakes(environment(&[("KIM__STORAGE__URL", "kim:s3cret@db")])).contains("s3cret"));
}

#[test]
fn the_sample_says_what_holds_anyway() {
    let sample = sample(&modules());
    let config = load(text(&sample)).unwrap();
    let defaults = load(Sources::none()).unwrap();
    assert_eq!(config.server, defaults.server);
    assert_eq!(config.listen, defaults.listen);
    assert_eq!(config.tls, defaults.tls);
    assert_eq!(config.storage, defaults.storage);
    assert_eq!(config.registration, defaults.registration);
    assert_eq!(config.c2s, defaults.c2s);
    assert_eq!(config.contact, defaults.contact);
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(
        config.modules.section::<Archive>("xep0313_mam").unwrap(),
        Archive::default()
    );
}

#[test]
fn every_key_has_documentation_a_default_within_its_bounds_and_a_sample() {
    for schema in core_schemas().into_iter().chain(modules()) {
        for field in schema.fields() {
            let name = format!("[{}] {}", schema.name, field.name);
            assert!(!field.docs.is_empty(), "{name} has no documentation");
            assert!(
                field.default.is_some() != field.example.is_some(),
                "{name}: a default, or an example"
            );
            if let Some(range) = field.range {
                let default: i64 = field.default.unwrap().parse().unwrap();
                assert!(range.contains(&default), "{name}: {default} is out of bounds");
            }
        }
    }
}

#[test]
fn the_examples_in_the_sample_can_be_uncommented() {
    let sample = sample(&modules())
        .replace("# cert =", "cert =")
        .replace("# key =", "key =")
        .replace("# key_id =", "key_id =")
        .replace("# team_id =", "team_id =")
        .replace("topics = []", "topics = [\"org.example.app\"]")
        .replace("# url =", "url =");
    let config = load(text(&sample)).unwrap();
    assert!(config.tls.cert.is_some() && config.tls.key.is_some() && config.storage.url.is_some());
}

#[test]
fn what_is_planned_is_not_what_exists() {
    for (section, key) in later::PLANNED {
        let schema = core_schemas().into_iter().find(|schema| schema.name == *section);
        match key {
            None => assert!(schema.is_none(), "[{section}] exists"),
            Some(key) => {
                let exists =
                    schema.is_some_and(|schema| schema.fields().iter().any(|field| field.name == *key));
                assert!(!exists, "[{section}] {key} exists");
            }
        }
    }
}

#[test]
fn lifted_limits_leave_form_time_and_guessing_bounded() {
    let off = Limits {
        enabled: false,
        ..Limits::default()
    };
    let lifted = off.effective();
    assert!(lifted.stanzas_per_second > 1_000_000 && lifted.streams_per_address_max > 1_000_000);
    assert_eq!(
        (
            lifted.depth_max,
            lifted.stanza_bytes_max,
            lifted.attributes_max,
            lifted.children_max
        ),
        (
            off.depth_max,
            off.stanza_bytes_max,
            off.attributes_max,
            off.children_max
        )
    );
    assert_eq!(lifted.login_seconds_max, off.login_seconds_max);
    assert_eq!(lifted.sasl_tries_per_stream_max, off.sasl_tries_per_stream_max);
    assert_eq!(lifted.login_failures_burst, off.login_failures_burst);
    assert_eq!(lifted.account_failures_burst, off.account_failures_burst);
    assert_eq!(Limits::default().effective(), Limits::default());
}
