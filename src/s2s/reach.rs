//! Reaching a server: connecting to one of its addresses, TLS, and the first words (RFC 6120 §3–§5). Also what is done on a
//! connection for that alone: asking about a key of dialback, and looking what a server offers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::error::Condition;
use kim_core::ns;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::dialback::{self, Addresses, Dialback, Verdict};
use super::dns::{self, NoWay, Target};
use super::exchange::Chain;
use super::hub::Federation;
use super::identity::{self, Unproven};
use super::talk::{Features, Said, ServerTalk, TalkBroken, TalkOpening, judge};
use super::{dane, tls};

/// How long the way to one server of a domain may take, and to the first byte of it.
pub const ATTEMPT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// How long an address has before the next one is tried beside it (RFC 8305 §5).
pub const HEAD_START: Duration = Duration::from_millis(250);

/// Why an attempt failed.
#[derive(Debug)]
pub struct Failed {
    /// What the senders are told.
    pub condition: Condition,
    /// Nothing will change soon: what could wait comes back too.
    pub is_final: bool,
    /// For the operator, in one line.
    pub why: String,
}

impl Failed {
    pub(super) fn soon(why: impl Into<String>) -> Failed {
        Failed {
            condition: Condition::RemoteServerTimeout,
            is_final: false,
            why: why.into(),
        }
    }
}

impl From<TalkBroken> for Failed {
    fn from(broken: TalkBroken) -> Failed {
        let why = broken.to_string();
        // XEP-0220 §2.5: a server that does not know the domain is not the one that was looked for.
        match &broken {
            TalkBroken::Theirs(said) if said.starts_with("host-unknown") => Failed {
                condition: Condition::RemoteServerNotFound,
                is_final: false,
                why,
            },
            _ => Failed::soon(why),
        }
    }
}

impl From<NoWay> for Failed {
    fn from(no_way: NoWay) -> Failed {
        let is_final = matches!(no_way, NoWay::NoServer(_));
        Failed {
            condition: match is_final {
                true => Condition::RemoteServerNotFound,
                false => Condition::RemoteServerTimeout,
            },
            is_final,
            why: no_way.to_string(),
        }
    }
}

/// An encrypted stream to a server, whose certificate has been judged.
pub struct SecuredPeer {
    /// The stream, before its header.
    pub talk: ServerTalk<TlsStream<TcpStream>>,
    /// Where it is.
    pub address: SocketAddr,
    /// What it has shown.
    pub chain: Chain,
    /// What that proves.
    pub certified: Result<(), Unproven>,
}

/// A stream whose features are known.
pub struct PeerGreeted<S> {
    /// The stream.
    pub talk: ServerTalk<S>,
    /// What its header says.
    pub said: Said,
    /// What is offered.
    pub features: Features,
}

/// Connects to a server and encrypts.
pub async fn secure(
    hub: &Federation,
    local: &str,
    remote: &str,
    target: &Target,
) -> Result<SecuredPeer, Failed> {
    let (tcp, address) = connect(hub, target).await?;
    crate::c2s::listener::prepare(&tcp);
    let tcp = match target.direct_tls {
        true => tcp,
        false => start_tls(hub, tcp, local, remote).await?,
    };
    let loaded = hub.certificates.current();
    let (encrypted, associations) = tokio::join!(
        tls::connect(tcp, &loaded, local, remote, target.direct_tls),
        hub.lookup.associations(remote, target)
    );
    let encrypted = encrypted.map_err(|error| Failed::soon(format!("TLS: {error}")))?;
    let by_authority = match target.by_proxy {
        // Such a name is itself the sum of a key, and the proxy has checked it.
        true => Ok(()),
        false => identity::judge(&encrypted.chain, &hub.roots, remote),
    };
    let certified = dane::judge(&encrypted.chain, &associations, by_authority, remote);
    Ok(SecuredPeer {
        talk: ServerTalk::new(encrypted.io, hub.wire_before_proof()),
        address,
        chain: Arc::new(encrypted.chain),
        certified,
    })
}

/// Connects to the first address that answers, each with a head start before the next (RFC 8305).
async fn connect(hub: &Federation, target: &Target) -> Result<(TcpStream, SocketAddr), Failed> {
    if let (true, Some(proxy)) = (target.by_proxy, hub.settings().socks) {
        let through = tokio_socks::tcp::Socks5Stream::connect(proxy, (target.host.as_str(), target.port));
        let stream = timeout(ATTEMPT, through)
            .await
            .map_err(|_| Failed::soon("the proxy does not answer"))?;
        let stream = stream.map_err(|error| Failed::soon(format!("proxy: {error}")))?;
        return Ok((stream.into_inner(), proxy));
    }
    let addresses = dns::addresses(&*hub.lookup, target, hub.settings()).await?;
    let mut attempts = tokio::task::JoinSet::new();
    let mut addresses = addresses.into_iter();
    let mut last = "no address".to_owned();
    let mut next = addresses.next();
    loop {
        let is_last = next.is_none();
        if let Some(address) = next.take() {
            attempts.spawn(async move {
                let connected = timeout(CONNECT, TcpStream::connect(address)).await;
                (address, connected)
            });
        } else if attempts.is_empty() {
            return Err(Failed::soon(last));
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok((address, Ok(Ok(tcp)))) => return Ok((tcp, address)),
                Ok((address, Ok(Err(error)))) => last = format!("{}: {error}", address.ip()),
                Ok((address, Err(_))) => last = format!("{}: no answer in time", address.ip()),
                Err(_) => {}
            },
            () = tokio::time::sleep(HEAD_START), if !is_last => {}
        }
        next = addresses.next();
    }
}

async fn start_tls(
    hub: &Federation,
    tcp: TcpStream,
    local: &str,
    remote: &str,
) -> Result<TcpStream, TalkBroken> {
    let talk = ServerTalk::new(tcp, hub.wire_before_proof());
    let PeerGreeted {
        mut talk, features, ..
    } = greet(talk, local, remote).await?;
    if !features.starttls {
        return Err(TalkBroken::Theirs("nothing about TLS".to_owned()));
    }
    talk.say(&format!("<starttls xmlns='{}'/>", ns::TLS)).await?;
    match talk.element().await?.is("proceed", ns::TLS) {
        true => Ok(talk.into_io()),
        false => Err(TalkBroken::Theirs("no to TLS".to_owned())),
    }
}

/// Sends a header, and reads the answer with its features.
pub async fn greet<S>(
    mut talk: ServerTalk<S>,
    local: &str,
    remote: &str,
) -> Result<PeerGreeted<S>, TalkBroken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opening = TalkOpening {
        from: local,
        to: Some(remote),
        id: None,
    };
    talk.say(&opening.to_xml()).await?;
    let said = judge(&talk.header().await?)?;
    let features = loop {
        if let Some(features) = Features::read(&talk.element().await?) {
            break features;
        }
    };
    Ok(PeerGreeted { talk, said, features })
}

/// What a server offers, in one line.
pub async fn offers(secured: SecuredPeer, local: &str, remote: &str) -> Result<String, TalkBroken> {
    let PeerGreeted { talk, features, .. } = greet(secured.talk, local, remote).await?;
    talk.end(None).await;
    let offered = [
        (features.external, "SASL EXTERNAL"),
        (features.dialback, "dialback"),
        (features.bidi, "both directions (XEP-0288)"),
        (features.sm, "stream management (XEP-0198)"),
    ];
    let mut words: Vec<String> = offered
        .into_iter()
        .filter(|(is_offered, _)| *is_offered)
        .map(|(_, name)| name.to_owned())
        .collect();
    words.extend(
        features
            .max_bytes
            .map(|bytes| format!("stanzas of {bytes} bytes")),
    );
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    Ok(words.join(", "))
}

/// Asks the authoritative server of a domain about a key (XEP-0220 §2.1.2), on a connection for that alone.
pub async fn ask(hub: &Federation, addresses: &Addresses, id: &str, key: &str) -> Result<Verdict, Failed> {
    let targets = dns::targets(&*hub.lookup, &addresses.to, hub.settings()).await?;
    let mut last = Failed::soon("no server");
    for target in targets {
        let attempt = async {
            let secured = secure(hub, &addresses.from, &addresses.to, &target).await?;
            let broken = |broken: TalkBroken| Failed::from(broken);
            let mut talk = greet(secured.talk, &addresses.from, &addresses.to)
                .await
                .map_err(broken)?
                .talk;
            let question = dialback::question(addresses, id, key);
            talk.say(&question).await.map_err(|error| broken(error.into()))?;
            let verdict = loop {
                let element = talk.element().await.map_err(broken)?;
                match Dialback::read(&element) {
                    Some(Ok(Dialback::Answer(answered, of, verdict)))
                        if answered == addresses.swapped() && of == id =>
                    {
                        break verdict;
                    }
                    _ => {}
                }
            };
            talk.end(None).await;
            Ok::<_, Failed>(verdict)
        };
        match timeout(ATTEMPT, attempt).await {
            Ok(Ok(verdict)) => return Ok(verdict),
            Ok(Err(failed)) => last = failed,
            Err(_) => last = Failed::soon("no answer in time"),
        }
    }
    Err(last)
}
