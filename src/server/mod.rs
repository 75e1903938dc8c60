//! The wiring: the one place that names every concrete type. It opens what the configuration says, puts the house
//! together, opens its doors, and closes them in order when the process is told to stop.

mod greeting;
mod listeners;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kim_core::cluster::Solo;
use kim_core::config::{Config, Sources};
use kim_core::db::Db;
use kim_core::module::Entry;
use kim_core::remote::BEAT_EVERY;
use kim_core::router::Router;
use kim_xep::MODULES;
use kim_xep::push_service::api::AppServer;
use kim_xep::xep0191_server::api::ServerBlocks;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use self::listeners::{Listeners, OpenPorts};
use crate::c2s::{Door, Security};
use crate::cli::App;
use crate::control::{ControlSocket, Direct};
use crate::failure::Failure;
use crate::house::House;
use crate::http::listener::Speaks;
use crate::http::upload::{StoreError, Upload};
use crate::http::{Parts, Web};
use crate::panics;
use crate::probe;
use crate::push::PushSender;
use crate::s2s::Federation;
use crate::tls::{Certificates, TlsError};

/// The program as its commands see it.
pub fn app() -> App {
    App {
        modules: MODULES,
        serve: |config, sources| Box::pin(serve(config, sources)),
        checks: vec![Box::new(|context| Box::pin(probe::check(context)))],
    }
}

/// A running server.
pub struct Server {
    house: House,
    door: Arc<Door>,
    certificates: Arc<Certificates>,
    addresses: OpenPorts,
    federation: Option<Arc<Federation>>,
    upload: Option<Arc<Upload>>,
    web: Arc<Web>,
    tasks: Tasks,
}

impl Server {
    /// Starts a server; when this returns, clients can connect. The data directory must be there.
    pub async fn start(config: Config) -> Result<Server, Failure> {
        Server::start_with(config, MODULES).await
    }

    /// The same with other modules than those the program has.
    pub async fn start_with(config: Config, modules: &[Entry]) -> Result<Server, Failure> {
        // First of all, because it keeps a second server out of the data directory.
        let control = ControlSocket::bind(&config.server.data_dir)?;
        let certificates = Arc::new(Certificates::load(&config)?);
        let listeners = Listeners::bind(&config)?;
        let house = House::open(Arc::new(config), modules, Box::new(Solo)).await?;
        let door = Door::new(house.router.clone(), certificates.clone());
        let mut tasks = Tasks::default();
        // Before anybody can connect: a block list on disk does not wait for its source.
        let blocks = house.router.fact::<ServerBlocks>();
        if let Some(blocks) = &blocks {
            let loaded = blocks.load().await;
            loaded.map_err(|error| Failure::Database(error.to_string()))?;
        }
        let outbound = house.router.outbound();
        let entered = outbound.enter(control.place()).await;
        entered.map_err(|error| Failure::Database(error.to_string()))?;
        // Before anybody can send: what an earlier process left is first in its queue.
        let federation = match house.router.config().s2s.enabled {
            true => Some(federate(&door, &certificates).await?),
            false => None,
        };
        if let Some(federation) = federation.clone() {
            house.router.connect_remotes(federation.clone());
        }
        let upload = Upload::open(&house.router, house.router.config())?;
        if let Some(upload) = upload.clone() {
            tasks.run(async move { upload.keep_clear().await });
        }
        if let Some(server) = house.router.fact::<AppServer>() {
            PushSender::connect(&server, house.router.config()).await?;
        }
        house.router.open().await;
        tasks.run(keep_house(door.clone()));
        tasks.run(tidy(house.router.clone(), house.db.clone()));
        // Its sources are elsewhere, so it asks them once other servers can be reached.
        if let Some(blocks) = blocks {
            let router = house.router.clone();
            tasks.run(async move { blocks.keep(&router).await });
        }
        let parts = Parts {
            upload: upload.clone(),
            federation: federation.clone(),
        };
        let web = Web::new(door.clone(), house.db.clone(), parts);
        let addresses = listeners.addresses();
        tasks.serve(listeners.c2s, |listener| listener.serve(door.clone()));
        tasks.serve(listeners.component, |listener| listener.serve(door.clone()));
        tasks.serve(listeners.web, |listener| listener.serve(web.clone()));
        match &federation {
            Some(federation) => {
                tasks.federate(federation.clone());
                tasks.serve(listeners.s2s, |listener| listener.serve(federation.clone()));
            }
            None => tasks.run(hold_queue(house.router.clone())),
        }
        let controlled = Direct::serving(house.router.clone()).federated(federation.clone());
        tasks.run(control.serve(Arc::new(controlled)));
        Ok(Server {
            house,
            door,
            certificates,
            addresses,
            federation,
            upload,
            web,
            tasks,
        })
    }

    /// Where clients can connect.
    pub fn addresses(&self) -> &[(Security, SocketAddr)] {
        &self.addresses.c2s
    }

    /// Where browsers can connect.
    pub fn web_addresses(&self) -> &[(Speaks, SocketAddr)] {
        &self.addresses.web
    }

    /// Where external components can connect.
    pub fn component_addresses(&self) -> &[SocketAddr] {
        &self.addresses.component
    }

    /// Where other servers can connect.
    pub fn s2s_addresses(&self) -> &[(Security, SocketAddr)] {
        &self.addresses.s2s
    }

    /// The streams to and from other servers, if there may be any.
    pub fn federation(&self) -> Option<&Arc<Federation>> {
        self.federation.as_ref()
    }

    /// The house behind the doors.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Uploaded files, if they are switched on.
    pub fn upload(&self) -> Option<&Arc<Upload>> {
        self.upload.as_ref()
    }

    /// The door for clients.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The certificates in use.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Reads the configuration again and puts its `[limits]`, and `allow` and `deny` of `[s2s]`, in force; other settings that
    /// were changed are named in the log. A file with a mistake, wherever it is, changes nothing, and neither does one that has
    /// disappeared.
    pub fn reload_limits(&self, sources: &Sources) -> Result<(), Failure> {
        let router = &self.house.router;
        let refused = |mistakes: usize, error: &str| {
            tracing::error!(
                event = "limits_refused",
                mistakes,
                error,
                "keeping the previous limits"
            );
        };
        let config = match Config::load(sources, &app().schemas()) {
            Ok(config) => config,
            Err(errors) => {
                let first = errors.0.first().map(ToString::to_string).unwrap_or_default();
                refused(errors.0.len(), &first);
                return Err(errors.into());
            }
        };
        if let (Some(file), None) = (&router.config().file, &config.file) {
            let error = format!("{} does not exist any more", file.display());
            refused(1, &error);
            return Err(Failure::Other(error));
        }
        let waiting = router.config().needs_restart(&config);
        if !waiting.is_empty() {
            let settings = waiting.join(", ");
            tracing::warn!(
                event = "restart_needed",
                settings,
                "these settings were changed and need a restart"
            );
        }
        let is_new = router.replace_limits(&config.limits);
        let limits = router.limits();
        self.door.go_by(&limits);
        self.web.go_by(&limits);
        if let Some(federation) = &self.federation {
            federation.go_by(&config.s2s);
        }
        tracing::info!(event = "limits_reloaded", changed = is_new);
        Ok(())
    }

    /// Reads the certificates again. Bad ones are refused and the old ones stay.
    pub fn reload(&self) -> Result<(), Failure> {
        match self.certificates.reload() {
            Ok(()) => {
                tracing::info!(event = "certificates_reloaded");
                Ok(())
            }
            Err(error) => {
                tracing::error!(event = "certificates_refused", %error, "keeping the previous certificates");
                Err(error.into())
            }
        }
    }

    /// Stops: accepts no more connections, processes what was received, tells every client, and ends.
    pub async fn stop(self) {
        let seconds = self.house.router.limits().drain_seconds_max;
        tracing::info!(event = "stopping", connections = self.door.connections());
        let closed = async {
            if let Some(federation) = &self.federation {
                federation.hush();
            }
            self.door.close().await;
            // What clients sent last still goes out.
            if let Some(federation) = &self.federation {
                federation.close().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(seconds), closed)
            .await
            .is_err()
        {
            tracing::warn!(event = "stopped_late", connections = self.door.connections());
        }
        for task in self.tasks.0 {
            task.abort();
        }
        // What other servers have need not be sent again after the next start.
        if let Err(error) = self.house.router.outbound().settled().await {
            tracing::error!(event = "queue_not_swept", %error);
        }
        // Another process need not wait for what is left.
        if let Err(error) = self.house.router.outbound().leave().await {
            tracing::error!(event = "queue_not_left", %error);
        }
        self.house.db.close().await;
        tracing::info!(event = "stopped");
    }
}

/// What runs as long as the server does.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }

    /// What federation does by itself.
    fn federate(&mut self, federation: Arc<Federation>) {
        let [tidied, kept, keeper] = [federation.clone(), federation.clone(), federation];
        self.run(async move { tidied.keep_tidy().await });
        self.run(async move { kept.keep_queue().await });
        self.run(async move { keeper.keep_out().await });
    }

    /// One task for each listener.
    fn serve<L, F>(&mut self, listeners: Vec<L>, serve: impl Fn(L) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for listener in listeners {
            self.run(serve(listener));
        }
    }
}

/// Opens the way to other servers. Reads the authorities of the system, which takes a moment.
async fn federate(door: &Arc<Door>, certificates: &Arc<Certificates>) -> Result<Arc<Federation>, Failure> {
    let (door, certificates) = (door.clone(), certificates.clone());
    let opened = tokio::task::spawn_blocking(move || Federation::open(door, certificates)).await;
    let opened = opened.map_err(|error| Failure::Other(error.to_string()))?;
    let federation = opened.map_err(|problem| Failure::Other(format!("[s2s] {problem}")))?;
    let taken_up = federation.take_up_queue().await;
    taken_up
        .map_err(|error| Failure::Other(format!("messages for other servers cannot be read: {error}")))?;
    Ok(federation)
}

/// Whether an address serves XMPP and HTTPS, told apart by ALPN. Port 0 is any free one, so two of them do not meet.
fn is_shared(config: &Config, address: &SocketAddr) -> bool {
    let listen = &config.listen;
    address.port() != 0 && listen.c2s_tls.contains(address) && listen.https.contains(address)
}

/// How long after the start expired rows are deleted for the first time, and how often from then on.
const TIDY_FIRST: Duration = Duration::from_secs(90);
const TIDY_EVERY: Duration = Duration::from_secs(3_600);

/// Deletes expired rows, and returns their space.
async fn tidy(router: Arc<Router>, db: Db) {
    let mut pause = TIDY_FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = TIDY_EVERY;
        router.tidy().await;
        let s2s = &router.config().s2s;
        if !s2s.enabled {
            return_expired(&router, s2s.keep_hours).await;
        }
        match db.give_back_space().await {
            Ok(0) => {}
            Ok(pages) => tracing::info!(event = "space_given_back", pages),
            Err(error) => tracing::error!(event = "space_not_given_back", %error),
        }
    }
}

/// Messages for other servers from when federation was on: nobody tries to send them, but they come back in time.
async fn return_expired(router: &Router, keep_hours: u64) {
    let now = router.clock().now();
    match router.outbound().return_expired(keep_hours, now).await {
        Ok(0) => {}
        Ok(messages) => tracing::info!(event = "outbound_expired", messages),
        Err(error) => tracing::error!(event = "outbound_not_expired", %error),
    }
}

/// Where federation is off: shows other processes that this one lives.
async fn hold_queue(router: Arc<Router>) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        if let Err(error) = router.outbound().beat().await {
            tracing::error!(event = "queue_not_held", %error);
        }
    }
}

/// Periodic work of the door.
async fn keep_house(door: Arc<Door>) {
    door.keep_house().await;
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Other(error.to_string())
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Failure {
        Failure::Certificate {
            setting: error.setting,
            path: error.path,
            cause: error.problem,
        }
    }
}

/// `kim serve`: runs until SIGTERM or SIGINT.
async fn serve(config: Config, sources: Sources) -> Result<(), Failure> {
    panics::log();
    let signals = |kind| {
        signal(kind).map_err(|error| Failure::Other(format!("cannot set up signal handlers: {error}")))
    };
    let (mut terminate, mut interrupt) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );
    let mut hang_up = signals(SignalKind::hangup())?;
    let server = Server::start(config).await?;
    greeting::show(&server).await;
    while !told_to_stop(&mut terminate, &mut interrupt, &mut hang_up).await {
        // Errors were logged.
        let _ = server.reload();
        let _ = server.reload_limits(&sources);
    }
    server.stop().await;
    Ok(())
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal, hang_up: &mut Signal) -> bool {
    tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
        _ = hang_up.recv() => false,
    }
}
