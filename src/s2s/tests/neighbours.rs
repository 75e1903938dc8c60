//! What stories about several servers need: a DNS server, an authority, and servers that know both.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use kim_core::config::{Config, Sources};
use kim_core::error::Condition;
use kim_core::jid::Jid;
use kim_core::random;
use kim_core::remote::{Outbound, Remotes, RowId};
use kim_core::session::Session;
use kim_core::stanza::{Kind, MessageType as Chat, Stanza};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::c2s::Security;
use crate::cli::prepare_data_dir;
use crate::s2s::{Federation, Ledger};
use crate::server::{Server, app};

/// How long a story waits for something before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A DNS server with the SRV records that it is told; every host is 127.0.0.1.
pub struct Names {
    pub address: SocketAddr,
    records: Arc<Mutex<HashMap<String, (u16, &'static str)>>>,
}

impl Names {
    pub async fn start() -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        let records: Arc<Mutex<HashMap<String, (u16, &'static str)>>> = Arc::default();
        let known = records.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                let Ok(asked) = Message::from_vec(&bytes[..length]) else {
                    continue;
                };
                let answer = answer(asked, &known.lock().unwrap());
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        Names { address, records }
    }

    /// Announces a server; the port 0 and the host `.` refuse.
    pub fn announce(&self, service: &str, domain: &str, port: u16, host: &'static str) {
        let name = format!("{service}._tcp.{domain}.");
        self.records.lock().unwrap().insert(name, (port, host));
    }
}

fn answer(asked: Message, known: &HashMap<String, (u16, &'static str)>) -> Message {
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_available = true;
    for query in asked.queries {
        let (name, kind) = (query.name().clone(), query.query_type());
        let srv = known.get(&name.to_ascii().to_ascii_lowercase());
        let data = match (kind, srv) {
            (RecordType::SRV, Some((port, host))) => {
                Some(RData::SRV(SRV::new(0, 0, *port, Name::from_ascii(host).unwrap())))
            }
            (RecordType::A, _) if name.to_ascii().starts_with("host.") => {
                Some(RData::A(A::new(127, 0, 0, 1)))
            }
            _ => None,
        };
        answer.add_query(query);
        match data {
            Some(data) => {
                answer.add_answer(Record::from_rdata(name, 1, data));
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
    }
    answer
}

/// An authority that issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Authority(
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"),
        )
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, PEM.
    pub fn issue(&self, names: &[String]) -> (String, String) {
        let params = CertificateParams::new(names.to_vec()).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// What happened to stanzas for other servers.
#[derive(Debug, PartialEq)]
pub enum Fate {
    Delivered(String),
    Returned(String, Condition),
}

struct Fates(mpsc::UnboundedSender<Fate>);

impl Ledger for Fates {
    fn delivered(&self, outbound: &Outbound) {
        let id = outbound.stanza.id.as_deref().unwrap_or_default();
        let _ = self.0.send(Fate::Delivered(id.to_owned()));
    }

    fn returned(&self, outbound: Outbound, condition: Condition) {
        let id = outbound.stanza.id.as_deref().unwrap_or_default();
        let _ = self.0.send(Fate::Returned(id.to_owned(), condition));
    }
}

/// A server of one domain.
pub struct Neighbour {
    pub domain: &'static str,
    pub server: Option<Server>,
    fates: mpsc::UnboundedReceiver<Fate>,
    /// Its stanzas are kept in the database, as far as federation knows.
    pub keeps: bool,
    home: PathBuf,
}

impl Neighbour {
    /// Starts one. `issuer` is who has issued its certificate, `trusted` whom it trusts.
    pub async fn start(
        domain: &'static str,
        names: &Names,
        issuer: &Authority,
        trusted: &Authority,
        settings: &str,
    ) -> Neighbour {
        let home = std::env::temp_dir().join(format!("kim-s2s-{}", random::token()));
        prepare_data_dir(&home).expect("a folder");
        Neighbour::start_in(home, domain, names, issuer, trusted, settings).await
    }

    /// Starts it anew, with other settings. What it has stored is there.
    pub async fn restart(mut self, names: &Names, authority: &Authority, settings: &str) -> Neighbour {
        self.stop().await;
        let home = std::mem::take(&mut self.home);
        Neighbour::start_in(home, self.domain, names, authority, authority, settings).await
    }

    async fn start_in(
        home: PathBuf,
        domain: &'static str,
        names: &Names,
        issuer: &Authority,
        trusted: &Authority,
        settings: &str,
    ) -> Neighbour {
        let (certificate, key) = issuer.issue(&[domain.to_owned(), format!("*.{domain}")]);
        let file = |name: &str, text: &str| {
            let path = home.join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
        let ca = file("ca.pem", &trusted.pem());
        let toml = format!(
            "[server]\ndomains = [\"{domain}\"]\ndata_dir = {:?}\n[tls]\ncert = {certificate:?}\nkey = {key:?}\n\
             [listen]\nc2s = []\nc2s_tls = []\nhttps = []\nhttp = []\ns2s = [\"127.0.0.1:0\"]\n\
             s2s_tls = [\"127.0.0.1:0\"]\n[s2s]\nca = {ca:?}\nresolver = \"{}\"\nprivate_addresses = true\n{settings}",
            home.join("data"),
            names.address
        );
        prepare_data_dir(&home.join("data")).expect("a folder");
        let config = Config::load(&Sources::none().text("test.toml", toml), &app().schemas());
        let server = Server::start(config.expect("a valid configuration")).await;
        let server = server.unwrap_or_else(|failure| panic!("{failure}"));
        let (tell, fates) = mpsc::unbounded_channel();
        let neighbour = Neighbour {
            domain,
            server: Some(server),
            fates,
            keeps: false,
            home,
        };
        neighbour.federation().account_to(Arc::new(Fates(tell)));
        names.announce(
            "_xmpp-server",
            domain,
            neighbour.port(Security::StartTls),
            "host.test.",
        );
        neighbour
    }

    pub fn federation(&self) -> &Arc<Federation> {
        self.server
            .as_ref()
            .and_then(Server::federation)
            .expect("federation")
    }

    pub fn port(&self, security: Security) -> u16 {
        let addresses = self.server.as_ref().expect("a server").s2s_addresses();
        let found = addresses.iter().find(|(kind, _)| *kind == security);
        found.expect("a listener").1.port()
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port(Security::StartTls)))
    }

    /// Sends a message to somebody elsewhere.
    pub fn send(&self, to: &str, id: &str) -> Result<(), Condition> {
        let from = Jid::parse(&format!("alice@{}/x", self.domain)).expect("an address");
        let stanza = Stanza::new(Kind::Message(Chat::Chat), "<body>hello</body>")
            .from(from)
            .to(Jid::parse(to).expect("an address"))
            .id(id);
        self.federation().push(Outbound {
            stanza: Arc::new(stanza),
            received: self.federation().router().clock().now(),
            row: self.keeps.then_some(RowId(1)),
        })
    }

    /// What happens next to a stanza of this server.
    pub async fn fate(&mut self) -> Fate {
        let fate = tokio::time::timeout(PATIENCE, self.fates.recv()).await;
        fate.expect("in time").expect("a fate")
    }

    /// What happens to one of its stanzas; what happens to others before is passed over.
    pub async fn fate_of(&mut self, wanted: &str) -> Fate {
        loop {
            let fate = self.fate().await;
            let (Fate::Delivered(id) | Fate::Returned(id, _)) = &fate;
            if id == wanted {
                return fate;
            }
        }
    }

    /// Stanzas that came from other servers.
    pub fn received(&self) -> u64 {
        self.federation()
            .counters
            .received
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Somebody of this server, signed in.
    pub async fn person(&self, name: &str) -> Arc<Session> {
        let jid = Jid::parse(&format!("{name}@{}/x", self.domain)).expect("an address");
        let session = Session::new(jid, false, None, 1_000_000);
        self.federation().router().start(&session).await.expect("room");
        session
    }

    /// Writes to somebody elsewhere, as clients do; when this returns, the message is stored.
    pub async fn write(&self, person: &Arc<Session>, to: &str, id: &str, body: &str) {
        let stanza = Stanza::new(Kind::Message(Chat::Chat), &format!("<body>{body}</body>"))
            .to(Jid::parse(to).expect("an address"))
            .id(id);
        let router = self.federation().router();
        let outcome = router.depart(person, stanza).await;
        router.perform(outcome).await;
    }

    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
