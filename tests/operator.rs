//! What an operator sees of a server process: its greeting, its signals, its exit codes.

mod common;

use std::process::Stdio;

use common::bucket::Bucket;
use common::process::{Process, kim, new_home};
use common::{Client, TlsOptions};

async fn certificate(server: &Process) -> Vec<u8> {
    let mut client = Client::connect(server.direct).await;
    client
        .handshake(&TlsOptions::direct())
        .await
        .expect("a handshake");
    client.binding.certificate
}

#[tokio::test]
async fn the_first_start_needs_nothing_and_says_what_there_is() {
    use std::os::unix::fs::PermissionsExt;
    let server = Process::start(&[]);
    for part in [
        "serves localhost",
        "(STARTTLS)",
        "(TLS)",
        "localhost.crt (self-signed)",
        "SHA-256",
        "kim.db",
    ] {
        assert!(
            server.greeting.contains(part),
            "{part} is missing in:\n{}",
            server.greeting
        );
    }
    let mode = std::fs::metadata(server.data_dir())
        .expect("the data directory")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    // A second server keeps out.
    let second = server.kim(&["serve"]);
    assert_eq!(second.status.code(), Some(8));
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        complaint.contains("already running") && complaint.lines().count() == 1,
        "{complaint}"
    );
}

#[tokio::test]
async fn hangup_brings_new_certificates_and_keeps_the_sessions() {
    let server = Process::start(&[]);
    let mut guest = Client::connect(server.direct).await;
    guest.handshake(&TlsOptions::direct()).await.expect("a handshake");
    guest.open("guest.localhost").await;
    guest.login_anonymous().await;
    guest.open("guest.localhost").await;
    guest.bind(None).await;
    let old = certificate(&server).await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = server.data_dir().join("certs");
    std::fs::write(folder.join("localhost.key"), made.signing_key.serialize_pem()).expect("the key");
    std::fs::write(folder.join("localhost.crt"), made.cert.pem()).expect("the certificate");
    server.signal("HUP");
    let waiting = async {
        while certificate(&server).await == old {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, waiting)
        .await
        .expect("the new certificate is shown");
    assert_eq!(certificate(&server).await, made.cert.der().to_vec());
    guest.expect_nothing().await;
}

/// How large an element may be before login, as a new connection is told (XEP-0478).
async fn told(server: &Process) -> String {
    let mut client = Client::connect(server.direct).await;
    client
        .handshake(&TlsOptions::direct())
        .await
        .expect("a handshake");
    client.open("localhost").await;
    let (_, rest) = client.features().split_once("<max-bytes>").expect("a limit");
    rest.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn hangup_brings_new_limits_and_a_file_with_a_mistake_changes_none() {
    let server = Process::start_with_file("[limits]\nstanza_bytes_before_login_max = 12000\n");
    assert_eq!(told(&server).await, "12000");
    let becomes = async |limit: &str| {
        while told(&server).await != limit {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let limit = |bytes: u32| format!("[limits]\nstanza_bytes_before_login_max = {bytes}\n");
    for (text, holds) in [
        (limit(13_000), "13000"),
        // Wrong where it is, and wrong elsewhere (tests/door_limits.rs shows that neither changes anything); then right again.
        (limit(5), "13000"),
        (limit(14_000) + "[c2s]\nrequire_tsl = true\n", "13000"),
        (limit(15_000), "15000"),
    ] {
        std::fs::write(server.settings(), text).expect("the file");
        server.signal("HUP");
        tokio::time::timeout(common::PATIENCE, becomes(holds))
            .await
            .expect("the limit that holds is told");
    }
}

#[tokio::test]
async fn terminate_tells_everybody_and_ends_with_success() {
    for signal in ["TERM", "INT"] {
        let mut server = Process::start(&[]);
        let mut client = Client::connect(server.tcp).await;
        client.open("localhost").await;
        server.signal(signal);
        client.expect_stream_error("system-shutdown").await;
        assert_eq!(server.wait(), Some(0));
        assert!(!server.data_dir().join("kim.sock").exists());
    }
}

#[tokio::test]
async fn check_logs_in_and_talks_encrypted_for_real_and_leaves_nothing_behind() {
    let server = Process::start(&[]);
    let run = |arguments: &[&str]| {
        let ports = [
            ("KIM__LISTEN__C2S", server.tcp.to_string()),
            ("KIM__LISTEN__C2S_TLS", server.direct.to_string()),
        ];
        let mut command = kim(&server.data_dir(), arguments);
        command.arg("--data-dir").arg(server.data_dir()).envs(ports);
        String::from_utf8(command.output().expect("the command runs").stdout).expect("text")
    };
    for _ in 0..2 {
        let told = run(&["check"]);
        assert!(
            told.contains("kim-check@localhost/") && told.contains(" logged in at "),
            "{told}"
        );
        assert!(
            told.contains("wrote to each other encrypted, as strangers, in"),
            "{told}"
        );
    }
    assert!(!run(&["user", "list"]).contains("kim-check"));
}

#[tokio::test]
async fn the_first_start_shows_the_administrators_invitation_and_the_link_makes_the_account() {
    let server = Process::start_reading(&[], "Or with: kim user add admin@localhost");
    let (_, rest) = server
        .greeting
        .split_once("xmpp:admin@localhost?register;preauth=")
        .expect("a link");
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    assert_eq!(token.len(), 32, "{}", server.greeting);
    assert!(server.greeting.contains("for one person"), "{}", server.greeting);
    let code = server.greeting.lines().filter(|line| line.contains('█'));
    assert!(code.count() > 10, "{}", server.greeting);

    // Registration is closed, but for whoever has the link (XEP-0445 §4).
    let mut admin = Client::connect(server.direct).await;
    admin.handshake(&TlsOptions::direct()).await.expect("a handshake");
    admin.open("localhost").await;
    let register = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>admin</username>\
                    <password>secret</password></query></iq>";
    admin.send(register).await;
    assert!(admin.next_text().await.contains("<not-allowed"));
    let preauth = format!(
        "<iq type='set' to='localhost' id='p'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
    );
    admin.send(&preauth).await;
    assert!(admin.next_text().await.contains("type='result'"));
    admin.send(register).await;
    assert!(admin.next_text().await.contains("type='result'"));
    let run = |arguments: &[&str]| String::from_utf8(server.kim(arguments).stdout).expect("text");
    assert_eq!(run(&["user", "list"]), "admin@localhost\n");
    // The running server makes invitations for the command line.
    assert!(run(&["invite", "--room", "lobby"]).contains("xmpp:lobby@conference.localhost?join"));
}

#[tokio::test]
async fn there_is_always_a_way_to_an_administrator() {
    // Somebody else has the first account: the link is shown all the same.
    let mut server = Process::start(&[]);
    let add = |server: &Process, who: &str, more: &[&str]| {
        let mut command = kim(
            &server.data_dir(),
            &["user", "add", who, "--password-stdin", "--data-dir"],
        );
        command.arg(server.data_dir()).args(more).stdin(Stdio::piped());
        let mut running = command.spawn().expect("the command runs");
        let mut input = running.stdin.take().expect("its input");
        std::io::Write::write_all(&mut input, b"secret\n").expect("a password");
        drop(input);
        assert!(running.wait().expect("an end").success());
    };
    add(&server, "bob@localhost", &[]);
    server.restart("Or with: kim user add admin@localhost");
    let shown = &server.greeting;
    assert!(shown.contains("There is no administrator yet."), "{shown}");
    assert!(
        shown.contains("xmpp:admin@localhost?register;preauth="),
        "{shown}"
    );
    // The administrator was removed: the name is held back from everybody but the administrator.
    add(&server, "admin@localhost", &[]);
    assert!(
        server
            .kim(&["user", "delete", "admin@localhost", "--yes"])
            .status
            .success()
    );
    server.restart("Or with: kim user add admin@localhost --reuse-name");
    let (_, rest) = server
        .greeting
        .split_once("xmpp:admin@localhost?register;preauth=")
        .expect("a link");
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut admin = Client::connect(server.direct).await;
    admin.handshake(&TlsOptions::direct()).await.expect("a handshake");
    admin.open("localhost").await;
    admin
        .send(&format!(
            "<iq type='set' to='localhost' id='p'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
        ))
        .await;
    assert!(admin.next_text().await.contains("type='result'"));
    admin
        .send(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>admin</username>\
             <password>secret</password></query></iq>",
        )
        .await;
    assert!(admin.next_text().await.contains("type='result'"));
    // Now there is one, and nothing more is said.
    server.restart("database");
    server.signal("TERM");
    let mut rest = String::new();
    let mut out = server.out.take().expect("its output");
    std::io::Read::read_to_string(&mut out, &mut rest).expect("text");
    assert_eq!(rest, "");
}

/// A client can connect and is answered.
async fn answers(server: &Process) {
    let mut client = Client::connect(server.direct).await;
    client
        .handshake(&TlsOptions::direct())
        .await
        .expect("a handshake");
    client.open("localhost").await;
    assert!(client.features().contains("<mechanisms"));
}

#[tokio::test]
async fn a_reader_of_the_log_that_goes_away_ends_nothing() {
    let mut server = Process::start_logging(&[], "info");
    drop(server.log.take());
    drop(server.out.take());
    for _ in 0..3 {
        // Each reload logs something.
        server.signal("HUP");
        answers(&server).await;
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test]
async fn a_full_pipe_holds_nobody_up() {
    // A pipe takes 64 KiB on Linux. With this level each connection writes some of that, and nobody reads.
    let mut server = Process::start_logging(&[], "trace");
    let mut log = server.log.take().expect("its log");
    for _ in 0..60 {
        answers(&server).await;
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut log, &mut text).expect("what the pipe held");
    // It was full long before the end: what was logged then is missing.
    assert!(text.len() <= 65_536, "{} bytes", text.len());
    assert!(
        text.contains("kim") && !text.contains("event=\"stopping\""),
        "{} bytes",
        text.len()
    );
}

/// The lines of a log up to one that contains a word.
fn read_log(log: &mut impl std::io::BufRead, word: &str) -> String {
    let mut text = String::new();
    while !text.lines().last().is_some_and(|line| line.contains(word)) {
        let read = log.read_line(&mut text).expect("text");
        assert!(read > 0, "{word} is missing in:\n{text}");
    }
    text
}

#[tokio::test]
async fn hangup_tells_what_needs_a_restart_and_reads_a_file_that_was_not_there() {
    let mut server = Process::start_without_file();
    let mut log = std::io::BufReader::new(server.log.take().expect("its log"));
    let file = "[server]\ndomains = [\"localhost\", \"example.org\"]\n[xep0401_invites]\nexpires_days = 7\n\
                accounts_invite = false\n[limits]\nstanza_bytes_before_login_max = 12000\n";
    std::fs::write(server.settings(), file).expect("the file");
    server.signal("HUP");
    let text = read_log(&mut log, "limits_reloaded");
    let told = text
        .lines()
        .find(|line| line.contains("restart_needed"))
        .expect("a line");
    // Not what is as it was, and not the limits, which are in force.
    assert!(
        told.contains("[server] domains, [xep0401_invites] accounts_invite"),
        "{told}"
    );
    assert!(
        !told.contains("expires_days") && !told.contains("[limits]"),
        "{told}"
    );
    assert_eq!(self::told(&server).await, "12000");
    std::fs::remove_file(server.settings()).expect("the file");
    server.signal("HUP");
    let text = read_log(&mut log, "limits_reloaded");
    assert!(
        !text.contains("restart_needed"),
        "it was started without a file: {text}"
    );
}

#[tokio::test]
async fn a_file_that_disappears_is_a_mistake_and_the_limits_stay() {
    let mut server = Process::start_with_file_logging("[limits]\nstanza_bytes_before_login_max = 12000\n");
    let mut log = std::io::BufReader::new(server.log.take().expect("its log"));
    std::fs::remove_file(server.settings()).expect("the file");
    server.signal("HUP");
    let text = read_log(&mut log, "limits_refused");
    assert!(text.contains("kim.toml does not exist any more"), "{text}");
    assert_eq!(told(&server).await, "12000");
}

#[tokio::test]
async fn what_others_can_read_gets_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let mut server = Process::start_logging(&[], "warn");
    let key = server.data_dir().join("certs/localhost.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("the key");
    let mut log = std::io::BufReader::new(server.log.take().expect("its log"));
    server.signal("HUP");
    let text = read_log(&mut log, "tls_key_exposed");
    assert!(text.contains("chmod 600"), "{text}");
    let home = server.data_dir();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).expect("the folder");
    let second = server.kim(&["serve"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("data_dir_exposed") && said.contains("chmod 700"),
        "{said}"
    );
}

/// What `kim check` says of a bucket with these settings beside the right ones: one line.
fn checked(bucket: &str, settings: &[(&str, &str)]) -> String {
    let home = new_home();
    let ended = kim(&home, &["check", "--data-dir"])
        .arg(home.join("data"))
        .env("KIM__STORAGE__UPLOADS", bucket)
        .envs(settings.iter().copied())
        .output()
        .expect("the command runs");
    std::fs::remove_dir_all(&home).expect("the folder");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("  uploads  ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_with_what_to_do() {
    const NOBODY: (&str, &str) = ("KIM__STORAGE__S3_ENDPOINT", "http://127.0.0.1:1");
    let keys = [
        ("AWS_ACCESS_KEY_ID", "kim"),
        ("AWS_SECRET_ACCESS_KEY", "only-for-tests"),
    ];
    let no_keys = checked("s3://files", &[NOBODY, ("AWS_ACCESS_KEY_ID", "")]);
    assert!(
        no_keys.starts_with("FAIL") && no_keys.contains("needs AWS_ACCESS_KEY_ID"),
        "{no_keys}"
    );
    let nobody = checked("s3://files", &[NOBODY, keys[0], keys[1]]);
    assert!(
        nobody.starts_with("FAIL") && nobody.contains("is s3_endpoint in [storage]"),
        "{nobody}"
    );

    let Ok(endpoint) = std::env::var("KIM_TEST_S3") else {
        return;
    };
    let there = ("KIM__STORAGE__S3_ENDPOINT", endpoint.as_str());
    let made = Bucket::make().expect("a bucket");
    let name = made
        .folder
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let bucket = format!("s3://{name}");
    let good = checked(&bucket, &[there]);
    assert!(good.starts_with("ok") && good.ends_with("is writable"), "{good}");
    assert!(
        !made.folder.join("kim-check").exists(),
        "it was tried, and nothing stays"
    );
    for (bucket, wrong, advice) in [
        ("s3://no-such-bucket", there, "make it first"),
        (
            &bucket,
            ("AWS_SECRET_ACCESS_KEY", "wrong"),
            "are AWS_ACCESS_KEY_ID and",
        ),
        (
            &bucket,
            ("AWS_ACCESS_KEY_ID", "wrong"),
            "are AWS_ACCESS_KEY_ID and",
        ),
        (
            &bucket,
            ("KIM__STORAGE__S3_REGION", "elsewhere"),
            "is s3_region in",
        ),
    ] {
        let bad = checked(bucket, &[there, wrong]);
        assert!(
            bad.starts_with("FAIL") && bad.contains(advice),
            "{wrong:?}: {bad}"
        );
    }
}
