//! What a file costs on its way in and out: over TLS and without, sealed and as it comes (a file that arrives encrypted,
//! XEP-0454, where `seal_encrypted` is off), against the built server as a process of its own. Prints MB/s, the server's CPU
//! time for a gigabyte, and what its memory grew by.
//!
//! `KIM_BENCH_MB` changes the size, `KIM_BENCH_AT_ONCE` how many people do it at the same time; `KIM_PROOF_BIN` measures
//! another binary. Where `KIM_TEST_S3` names a server, a bucket of it is measured too. Files lie in the folder for
//! temporary ones (`TMPDIR`).

#[path = "../tests/common/bucket.rs"]
mod bucket;
#[path = "../tests/whole/mod.rs"]
mod whole;

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use bucket::Bucket;
use whole::person::Person;
use whole::process::Kim;

const PIECE_BYTES: usize = 256 * 1024;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

fn number(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok().and_then(|text| text.parse().ok());
    set.unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let bytes = number("KIM_BENCH_MB", 512) * 1024 * 1024;
    let at_once = number("KIM_BENCH_AT_ONCE", 1);
    println!("{at_once} x {} MiB", bytes / 1024 / 1024);
    measure("a folder, sealed", "", "", bytes, at_once).await;
    measure(
        "a folder, as it comes",
        "",
        "seal_encrypted = false\n",
        bytes,
        at_once,
    )
    .await;
    if let Some(bucket) = Bucket::make() {
        // The whole configuration is one [storage], which stands last before these settings.
        let storage = bucket.settings.replace("[storage]\n", "");
        measure("a bucket, sealed", &storage, "", bytes, at_once).await;
    }
}

async fn measure(what: &str, storage: &str, policy: &str, bytes: usize, at_once: usize) {
    let settings = format!(
        "{storage}[limits]\nenabled = false\n[xep0363_upload]\nfile_bytes_max = 1099511627776\n{policy}"
    );
    let kim = Kim::start("upload", &settings).await;
    let mut people = Vec::new();
    for at in 0..at_once {
        people.push(Person::online(&kim, &format!("p{at}@localhost/desk")).await);
    }
    let noise: Vec<u8> = (0..PIECE_BYTES / 32)
        .flat_map(|_| kim_core::random::bytes::<32>())
        .collect();
    // A small one first, so that what is made once is there.
    for (size, is_warm) in [(1_000_000, false), (bytes, true)] {
        for tls in [true, false] {
            let mut slots = Vec::new();
            for person in &mut people {
                slots.push(slot(person, size).await);
            }
            let door = format!("{what}, {}", if tls { "TLS" } else { "no TLS" });
            let up = format!("{door}, up");
            let down = format!("{door}, down");
            let puts = slots.iter().map(|(put, _)| upload(&kim, tls, put, size, &noise));
            timed(
                &kim,
                is_warm.then_some(&up),
                size * at_once,
                futures_util::future::join_all(puts),
            )
            .await;
            let gets = slots
                .iter()
                .map(|(_, get)| download(&kim, tls, get, size, &noise));
            timed(
                &kim,
                is_warm.then_some(&down),
                size * at_once,
                futures_util::future::join_all(gets),
            )
            .await;
        }
    }
    kim.stop();
}

async fn timed(kim: &Kim, name: Option<&String>, bytes: usize, work: impl Future<Output = Vec<()>>) {
    let (user, system) = kim.cpu();
    kim.forget_resident_max();
    let before = kim.resident_bytes();
    let begun = Instant::now();
    work.await;
    let wall = begun.elapsed();
    let (user, system) = (kim.cpu().0 - user, kim.cpu().1 - system);
    let Some(name) = name else { return };
    let gigabyte = |time: Duration| time.as_secs_f64() * 1e9 / bytes as f64;
    println!(
        "{name}: {:.0} MB/s, CPU {:.2} s/GB ({:.2} user, {:.2} kernel), memory +{:.1} MB at most",
        bytes as f64 / 1e6 / wall.as_secs_f64(),
        gigabyte(user + system),
        gigabyte(user),
        gigabyte(system),
        kim.resident_bytes_max().saturating_sub(before) as f64 / 1e6
    );
}

async fn slot(person: &mut Person, bytes: usize) -> (String, String) {
    person
        .say(&format!(
            "<iq id='slot' type='get' to='upload.localhost'>\
             <request xmlns='urn:xmpp:http:upload:0' filename='large.bin' size='{bytes}'/></iq>"
        ))
        .await;
    let answer = person.wait().await;
    let path = |mark: &str| {
        let (_, rest) = answer.split_once(mark).unwrap_or_else(|| panic!("{answer}"));
        let (url, _) = rest.split_once('\'').expect("a quote");
        url[url.find("/upload/").expect("a path")..].to_owned()
    };
    (path("<put url='"), path("<get url='"))
}

async fn connect(kim: &Kim, tls: bool) -> Box<dyn Io> {
    let address = if tls { kim.https() } else { kim.http() };
    let tcp = TcpStream::connect(address).await.expect("a connection");
    if !tls {
        return Box::new(tcp);
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(kim.trust.clone());
    Box::new(connector.connect(name, tcp).await.expect("a handshake"))
}

/// The pieces of a file: noise, each beginning with its number.
fn stamp(piece: &mut [u8], number: u64) {
    piece[..8].copy_from_slice(&(number ^ 0x5bd1_e995_9d1c_66a3).to_be_bytes());
}

async fn upload(kim: &Kim, tls: bool, path: &str, bytes: usize, noise: &[u8]) {
    let mut stream = connect(kim, tls).await;
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut piece = noise.to_vec();
    let (mut left, mut number) = (bytes, 0);
    while left > 0 {
        stamp(&mut piece, number);
        number += 1;
        let length = left.min(PIECE_BYTES);
        stream.write_all(&piece[..length]).await.expect("written");
        left -= length;
    }
    stream.flush().await.expect("written");
    let head = head_of(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
}

async fn download(kim: &Kim, tls: bool, path: &str, bytes: usize, noise: &[u8]) {
    let mut stream = connect(kim, tls).await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.flush().await.expect("written");
    let head = head_of(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (mut expected, mut piece) = (noise.to_vec(), vec![0; PIECE_BYTES]);
    let (mut left, mut number) = (bytes, 0);
    while left > 0 {
        let length = left.min(PIECE_BYTES);
        stream.read_exact(&mut piece[..length]).await.expect("all of it");
        stamp(&mut expected, number);
        assert!(
            piece[..length] == expected[..length],
            "what came back is what went in"
        );
        number += 1;
        left -= length;
    }
}

async fn head_of(stream: &mut Box<dyn Io>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}
