//! The server as an operator runs it: a process with a data directory, signals and an exit code.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
}

impl Process {
    /// Starts it and waits until clients can connect.
    pub fn start(settings: &[(&str, &str)]) -> Process {
        Process::start_reading(settings, "database")
    }

    /// The same, reading its greeting up to the line that begins with `end`.
    pub fn start_reading(settings: &[(&str, &str)], end: &str) -> Process {
        Process::begin(settings, "", end)
    }

    /// The same with a file of settings.
    pub fn start_with_file(file: &str) -> Process {
        Process::begin(&[], file, "database")
    }

    fn begin(settings: &[(&str, &str)], file: &str, end: &str) -> Process {
        let home = std::env::temp_dir().join(format!("kim-test-{}", kim_core::random::token()));
        prepare_data_dir(&home).expect("a folder");
        std::fs::write(home.join("kim.toml"), file).expect("the file of settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kim"));
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(home.join("data"))
            .current_dir(&home)
            .env("KIM__LISTEN__C2S", "127.0.0.1:0")
            .env("KIM__LISTEN__C2S_TLS", "127.0.0.1:0")
            .env("KIM__LISTEN__HTTPS", "127.0.0.1:0")
            .env("KIM__LISTEN__HTTP", "127.0.0.1:0")
            .env("KIM__LISTEN__S2S", "[]")
            .env("KIM__LISTEN__S2S_TLS", "[]")
            .env("KIM_LOG", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let out = child.stdout.take().expect("its output");
        let mut greeting = String::new();
        for line in BufReader::new(out).lines() {
            let line = line.expect("text");
            greeting.push_str(&line);
            greeting.push('\n');
            if line.trim_start().starts_with(end) {
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
            child,
            home,
        }
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
