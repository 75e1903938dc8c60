//! A client for HTTP that says exactly what a test tells it to.

use std::net::SocketAddr;

use crate::common::tls::TlsOptions;
use crate::common::{PATIENCE, TestServer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection.
pub struct Http(pub Box<dyn Io>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The header, as it came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A line of the header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }
}

impl Http {
    pub async fn plain(address: SocketAddr) -> Http {
        Http(Box::new(TcpStream::connect(address).await.expect("a connection")))
    }

    pub async fn tls(address: SocketAddr) -> Http {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        let tls = TlsOptions::default().alpn("http/1.1").connect(tcp).await;
        Http(Box::new(tls.expect("a handshake")))
    }

    /// The same for a client that takes little at a time.
    pub async fn tls_with_small_buffers(address: SocketAddr) -> Http {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        let tcp = socket.connect(address).await.expect("a connection");
        let tls = TlsOptions::default().alpn("http/1.1").connect(tcp).await;
        Http(Box::new(tls.expect("a handshake")))
    }

    /// Writes bytes; that the server has closed already is not told.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
    }

    /// Sends a request with this first line, and gives the answer.
    pub async fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() && line.starts_with("GET") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        self.send(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\n{length}{headers}\r\n"
        ))
        .await;
        self.send(body).await;
        self.answer(line.starts_with("HEAD")).await.expect("an answer")
    }

    /// Reads an answer; `None` if the connection ends.
    pub async fn answer(&mut self, is_head: bool) -> Option<Answer> {
        let reading = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.ok()?);
            }
            let head = String::from_utf8(head).expect("text");
            let mut answer = Answer {
                status: head.split(' ').nth(1)?.parse().ok()?,
                head,
                body: Vec::new(),
            };
            if let Some(length) = answer.header("content-length").filter(|_| !is_head) {
                answer.body = vec![0; length.parse().expect("a number")];
                self.0.read_exact(&mut answer.body).await.ok()?;
            }
            Some(answer)
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("an answer in time")
    }

    /// Whether the server has closed, after whatever it still says.
    pub async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest))
            .await
            .is_ok()
    }
}

/// One request over HTTPS.
pub async fn ask(server: &TestServer, line: &str, headers: &str, body: &[u8]) -> Answer {
    Http::tls(server.https).await.ask(line, headers, body).await
}
