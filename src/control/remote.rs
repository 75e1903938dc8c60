//! The control over the socket of a running server: what the command line uses when there is one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kim_core::accounts::Tombstone;
use kim_core::db::BoxFuture;
use kim_core::jid::BareJid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::s2s::status::{FederationFacts, Looked};

use super::protocol::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, Request, Response};
use super::{
    AbuseAnswer, AbuseRequest, Compacted, Control, ControlError, Invite, InviteRow, InviteWanted, KeyRotated,
    ODD_ANSWER, PushAnswer, PushRequest, Secret, User, UserFacts,
};

/// How long a server may take for an answer, in seconds; a removal erases a whole archive.
const ANSWER_SECONDS_MAX: u64 = 120;
/// The same while it rewrites the whole database.
const COMPACT_SECONDS_MAX: u64 = 3_600;
/// Looking at another domain may try several servers.
const CHECK_SECONDS_MAX: u64 = 600;

/// Asks the server that listens on a control socket.
#[derive(Debug)]
pub struct Remote {
    path: PathBuf,
}

impl Remote {
    /// The running server, or `None` if none runs there. An error is a socket that is there and closed to us.
    pub async fn find(path: &Path) -> Result<Option<Remote>, ControlError> {
        match UnixStream::connect(path).await {
            Ok(_) => Ok(Some(Remote {
                path: path.to_owned(),
            })),
            // A socket that nobody listens on was left by a server that was killed; where there can be no socket, because
            // the path is too long for one or leads through a file, there is no server either.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::NotADirectory
                        | ErrorKind::InvalidInput
                ) =>
            {
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(ControlError::Failed(format!(
                "permission denied on {}: run this command as the server's user or as root",
                path.display()
            ))),
            Err(error) => Err(ControlError::Failed(format!(
                "cannot open {}: {error}",
                path.display()
            ))),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Response, ControlError> {
        self.ask_within(request, ANSWER_SECONDS_MAX).await
    }

    async fn ask_within(&self, request: &Request, seconds_max: u64) -> Result<Response, ControlError> {
        let lost = |error: std::io::Error| {
            ControlError::Failed(format!(
                "lost the connection to the server on {}: {error}",
                self.path.display()
            ))
        };
        let mut line = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES_MAX));
        serde_json::to_writer(&mut *line, request)
            .map_err(|error| ControlError::BadRequest(error.to_string()))?;
        line.push(b'\n');
        if line.len() > REQUEST_BYTES_MAX {
            return Err(ControlError::BadRequest(format!(
                "the request is longer than {REQUEST_BYTES_MAX} bytes"
            )));
        }
        let exchange = async {
            let mut stream = UnixStream::connect(&self.path).await?;
            stream.write_all(&line).await?;
            let mut answer = Vec::new();
            (&mut stream)
                .take(RESPONSE_BYTES_MAX as u64)
                .read_to_end(&mut answer)
                .await?;
            Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(seconds_max), exchange)
            .await
            .map_err(|_| {
                ControlError::Failed(format!("the server did not answer within {seconds_max} seconds"))
            })?
            .map_err(lost)?;
        if answer.is_empty() {
            return Err(ControlError::Failed(
                "the server closed the connection without an answer; see its log".to_owned(),
            ));
        }
        serde_json::from_slice(&answer).map_err(|_| {
            ControlError::Failed("cannot parse the server's answer; is it another version of kIM?".to_owned())
        })
    }

    async fn ask_done(&self, request: &Request) -> Result<(), ControlError> {
        match self.ask(request).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }
}

fn unexpected(response: Response) -> ControlError {
    match response {
        Response::Error(error) => error,
        _ => ControlError::Failed(ODD_ANSWER.to_owned()),
    }
}

impl Control for Remote {
    fn user_add<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        let reuse_name = tombstone == Tombstone::Override;
        let request = Request::UserAdd {
            account: account.clone(),
            password: password.clone(),
            reuse_name,
        };
        Box::pin(async move { self.ask_done(&request).await })
    }

    fn user_may_add<'a>(
        &'a self,
        account: &'a BareJid,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        let request = Request::UserMayAdd {
            account: account.clone(),
            reuse_name: tombstone == Tombstone::Override,
        };
        Box::pin(async move { self.ask_done(&request).await })
    }

    fn user_passwd<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        let request = Request::UserPasswd {
            account: account.clone(),
            password: password.clone(),
        };
        Box::pin(async move { self.ask_done(&request).await })
    }

    fn user_list<'a>(&'a self, after: Option<&'a BareJid>) -> BoxFuture<'a, Result<Vec<User>, ControlError>> {
        let request = Request::UserList {
            after: after.cloned(),
        };
        Box::pin(async move {
            match self.ask(&request).await? {
                Response::Users(users) => Ok(users),
                other => Err(unexpected(other)),
            }
        })
    }

    fn user_show<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<UserFacts, ControlError>> {
        let request = Request::UserShow {
            account: account.clone(),
        };
        Box::pin(async move {
            match self.ask(&request).await? {
                Response::User(facts) => Ok(facts),
                other => Err(unexpected(other)),
            }
        })
    }

    fn user_delete<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<(), ControlError>> {
        let request = Request::UserDelete {
            account: account.clone(),
        };
        Box::pin(async move { self.ask_done(&request).await })
    }

    fn invite<'a>(&'a self, wanted: &'a InviteWanted) -> BoxFuture<'a, Result<Invite, ControlError>> {
        let request = Request::Invite(wanted.clone());
        Box::pin(async move {
            match self.ask(&request).await? {
                Response::Invite(invite) => Ok(invite),
                other => Err(unexpected(other)),
            }
        })
    }

    fn invite_list<'a>(
        &'a self,
        after: Option<&'a InviteRow>,
    ) -> BoxFuture<'a, Result<Vec<InviteRow>, ControlError>> {
        let request = Request::InviteList {
            after: after.cloned(),
        };
        Box::pin(async move {
            match self.ask(&request).await? {
                Response::Invites(invites) => Ok(invites),
                other => Err(unexpected(other)),
            }
        })
    }

    fn abuse<'a>(&'a self, request: &'a AbuseRequest) -> BoxFuture<'a, Result<AbuseAnswer, ControlError>> {
        Box::pin(async move {
            match self.ask(&Request::Abuse(request.clone())).await? {
                Response::Abuse(answer) => Ok(answer),
                other => Err(unexpected(other)),
            }
        })
    }

    fn push<'a>(&'a self, request: &'a PushRequest) -> BoxFuture<'a, Result<PushAnswer, ControlError>> {
        Box::pin(async move {
            match self.ask(&Request::Push(request.clone())).await? {
                Response::Push(answer) => Ok(answer),
                other => Err(unexpected(other)),
            }
        })
    }

    fn s2s_list(&self) -> BoxFuture<'_, Result<FederationFacts, ControlError>> {
        Box::pin(async move {
            match self.ask(&Request::S2sList {}).await? {
                Response::Federation(facts) => Ok(facts),
                other => Err(unexpected(other)),
            }
        })
    }

    fn invite_revoke<'a>(&'a self, which: &'a str) -> BoxFuture<'a, Result<(), ControlError>> {
        let request = Request::InviteRevoke {
            which: which.to_owned(),
        };
        Box::pin(async move { self.ask_done(&request).await })
    }

    fn s2s_check<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<Looked>, ControlError>> {
        let request = Request::S2sCheck {
            domain: domain.to_owned(),
        };
        Box::pin(async move {
            match self.ask_within(&request, CHECK_SECONDS_MAX).await? {
                Response::Looked(looked) => Ok(looked),
                other => Err(unexpected(other)),
            }
        })
    }

    fn storage_compact(&self) -> BoxFuture<'_, Result<Compacted, ControlError>> {
        Box::pin(async move {
            let request = Request::StorageCompact {};
            match self.ask_within(&request, COMPACT_SECONDS_MAX).await? {
                Response::Compacted(compacted) => Ok(compacted),
                other => Err(unexpected(other)),
            }
        })
    }

    fn key_rotate(&self) -> BoxFuture<'_, Result<KeyRotated, ControlError>> {
        Box::pin(async move {
            match self.ask(&Request::KeyRotate {}).await? {
                Response::KeyRotated(rotated) => Ok(rotated),
                other => Err(unexpected(other)),
            }
        })
    }
}
