//! The server's end of the control socket.
//!
//! A process that can open the socket can do everything, so only the server's user can read and write it, and the kernel is
//! asked for the user of the other side. A lock file beside it keeps a second server out of the same data directory.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kim_core::accounts::Tombstone;
use kim_core::random;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::protocol::{REQUEST_BYTES_MAX, Request, Response};
use super::{Control, ControlError, SOCKET_NAME};

/// Requests served at the same time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8;

/// How long the other side may take to say what it wants, and to take the answer, in seconds.
const EXCHANGE_SECONDS_MAX: u64 = 10;

/// How long to wait before accepting again after accepting failed (no descriptors are left, for example).
const ACCEPT_PAUSE_MILLISECONDS: u64 = 200;

/// The file that a running server holds locked.
const LOCK_NAME: &str = "kim.lock";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another server works in the data directory.
    #[error("another kIM server is already running with the data directory {0}")]
    AlreadyRunning(PathBuf),
    /// It cannot be made.
    #[error("cannot create the control socket {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The bound socket of this server. Dropping it removes the socket and lets another server in.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    /// Held for as long as the server runs; the kernel frees it however the server ends.
    lock: File,
}

impl ControlSocket {
    /// Makes the socket in the data directory, in place of one left by a server that was killed.
    pub fn bind(data_dir: &Path) -> Result<ControlSocket, SocketError> {
        let path = data_dir.join(SOCKET_NAME);
        let failed = |error: io::Error| SocketError::Io {
            path: path.clone(),
            error,
        };
        let lock = File::options()
            .create(true)
            .append(true)
            .open(data_dir.join(LOCK_NAME))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SocketError::AlreadyRunning(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // It gets its name only after its permissions: there is no moment in which others could open it.
        let unnamed = data_dir.join(format!("{SOCKET_NAME}.new"));
        remove(&unnamed).map_err(failed)?;
        let listener = UnixListener::bind(&unnamed).map_err(failed)?;
        std::fs::set_permissions(&unnamed, Permissions::from_mode(0o600)).map_err(failed)?;
        let owner = std::fs::metadata(&unnamed).map_err(failed)?.uid();
        std::fs::rename(&unnamed, &path).map_err(failed)?;
        Ok(ControlSocket {
            listener,
            path,
            owner,
            lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number for the place that the lock guards: as long as this server lives, no other has the same. It is made of the
    /// kernel's boot and of the lock file there, because a copy of the directory, or the same path on another machine, is
    /// another place.
    pub fn place(&self) -> i64 {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let (Ok(boot), Ok(lock)) = (boot, self.lock.metadata()) else {
            return i64::from_le_bytes(random::bytes());
        };
        let mut hash = Sha256::new();
        hash.update(boot.trim());
        hash.update(lock.dev().to_be_bytes());
        hash.update(lock.ino().to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        i64::from_be_bytes(first)
    }

    /// Serves requests until it is dropped (its task aborted, or its future dropped in a `select!`). Requests in hand
    /// are finished all the same.
    pub async fn serve(self, control: Arc<dyn Control>) {
        let turns = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(turn) = turns.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) if self.may_ask(&stream) => {
                    let control = control.clone();
                    tokio::spawn(async move {
                        if let Err(error) = exchange(stream, &*control).await {
                            tracing::debug!(event = "control_lost", %error);
                        }
                        drop(turn);
                    });
                }
                Ok(_) => tracing::warn!(
                    event = "control_refused",
                    "a connection from another user was refused"
                ),
                Err(error) => {
                    tracing::warn!(event = "control_accept_failed", %error);
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                }
            }
        }
    }

    /// Only the server's own user, and root, who could read the database anyway.
    fn may_ask(&self, stream: &UnixStream) -> bool {
        stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // While the lock is held, the socket at this path is ours.
        let _ = remove(&self.path);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One request and its response.
async fn exchange(mut stream: UnixStream, control: &dyn Control) -> io::Result<()> {
    let limit = Duration::from_secs(EXCHANGE_SECONDS_MAX);
    let response = match tokio::time::timeout(limit, read_request(&mut stream)).await?? {
        Ok(Some(request)) => answer(control, request).await,
        Ok(None) => return Ok(()), // it only looked whether anybody is here
        Err(error) => Response::Error(error),
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    tokio::time::timeout(limit, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await?
}

/// Reads a line; the outer error is the connection's, the inner one the asker's.
async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Option<Request>, ControlError>> {
    // Never grows, which would leave a copy of a password in the smaller buffer.
    let mut buffer = Zeroizing::new(vec![0; REQUEST_BYTES_MAX]);
    let mut filled = 0;
    loop {
        let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) else {
            let problem = format!("the request is longer than {REQUEST_BYTES_MAX} bytes");
            return Ok(Err(ControlError::BadRequest(problem)));
        };
        let read = stream.read(free).await?;
        let before = filled;
        filled += read;
        let new = buffer.get(before..filled).unwrap_or_default();
        let end = new.iter().position(|byte| *byte == b'\n').map(|at| before + at);
        if end.is_none() && read > 0 {
            continue;
        }
        let line = buffer.get(..end.unwrap_or(filled)).unwrap_or_default();
        if line.is_empty() {
            return Ok(Ok(None));
        }
        // The error may repeat what was written; it goes back to the asker and nowhere else.
        let request = serde_json::from_slice(line).map(Some);
        return Ok(request
            .map_err(|error| ControlError::BadRequest(format!("the request cannot be parsed: {error}"))));
    }
}

async fn answer(control: &dyn Control, request: Request) -> Response {
    let done = |result: Result<(), ControlError>| result.map(|()| Response::Done);
    let result = match request {
        Request::UserAdd {
            account,
            password,
            reuse_name,
        } => {
            let tombstone = tombstone(reuse_name);
            done(control.user_add(&account, &password, tombstone).await)
        }
        Request::UserMayAdd { account, reuse_name } => {
            done(control.user_may_add(&account, tombstone(reuse_name)).await)
        }
        Request::UserPasswd { account, password } => done(control.user_passwd(&account, &password).await),
        Request::UserList { after } => control.user_list(after.as_ref()).await.map(Response::Users),
        Request::UserShow { account } => control.user_show(&account).await.map(Response::User),
        Request::UserDelete { account } => done(control.user_delete(&account).await),
        Request::Invite(wanted) => control.invite(&wanted).await.map(Response::Invite),
        Request::InviteList { after } => control.invite_list(after.as_ref()).await.map(Response::Invites),
        Request::InviteRevoke { which } => done(control.invite_revoke(&which).await),
        Request::StorageCompact {} => control.storage_compact().await.map(Response::Compacted),
        Request::Abuse(request) => control.abuse(&request).await.map(Response::Abuse),
        Request::Push(request) => control.push(&request).await.map(Response::Push),
        Request::S2sList {} => control.s2s_list().await.map(Response::Federation),
        Request::S2sCheck { domain } => control.s2s_check(&domain).await.map(Response::Looked),
        Request::KeyRotate {} => control.key_rotate().await.map(Response::KeyRotated),
    };
    result.unwrap_or_else(Response::Error)
}

fn tombstone(reuse_name: bool) -> Tombstone {
    match reuse_name {
        true => Tombstone::Override,
        false => Tombstone::Respect,
    }
}
