//! A large file through the built server: up and down again, while the server's memory stays flat. The size is a gigabyte
//! unless `KIM_UPLOAD_MB` says another; what is measured stands in `docs/performance.md`.

#[path = "common/bucket.rs"]
mod bucket;
mod whole;

use std::io::Write;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use bucket::Bucket;
use whole::person::Person;
use whole::process::Kim;

const MB_DEFAULT: u64 = 1024;
/// The same through a bucket, where there is an S3 server (`KIM_TEST_S3`).
const BUCKET_MB: u64 = 200;
/// What the server may have more at any time than before, whatever the size of the file.
const GROWTH_BYTES_MAX: u64 = 32 * 1024 * 1024;
const PIECE_BYTES: usize = 256 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_needs_no_memory() {
    let mb = std::env::var("KIM_UPLOAD_MB").ok().and_then(|mb| mb.parse().ok());
    there_and_back("a folder", "", mb.unwrap_or(MB_DEFAULT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_does_a_bucket() {
    if let Some(bucket) = Bucket::make() {
        // The whole configuration is in one [storage], which stands last before these settings.
        let settings = bucket.settings.replace("[storage]\n", "");
        there_and_back("a bucket", &settings, BUCKET_MB).await;
    }
}

async fn there_and_back(place: &str, storage: &str, mb: u64) {
    let bytes = mb * 1024 * 1024;
    let settings = format!(
        "{storage}[xep0363_upload]\nfile_bytes_max = 17179869184\naccount_bytes_max = 17179869184\n\
         day_bytes_max = 17179869184\n"
    );
    let kim = Kim::start("upload-memory", &settings).await;
    let mut alice = Person::online(&kim, "alice@localhost/phone").await;
    // A small one first, so that what is made once is there.
    for size in [1_000_000, bytes] {
        let (put, get) = slot(&mut alice, size).await;
        let before = kim.resident_bytes();
        let (up, sum) = upload(&kim, &put, size).await;
        let (down, back) = download(&kim, &get, size).await;
        assert_eq!(sum, back, "what came back is what went in");
        let grown = kim.resident_bytes_max().saturating_sub(before);
        if size == bytes {
            let rate = |time: Duration| size as f64 / 1e6 / time.as_secs_f64();
            let figure = format!(
                "upload to {place}: {} MiB up {:.0} MB/s, down {:.0} MB/s over TLS, sealed; memory grew by {grown} bytes at most\n",
                size / (1024 * 1024),
                rate(up),
                rate(down),
            );
            let _ = std::io::stderr().write_all(figure.as_bytes());
            assert!(grown <= GROWTH_BYTES_MAX, "{figure}");
        }
    }
    kim.stop();
}

async fn slot(alice: &mut Person, bytes: u64) -> (String, String) {
    alice
        .say(&format!(
            "<iq id='slot' type='get' to='upload.localhost'>\
             <request xmlns='urn:xmpp:http:upload:0' filename='large.bin' size='{bytes}'/></iq>"
        ))
        .await;
    let answer = alice.next().await.expect("an answer");
    let path = |mark: &str| {
        let (_, rest) = answer.split_once(mark).unwrap_or_else(|| panic!("{answer}"));
        let (url, _) = rest.split_once('\'').expect("a quote");
        url[url.find("/upload/").expect("a path")..].to_owned()
    };
    (path("<put url='"), path("<get url='"))
}

async fn connect(kim: &Kim) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(kim.https()).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(kim.trust.clone());
    connector.connect(name, tcp).await.expect("a handshake")
}

async fn upload(kim: &Kim, path: &str, bytes: u64) -> (Duration, Vec<u8>) {
    let mut stream = connect(kim).await;
    let begun = Instant::now();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut sum = Sha256::new();
    let (mut left, mut number) = (bytes, 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        // Every piece is another, so that none can stand for another.
        piece[..8].copy_from_slice(&number.to_be_bytes());
        number += 1;
        let length = left.min(PIECE_BYTES as u64) as usize;
        stream.write_all(&piece[..length]).await.expect("written");
        sum.update(&piece[..length]);
        left -= length as u64;
    }
    stream.flush().await.expect("written");
    let head = head_of(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    (begun.elapsed(), sum.finalize().to_vec())
}

async fn download(kim: &Kim, path: &str, bytes: u64) -> (Duration, Vec<u8>) {
    let mut stream = connect(kim).await;
    let begun = Instant::now();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.flush().await.expect("written");
    let head = head_of(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut sum = Sha256::new();
    let mut left = bytes;
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        let read = stream.read(&mut piece).await.expect("more");
        assert!(read > 0, "{left} bytes are missing");
        sum.update(&piece[..read]);
        left -= read as u64;
    }
    (begun.elapsed(), sum.finalize().to_vec())
}

async fn head_of(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}
