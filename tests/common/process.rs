//! The server as an operator runs it: a process with a data directory, signals and an exit code.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use kim::cli::prepare_data_dir;

/// A server process on free ports of 127.0.0.1, killed when dropped.
pub struct Process {
    child: Child,
    home: PathBuf,
    /// What it said on standard output.
    pub greeting: String,
    /// Where STARTTLS clients connect.
    pub tcp: SocketAddr,
    /// Where TLS clients connect.
    pub direct: SocketAddr,
    /// The reader's end of its standard output, of which the greeting was read.
    pub out: Option<BufReader<ChildStdout>>,
    /// The reader's end of its log, if that was asked for.
    pub log: Option<ChildStderr>,
}

/// A folder of its own for a server.
pub fn new_home() -> PathBuf {
    let home = std::env::temp_dir().join(format!("kim-test-{}", kim_core::random::token()));
    prepare_data_dir(&home).expect("a folder");
    home
}

/// A command of `kim` in a folder, with nothing of the settings, ports and files of whoever runs the tests.
pub fn kim(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kim"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KIM_")) {
        command.env_remove(name);
    }
    for key in ["C2S", "C2S_TLS", "HTTPS", "HTTP"] {
        command.env(format!("KIM__LISTEN__{key}"), "");
    }
    command.args(arguments).current_dir(folder);
    command
}

impl Process {
    /// Starts it and waits until clients can connect.
    pub fn start(settings: &[(&str, &str)]) -> Process {
        Process::start_reading(settings, "database")
    }

    /// The same, reading its greeting up to the line that begins with `end`.
    pub fn start_reading(settings: &[(&str, &str)], end: &str) -> Process {
        Process::begin(settings, "", end, Stdio::inherit())
    }

    /// The same with its log in a pipe.
    pub fn start_logging(settings: &[(&str, &str)], level: &str) -> Process {
        let settings: Vec<_> = settings.iter().copied().chain([("KIM_LOG", level)]).collect();
        Process::begin(&settings, "", "database", Stdio::piped())
    }

    /// The same with a file of settings.
    pub fn start_with_file(file: &str) -> Process {
        Process::begin(&[], file, "database", Stdio::inherit())
    }

    /// The same with its log in a pipe.
    pub fn start_with_file_logging(file: &str) -> Process {
        Process::begin(&[("KIM_LOG", "info")], file, "database", Stdio::piped())
    }

    /// Without any file of settings, and with its log in a pipe.
    pub fn start_without_file() -> Process {
        let home = new_home();
        Process::begin_in(home, &[("KIM_LOG", "info")], "database", Stdio::piped())
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self, end: &str) {
        self.signal("TERM");
        assert_eq!(self.wait(), Some(0));
        let home = std::mem::take(&mut self.home);
        *self = Process::begin_in(home, &[], end, Stdio::inherit());
    }

    fn begin(settings: &[(&str, &str)], file: &str, end: &str, log: Stdio) -> Process {
        let home = new_home();
        std::fs::write(home.join("kim.toml"), file).expect("the file of settings");
        Process::begin_in(home, settings, end, log)
    }

    fn begin_in(home: PathBuf, settings: &[(&str, &str)], end: &str, log: Stdio) -> Process {
        let mut command = kim(&home, &["serve", "--data-dir"]);
        command
            .arg(home.join("data"))
            .env("KIM__LISTEN__C2S", "127.0.0.1:0")
            .env("KIM__LISTEN__C2S_TLS", "127.0.0.1:0")
            .env("KIM__LISTEN__HTTPS", "127.0.0.1:0")
            .env("KIM__LISTEN__HTTP", "127.0.0.1:0")
            .env("KIM__LISTEN__S2S", "[]")
            .env("KIM__LISTEN__S2S_TLS", "[]")
            .env("KIM_LOG", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the server starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut greeting = String::new();
        loop {
            let mut line = String::new();
            let read = out.read_line(&mut line).expect("text");
            greeting.push_str(&line);
            if read == 0 || line.trim_start().starts_with(end) {
                break;
            }
        }
        let address = |mark: &str| {
            let line = greeting
                .lines()
                .find(|line| line.ends_with(mark))
                .expect("an address");
            line.split_whitespace()
                .nth(1)
                .expect("an address")
                .parse()
                .expect("an address")
        };
        Process {
            tcp: address("(STARTTLS)"),
            direct: address("(TLS)"),
            greeting,
            out: Some(out),
            log: child.stderr.take(),
            child,
            home,
        }
    }

    /// Runs a command beside it, on its data.
    pub fn kim(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = kim(&self.home, arguments);
        command.arg("--data-dir").arg(self.data_dir());
        command.output().expect("the command runs")
    }

    /// Its file of settings.
    pub fn settings(&self) -> PathBuf {
        self.home.join("kim.toml")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end and gives its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }

    /// Bytes of memory that are really there.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a figure");
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<usize>()
            .expect("a number")
            * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
