//! The built server as an operator runs it: a process with a folder, a `kim.toml`, ports of its own and a log that has to
//! be clean at the end.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kim_core::accounts::scram::{Hash, Password, ScramKeys};
use kim_core::accounts::{AccountError, Accounts, AccountsOptions, Tombstone};
use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::testing::TestDb;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The password of everybody.
pub const PASSWORD: &str = "secret";

/// These only end a wait for something that will never come.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(60);

/// Ticks of the process accounting in a second, on every Linux that matters (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

/// Which database a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite,
    /// A schema of its own on the server that `KIM_TEST_POSTGRES` names.
    Postgres,
}

impl Database {
    /// Those that tests run on here.
    pub fn all() -> Vec<Database> {
        let postgres = std::env::var("KIM_TEST_POSTGRES").is_ok_and(|url| !url.is_empty());
        let postgres = postgres.then_some(Database::Postgres);
        std::iter::once(Database::Sqlite).chain(postgres).collect()
    }
}

/// A running server.
pub struct Kim {
    child: Child,
    folder: PathBuf,
    log: PathBuf,
    starts: usize,
    db: TestDb,
    accounts: Accounts,
    /// Where clients begin with TLS.
    pub direct: SocketAddr,
    /// Where clients ask for TLS.
    pub starttls: SocketAddr,
    /// A client's settings that trust this server's certificate and no other.
    pub trust: Arc<ClientConfig>,
}

impl Kim {
    /// A server on a fresh SQLite file, with these settings (TOML) beside those that tests need.
    pub async fn start(name: &str, settings: &str) -> Kim {
        Kim::start_on(Database::Sqlite, name, settings).await
    }

    /// The same on a database of either kind.
    pub async fn start_on(database: Database, name: &str, settings: &str) -> Kim {
        let db = match database {
            Database::Sqlite => TestDb::sqlite_file().await,
            Database::Postgres => TestDb::postgres().await.expect("a PostgreSQL server"),
        };
        let folder = std::env::temp_dir().join(format!("kim-run-{}", random::token()));
        fs::create_dir_all(&folder).expect("a folder");
        let config = format!(
            "[server]\ndomains = [\"localhost\"]\ndata_dir = {data:?}\n\
             [listen]\nc2s = [\"127.0.0.1:0\"]\nc2s_tls = [\"127.0.0.1:0\"]\ns2s = []\ns2s_tls = []\n\
             https = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\n\
             [storage]\nurl = {url:?}\n{settings}",
            data = folder.join("data"),
            url = db.url(),
        );
        fs::write(folder.join("kim.toml"), config).expect("a configuration");
        let log = log_file(&folder, name);
        let child = spawn(&folder, &log);
        let mut starting = Starting(Some(child));
        let [starttls, direct] = starting.addresses(&log).await;
        let options = AccountsOptions {
            iterations: 1,
            ..AccountsOptions::default()
        };
        let accounts = Accounts::open(db.db(), options)
            .await
            .expect("the accounts' tables");
        Kim {
            child: starting.0.take().expect("a child"),
            trust: trust(&folder.join("data/certs/localhost.crt")),
            folder,
            log,
            starts: 1,
            accounts,
            db,
            direct,
            starttls,
        }
    }

    /// Makes an account with the password [`PASSWORD`], if it is not there, past the server: its keys take one iteration, so
    /// that a thousand accounts take no time.
    pub async fn account(&self, jid: &str) {
        let account = BareJid::parse(jid).expect("a bare JID");
        let password = Password::prepare(PASSWORD).expect("a password");
        let keys = vec![ScramKeys::derive(&password, Hash::Sha256, 1)];
        match self.accounts.import(&account, keys, 0, Tombstone::Respect).await {
            Ok(()) | Err(AccountError::Exists) => {}
            Err(error) => panic!("{jid}: {error}"),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its database is.
    pub fn database(&self) -> &TestDb {
        &self.db
    }

    // ——— what it costs ———

    /// Where browsers connect.
    pub fn https(&self) -> SocketAddr {
        self.web("(HTTPS)")
    }

    /// Where proxies do.
    pub fn http(&self) -> SocketAddr {
        self.web("(HTTP)")
    }

    fn web(&self, how: &str) -> SocketAddr {
        let log = self.log();
        let address = log.lines().rev().find_map(|line| address_in(line, how));
        address.expect("it said where")
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// The most memory it ever had resident, in bytes.
    pub fn resident_bytes_max(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// From now on [`Kim::resident_bytes_max`] counts anew.
    pub fn forget_resident_max(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("it runs");
    }

    /// Kilobytes from its `/proc/PID/status`.
    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect(field)
    }

    /// Its memory once it no longer changes: tasks that end after their client saw the end still hold some.
    pub async fn settled_bytes(&self) -> u64 {
        let mut last = self.resident_bytes();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.resident_bytes();
            if std::mem::replace(&mut last, now) == now {
                break;
            }
        }
        last
    }

    /// CPU time it has used so far, in user space and in the kernel.
    pub fn cpu(&self) -> (Duration, Duration) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // The command's name, in parentheses, may hold anything; what follows are numbers, beginning with the third field.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let time = |at: usize| {
            let ticks: u64 = fields
                .get(at - 3)
                .and_then(|field| field.parse().ok())
                .expect("a number of ticks");
            Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
        };
        (time(14), time(15))
    }

    // ——— its end ———

    /// Ends it as a crash would, without a word (SIGKILL), and starts it again on the same data. It may listen elsewhere then.
    pub async fn crash_and_start_again(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.start_again().await;
    }

    /// Ends it as an operator does (SIGTERM), and starts it again on the same data.
    pub async fn stop_and_start_again(&mut self) {
        if let Err(why) = self.try_stop() {
            panic!("{why}");
        }
        self.start_again().await;
    }

    async fn start_again(&mut self) {
        self.starts += 1;
        self.log.set_extension(format!("{}.log", self.starts));
        let mut starting = Starting(Some(spawn(&self.folder, &self.log)));
        [self.starttls, self.direct] = starting.addresses(&self.log).await;
        self.child = starting.0.take().expect("a child");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Lines of the log that tell of a panic or an error of the server itself.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.log();
        log.lines()
            .filter(|line| line.contains("panicked") || line.contains("ERROR"))
            .map(str::to_owned)
            .collect()
    }

    /// Stops it as an operator does. It has to end well and to have logged neither a panic nor an error.
    pub fn stop(mut self) {
        if let Err(why) = self.try_stop() {
            panic!("{why}");
        }
    }

    /// The same, with what is wrong.
    pub fn try_stop(&mut self) -> Result<(), String> {
        if !self.is_running() {
            return Err(format!("the server has ended by itself:\n{}", self.log_end()));
        }
        let asked = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err("the server cannot be asked to stop".to_owned());
        }
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if begun.elapsed() < STOP_MAX => std::thread::sleep(Duration::from_millis(2)),
                other => {
                    return Err(format!(
                        "still there after SIGTERM ({other:?}):\n{}",
                        self.log_end()
                    ));
                }
            }
        };
        if !status.success() {
            return Err(format!("ended with {status}:\n{}", self.log_end()));
        }
        match self.complaints() {
            bad if bad.is_empty() => Ok(()),
            bad => Err(format!("the server logged:\n{}", bad.join("\n"))),
        }
    }

    fn log_end(&self) -> String {
        end_of(&self.log)
    }
}

impl Drop for Kim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", self.log_end());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server that may not come up: it does not outlive the test for that.
struct Starting(Option<Child>);

impl Starting {
    /// Waits for the greeting: it comes when clients can connect, and says where.
    async fn addresses(&mut self, log: &Path) -> [SocketAddr; 2] {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(log).unwrap_or_default();
            let address = |how: &str| text.lines().find_map(|line| address_in(line, how));
            if let (Some(starttls), Some(direct)) = (address("(STARTTLS)"), address("(TLS)"))
                && text.contains("\n  database ")
            {
                return [starttls, direct];
            }
            let child = self.0.as_mut().expect("a child");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the server ended with {status}:\n{}", end_of(log));
            }
            assert!(
                begun.elapsed() < START_MAX,
                "the server never said where it listens:\n{}",
                end_of(log)
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// `  clients      127.0.0.1:5222 (STARTTLS)`
fn address_in(line: &str, how: &str) -> Option<SocketAddr> {
    let line = line.trim();
    line.strip_prefix("clients")
        .or_else(|| line.strip_prefix("web"))?
        .trim()
        .strip_suffix(how)?
        .trim()
        .parse()
        .ok()
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(folder: &Path, log: &Path) -> Child {
    let out = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log");
    let binary = std::env::var("KIM_PROOF_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kim").to_owned());
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KIM__")) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--config", "kim.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a log"))
        .stderr(out)
        .spawn()
        .expect("the server's binary")
}

/// Where all logs are looked through in the end, if there is such a place.
fn log_file(folder: &Path, name: &str) -> PathBuf {
    match std::env::var_os("KIM_TEST_LOGS").map(PathBuf::from) {
        Some(logs) => {
            let _ = fs::create_dir_all(&logs);
            logs.join(format!("{name}-{}.log", &random::token()[..6]))
        }
        None => folder.join("kim.log"),
    }
}

/// How many descriptors this process and those it starts may have, after asking for as many as there can be.
pub fn descriptors() -> usize {
    let me = std::process::id().to_string();
    let limits = || fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let field = |at: usize| {
        let limits = limits();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        line.and_then(|line| line.split_whitespace().nth(at)?.parse::<usize>().ok())
            .unwrap_or(1024)
    };
    let _ = Command::new("prlimit")
        .args(["--pid", &me, &format!("--nofile={}", field(1))])
        .status();
    field(0)
}

fn end_of(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn trust(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_file_iter(certificate).expect("a certificate") {
        roots
            .add(der.expect("a certificate"))
            .expect("one that can be trusted");
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
