//! The control over the tables and over the socket: the same questions, the same answers.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::accounts::scram::Password;
use kim_core::error::StreamCondition;
use kim_core::jid::BareJid;
use kim_core::session::Session;
use kim_core::testing::House;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::*;

/// A directory that is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("kim-{}", kim_core::random::token()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.to_owned()))
}

/// A house with the real rooms, on two domains.
async fn house() -> House {
    House::configured(
        kim_xep::MODULES,
        "[server]\ndomains = [\"localhost\", \"example.org\"]\n",
    )
    .await
}

fn start(folder: &Path, control: impl Control + 'static) -> JoinHandle<()> {
    tokio::spawn(ControlSocket::bind(folder).unwrap().serve(Arc::new(control)))
}

async fn remote(folder: &Path) -> Remote {
    Remote::find(&folder.join(SOCKET_NAME))
        .await
        .unwrap()
        .expect("a server runs")
}

/// Sends bytes as they are and returns the answer.
async fn send(folder: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(folder.join(SOCKET_NAME)).await.unwrap();
    // The server may have read enough and closed before everything is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// The life of an account, whichever way the questions go.
async fn an_accounts_life(control: &dyn Control, house: &House) {
    let accounts = house.router.accounts();
    let (alice, bob) = (jid("alice@localhost"), jid("bob@example.org"));
    control
        .user_add(&alice, &secret("pässword \"1\""), Tombstone::Respect)
        .await
        .unwrap();
    control
        .user_add(&bob, &secret("2"), Tombstone::Respect)
        .await
        .unwrap();
    let again = control.user_add(&alice, &secret("3"), Tombstone::Respect).await;
    assert_eq!(again, Err(ControlError::AccountExists));
    assert!(
        accounts
            .verify(&alice, &Password::prepare("pässword \"1\"").unwrap())
            .await
            .unwrap()
    );

    control.user_passwd(&alice, &secret("other")).await.unwrap();
    assert!(
        accounts
            .verify(&alice, &Password::prepare("other").unwrap())
            .await
            .unwrap()
    );
    let nobody = jid("nobody@localhost");
    assert_eq!(
        control.user_passwd(&nobody, &secret("x")).await,
        Err(ControlError::NoSuchAccount)
    );

    let all = control.user_list(None).await.unwrap();
    assert_eq!(
        all.iter().map(|user| &user.account).collect::<Vec<_>>(),
        [&alice, &bob]
    );
    let rest = control.user_list(Some(&alice)).await.unwrap();
    assert_eq!(rest, all[1..]);

    assert_eq!(
        control.user_show(&alice).await.unwrap().created_at,
        all[0].created_at
    );
    assert_eq!(control.user_show(&nobody).await, Err(ControlError::NoSuchAccount));

    control.user_delete(&alice).await.unwrap();
    assert_eq!(
        control.user_delete(&alice).await,
        Err(ControlError::NoSuchAccount)
    );
    assert_eq!(control.user_list(None).await.unwrap(), all[1..]);
    let held = control.user_add(&alice, &secret("x"), Tombstone::Respect).await;
    assert_eq!(held, Err(ControlError::NameHeldBack));
    control
        .user_add(&alice, &secret("x"), Tombstone::Override)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_accounts_life_without_a_server() {
    let house = house().await;
    let control = Direct::without_doors(house.router.clone());
    an_accounts_life(&control, &house).await;
    assert_eq!(
        control.user_show(&jid("alice@localhost")).await.unwrap().online,
        None
    );
}

#[tokio::test]
async fn an_accounts_life_over_the_socket_of_a_server() {
    let (house, folder) = (house().await, Folder::new());
    let server = start(&folder.0, Direct::serving(house.router.clone()));
    let control = remote(&folder.0).await;
    an_accounts_life(&control, &house).await;
    assert_eq!(
        control.user_show(&jid("alice@localhost")).await.unwrap().online,
        Some(Vec::new())
    );
    server.abort();
}

#[tokio::test]
async fn another_password_and_a_removal_end_sessions() {
    let (house, folder) = (house().await, Folder::new());
    let server = start(&folder.0, Direct::serving(house.router.clone()));
    let control = remote(&folder.0).await;
    let alice = jid("alice@localhost");
    control
        .user_add(&alice, &secret("secret"), Tombstone::Respect)
        .await
        .unwrap();
    let address = Some("192.0.2.7".parse().unwrap());
    let phone = Session::new(alice.with_resource("phone").unwrap(), false, address, 65_536);
    house.router.start(&phone).await.unwrap();
    let online = control.user_show(&alice).await.unwrap().online;
    assert_eq!(
        online,
        Some(vec![Online {
            resource: "phone".to_owned(),
            since: phone.since,
            address,
            priority: None,
            parked_since: None,
        }])
    );

    control.user_passwd(&alice, &secret("other")).await.unwrap();
    assert_eq!(phone.outbox.closing().unwrap().condition, StreamCondition::Reset);

    let laptop = Session::new(alice.with_resource("laptop").unwrap(), false, address, 65_536);
    house.router.start(&laptop).await.unwrap();
    control.user_delete(&alice).await.unwrap();
    assert!(laptop.has_left());
    assert_eq!(
        laptop.outbox.closing().unwrap().condition,
        StreamCondition::NotAuthorized
    );
    server.abort();
}

#[tokio::test]
async fn an_account_must_be_of_this_server_and_have_a_good_password() {
    let control = Direct::without_doors(house().await.router);
    let add = async |account: &str, password: &str| {
        let result = control
            .user_add(&jid(account), &secret(password), Tombstone::Respect)
            .await;
        result.unwrap_err().to_string()
    };
    assert_eq!(
        add("alice@elsewhere.example", "x").await,
        "elsewhere.example is not a domain of this server; it serves localhost, example.org"
    );
    assert_eq!(
        add("localhost", "x").await,
        "the address of an account needs a name before the @, such as alice@example.org"
    );
    assert_eq!(add("alice@localhost", "").await, "the password is empty");
    assert!(control.user_list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_its_own_user_can_open_the_socket() {
    let folder = Folder::new();
    let socket = ControlSocket::bind(&folder.0).unwrap();
    let metadata = std::fs::metadata(socket.path()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(socket.path(), folder.0.join("kim.sock"));
}

#[tokio::test]
async fn the_socket_goes_with_the_server_and_a_stale_one_is_replaced() {
    let folder = Folder::new();
    let path = folder.0.join(SOCKET_NAME);
    assert!(Remote::find(&path).await.unwrap().is_none(), "nothing is there");

    drop(ControlSocket::bind(&folder.0).unwrap());
    assert!(!path.exists());

    // As a server that was killed leaves it: a socket without anybody behind it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(Remote::find(&path).await.unwrap().is_none(), "nobody listens");
    let socket = ControlSocket::bind(&folder.0).unwrap();
    assert!(Remote::find(&path).await.unwrap().is_some());
    drop(socket);
}

#[tokio::test]
async fn a_second_server_is_kept_out_of_the_data_directory() {
    let folder = Folder::new();
    let first = ControlSocket::bind(&folder.0).unwrap();
    let second = ControlSocket::bind(&folder.0).unwrap_err();
    assert!(matches!(second, SocketError::AlreadyRunning(_)), "{second}");
    assert!(first.path().exists(), "the first one's socket is untouched");
    drop(first);
    ControlSocket::bind(&folder.0).unwrap();
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_nobody() {
    let (house, folder) = (house().await, Folder::new());
    let server = start(&folder.0, Direct::serving(house.router.clone()));
    for (bytes, expected) in [
        (&b"hello\n"[..], "cannot be parsed"),
        (
            b"{\"user_fly\":{\"account\":\"alice@localhost\"}}\n",
            "unknown variant",
        ),
        (b"{\"user_show\":{\"account\":\"@\"}}\n", "cannot be parsed"),
        (
            b"{\"user_show\":{\"account\":\"a@localhost\",\"more\":1}}\n",
            "unknown field",
        ),
        (
            b"{\"user_passwd\":{\"account\":\"a@localhost\",\"password\":\"#hunter2#\"}}\n",
            "not Base64",
        ),
        (b"\xff\xfe\n", "cannot be parsed"),
        (b"{\"user_list\":{\"after\":null}}", "{\"users\":[]}"), // a missing line end at the end is forgiven
        (b"\n", ""),
        (b"", ""),
    ] {
        let answer = send(&folder.0, bytes).await;
        assert!(answer.contains(expected), "{answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
        assert_eq!(answer.lines().count(), usize::from(!expected.is_empty()));
    }
    server.abort();
}

#[tokio::test]
async fn a_request_has_a_longest_length() {
    let (house, folder) = (house().await, Folder::new());
    let server = start(&folder.0, Direct::serving(house.router.clone()));
    let answer = send(&folder.0, &vec![b'x'; REQUEST_BYTES_MAX]).await;
    assert!(
        answer.contains("the request is longer than 65536 bytes"),
        "{answer}"
    );
    let long = remote(&folder.0)
        .await
        .user_passwd(&jid("a@localhost"), &secret(&"x".repeat(60_000)))
        .await;
    assert_eq!(
        long,
        Err(ControlError::BadRequest(
            "the request is longer than 65536 bytes".to_owned()
        ))
    );
    server.abort();
}

#[tokio::test]
async fn a_page_of_the_longest_addresses_fits_into_an_answer() {
    let name = "a".repeat(1023);
    let domain = vec!["b".repeat(63); 15].join(".");
    let account = BareJid::new(Some(&name), &domain).unwrap();
    let page = vec![
        User {
            account,
            created_at: i64::MAX
        };
        LIST_ROWS_MAX as usize
    ];
    let bytes = serde_json::to_vec(&Response::Users(page)).unwrap();
    assert!(bytes.len() < RESPONSE_BYTES_MAX, "{}", bytes.len());
}

#[test]
fn a_password_is_never_shown() {
    let request = Request::UserPasswd {
        account: jid("alice@localhost"),
        password: secret("hunter2"),
    };
    assert!(!format!("{request:?}").contains("hunter2"));
    let line = serde_json::to_string(&request).unwrap();
    assert!(!line.contains("hunter2"));
    let Request::UserPasswd { password, .. } = serde_json::from_str(&line).unwrap() else {
        panic!("{line}")
    };
    assert!(password.prepare().is_ok());
}
