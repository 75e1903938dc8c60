//! The commands as an operator types them, and what they answer to good and bad input.

mod check;
mod invite;
mod key;
mod sample;
mod setup;
mod storage;
mod user;

use std::io::Cursor;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::*;

/// A folder with a configuration file; gone when this is dropped.
struct Home {
    path: PathBuf,
}

/// Settings with which no test depends on ports that another server on this machine may use.
const NO_PORTS: &str = "[listen]\nc2s = []\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n";

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
        home.configure(NO_PORTS);
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
            colours: false,
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

    /// Runs a command that must fail before anybody is asked for a password.
    fn never_asked(&self, typed: &str) -> (u8, String) {
        // With this option the first thing to be complained of would be the empty input.
        self.refused(&format!("{typed} --password-stdin"), "")
    }

    /// Runs a command that must succeed, without a word but the answer. The first one begins the database, and says so.
    fn done(&self, typed: &str, input: &str) -> String {
        let is_new = !self.file("data/kim.db").exists();
        let answer = self.kim(typed, input);
        let begins = format!(
            "kim: a new database begins at {}\n",
            self.file("data/kim.db").display()
        );
        let said = match is_new && self.file("data/kim.db").exists() {
            true => begins.as_str(),
            false => "",
        };
        assert_eq!((answer.code, answer.err.as_str()), (0, said), "kim {typed}");
        answer.out
    }

    /// Runs a command that lists nothing: the answer is empty, and people are told what that means.
    fn lists_nothing(&self, typed: &str, told: &str) {
        let answer = self.kim(typed, "");
        assert_eq!((answer.code, answer.out.as_str()), (0, ""), "kim {typed}");
        assert_eq!(answer.err, told, "kim {typed}");
    }

    /// A database without accounts.
    fn begin(&self) {
        self.done("user add first@localhost", "");
        self.done("user delete first@localhost --yes", "");
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
