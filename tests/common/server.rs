//! A whole server in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kim::c2s::Security;
use kim::cli::prepare_data_dir;
use kim::http::listener::Speaks;
use kim::server::{Server, app};
use kim_core::accounts::Tombstone;
use kim_core::accounts::scram::Password;
use kim_core::config::{Config, Sources};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::Entry;

use super::{Client, PASSWORD, PATIENCE, TlsOptions};

/// A server on free ports of 127.0.0.1, with a data directory of its own.
pub struct TestServer {
    server: Option<Server>,
    home: PathBuf,
    /// Where STARTTLS clients connect.
    pub tcp: SocketAddr,
    /// Where TLS clients connect.
    pub direct: SocketAddr,
    /// Where browsers connect.
    pub https: SocketAddr,
    /// Where proxies do.
    pub http: SocketAddr,
}

impl TestServer {
    /// A server with the defaults.
    pub async fn start() -> TestServer {
        TestServer::configured("").await
    }

    /// A server with settings (TOML text).
    pub async fn configured(toml: &str) -> TestServer {
        TestServer::prepared(toml, |_| {}).await
    }

    /// The same, on a given database.
    pub async fn on_database(url: &str, toml: &str) -> TestServer {
        TestServer::begin(toml, Some(url), |_| {}).await
    }

    /// The same, with something laid in its data directory first.
    pub async fn prepared(toml: &str, prepare: impl FnOnce(&Path)) -> TestServer {
        TestServer::begin(toml, None, prepare).await
    }

    /// The same with other modules.
    pub async fn with_modules(toml: &str, modules: &[Entry]) -> TestServer {
        TestServer::build(toml, None, |_| {}, modules).await
    }

    async fn begin(toml: &str, url: Option<&str>, prepare: impl FnOnce(&Path)) -> TestServer {
        TestServer::build(toml, url, prepare, app().modules).await
    }

    async fn build(
        toml: &str,
        url: Option<&str>,
        prepare: impl FnOnce(&Path),
        modules: &[Entry],
    ) -> TestServer {
        let home = std::env::temp_dir().join(format!("kim-test-{}", kim_core::random::token()));
        prepare_data_dir(&home).expect("a data directory");
        prepare(&home);
        let mut sources = Sources::none().text("test.toml", toml).flag(
            "--data-dir",
            "server",
            "data_dir",
            home.to_string_lossy(),
        );
        if !toml.contains("c2s =") {
            sources = sources.flag("--c2s", "listen", "c2s", "127.0.0.1:0");
        }
        if !toml.contains("c2s_tls =") {
            sources = sources.flag("--c2s-tls", "listen", "c2s_tls", "127.0.0.1:0");
        }
        for (key, flag) in [
            ("https", "--https"),
            ("http", "--http"),
            ("component", "--component"),
            ("s2s", "--s2s"),
            ("s2s_tls", "--s2s-tls"),
        ] {
            if !toml.contains(&format!("{key} =")) {
                sources = sources.flag(flag, "listen", key, "127.0.0.1:0");
            }
        }
        if let Some(url) = url {
            sources = sources.flag("--url", "storage", "url", url);
        }
        let config = Config::load(&sources, &app().schemas()).expect("a valid configuration");
        let server = Server::start_with(config, modules)
            .await
            .expect("the server starts");
        let address = |security| {
            let mut all = server.addresses().iter();
            let found = all.find(|(kind, _)| *kind == security);
            // A shared port is the web's.
            let shared = || {
                server
                    .web_addresses()
                    .iter()
                    .find(|(speaks, _)| *speaks == Speaks::Both)
            };
            let shared = || shared().map(|(_, address)| *address);
            found
                .map(|(_, address)| *address)
                .or_else(shared)
                .expect("a listener")
        };
        let web = |is: fn(Speaks) -> bool| {
            let mut all = server.web_addresses().iter();
            all.find(|(speaks, _)| is(*speaks))
                .map(|(_, address)| *address)
                .expect("a listener")
        };
        TestServer {
            https: web(|speaks| matches!(speaks, Speaks::Https | Speaks::Both)),
            http: web(|speaks| speaks == Speaks::Http),
            tcp: address(Security::StartTls),
            direct: address(Security::DirectTls),
            home,
            server: Some(server),
        }
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// Its data directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Makes an account with the password [`PASSWORD`].
    pub async fn account(&self, jid: &str) -> BareJid {
        let account = BareJid::parse(jid).expect("a bare JID");
        let password = Password::prepare(PASSWORD).expect("a password");
        let accounts = self.server().house().router.accounts();
        accounts
            .create(&account, &password, Tombstone::Respect)
            .await
            .expect("a new account");
        account
    }

    /// A TCP connection on which nothing was said yet.
    pub async fn connect(&self) -> Client {
        Client::connect(self.tcp).await
    }

    /// A connection with Direct TLS (XEP-0368), the stream not opened yet.
    pub async fn connect_tls(&self) -> Client {
        let mut client = Client::connect(self.direct).await;
        client
            .handshake(&TlsOptions::direct())
            .await
            .expect("a TLS handshake");
        client
    }

    /// A stream to a domain, over STARTTLS, with the features read.
    pub async fn secured(&self, domain: &str) -> Client {
        let mut client = self.connect().await;
        client.open(domain).await;
        client.start_tls().await;
        client.open(domain).await;
        client
    }

    /// A session of a full JID whose account is made if it is not there; only bound, nothing was sent.
    pub async fn session(&self, jid: &str) -> Client {
        self.session_over(self.connect().await, jid).await
    }

    /// The same on a connection that is there.
    pub async fn session_over(&self, mut client: Client, jid: &str) -> Client {
        let jid = Jid::parse(jid).expect("a full JID");
        if !self
            .server()
            .house()
            .router
            .accounts()
            .exists(&jid.bare())
            .await
            .expect("accounts answer")
        {
            self.account(jid.bare().as_str()).await;
        }
        client.open(jid.domain()).await;
        client.start_tls().await;
        client.open(jid.domain()).await;
        client.login(jid.local().expect("a localpart"), PASSWORD).await;
        client.open(jid.domain()).await;
        client.bind(jid.resource()).await;
        client
    }

    /// Waits until something is so that nobody tells.
    pub async fn until(&self, mut is_so: impl FnMut(&Server) -> bool) {
        let waiting = async {
            while !is_so(self.server()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("it becomes so");
    }

    /// Stops the server in order, and tells when it has.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
