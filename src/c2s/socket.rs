//! One TCP connection, with TLS or without, that holds no memory while nothing happens.
//!
//! Most clients are connected and silent, so what an idle connection keeps decides how many fit in a machine. The usual
//! TLS streams keep several kilobytes of buffers for each. Here the record layer is rustls' unbuffered one: ciphertext is
//! read into a buffer that the thread's connections share, records are decrypted there, and only a record whose end
//! has not come yet is copied and kept. What is written is encrypted in one go and kept only if the kernel does not
//! take all of it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// Bytes read from the kernel in one go.
const READ_BYTES_MAX: usize = 32 * 1024;
/// Bytes read and forgotten after our last words.
const LINGER_BYTES_MAX: usize = 512 * 1024;
/// The longest TLS record (RFC 8446 §5.2) with its header, and as much as an unfinished one may take.
const RECORD_BYTES_MAX: usize = 16_384 + 256 + 5;
/// What encrypting adds to one record at most (RFC 5246 §6.2.3.3: header, nonce, tag), generously.
const RECORD_OVERHEAD_BYTES: usize = 64;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// A connection to a client.
pub struct Socket {
    tcp: TcpStream,
    tls: Option<Tls>,
    /// Written, encrypted if need be, and not yet taken by the kernel. Not allocated while empty.
    out: Vec<u8>,
    /// How much of `out` the kernel has.
    out_taken: usize,
}

/// The TLS half.
struct Tls {
    connection: Box<UnbufferedServerConnection>,
    /// The beginning of a record whose end has not come. Not allocated while empty.
    partial: Vec<u8>,
    /// The client has said that nothing more comes.
    peer_closed: bool,
    /// We have.
    closed: bool,
}

impl Socket {
    /// A connection as it was accepted.
    pub fn new(tcp: TcpStream) -> Socket {
        Socket {
            tcp,
            tls: None,
            out: Vec::new(),
            out_taken: 0,
        }
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether both ends are on this machine.
    pub fn is_loopback(&self) -> bool {
        let loopback = |address: io::Result<std::net::SocketAddr>| {
            address.is_ok_and(|address| match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip.to_canonical().is_loopback(),
            })
        };
        loopback(self.tcp.local_addr()) && loopback(self.tcp.peer_addr())
    }

    // ——— reading ———

    /// Waits for bytes without reading any.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.tcp.poll_read_ready(cx)).await
    }

    /// Reads what has come and appends it, decrypted, to `plain`. Gives `false` at the end of the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, plain: &mut BytesMut) -> Poll<io::Result<bool>> {
        let before = plain.len();
        // A TLS record may hold nothing for us (a ticket, a new key): then the end has not come, and no data either.
        loop {
            let more = ready!(self.poll_records(cx, plain))?;
            if plain.len() > before {
                return Poll::Ready(Ok(true));
            } else if !more {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// One read from the kernel, whatever is in it.
    fn poll_records(&mut self, cx: &mut Context<'_>, plain: &mut BytesMut) -> Poll<io::Result<bool>> {
        loop {
            if self.tls.as_ref().is_some_and(|tls| tls.peer_closed) {
                return Poll::Ready(Ok(false));
            }
            ready!(self.tcp.poll_read_ready(cx))?;
            match SHARED.with_borrow_mut(|shared| self.read_into(shared, plain)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn read_into(&mut self, shared: &mut [u8], plain: &mut BytesMut) -> io::Result<bool> {
        let bytes = self.tcp.try_read(shared)?;
        let fresh = shared.get_mut(..bytes).unwrap_or_default();
        match &mut self.tls {
            None => plain.extend_from_slice(fresh),
            Some(tls) => tls.decrypt(fresh, plain, &mut self.out)?,
        }
        Ok(bytes > 0)
    }

    /// [`Socket::poll_read`] as a future.
    pub async fn read(&mut self, plain: &mut BytesMut) -> io::Result<bool> {
        poll_fn(|cx| self.poll_read(cx, plain)).await
    }

    // ——— writing ———

    /// Whether something waits for the kernel.
    pub fn has_unwritten(&self) -> bool {
        !self.out.is_empty()
    }

    /// How much of it there is.
    pub fn unwritten_bytes(&self) -> usize {
        self.out.len() - self.out_taken
    }

    /// What was agreed on by ALPN (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.connection.alpn_protocol()
    }

    /// Queues bytes for [`Socket::poll_flush`], encrypted if the connection is.
    pub fn queue(&mut self, plain: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.out.extend_from_slice(plain),
            Some(tls) => tls.encrypt(plain, &mut self.out)?,
        }
        Ok(())
    }

    /// Hands the kernel what is queued. `Pending` while it takes nothing; the second value tells how many bytes it took
    /// since the last call.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.out_taken..).filter(|rest| !rest.is_empty()) {
            match self.tcp.try_write(rest) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    self.out_taken += bytes;
                    *taken += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.out = Vec::new();
        self.out_taken = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes everything that is queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx, &mut 0)).await
    }

    // ——— TLS ———

    /// Makes the server's half of a TLS handshake. What the client says right behind its last handshake message is
    /// appended to `plain`. A place in `turns` is held while something is computed, not while the client is waited
    /// for: those who begin and do not go on keep nobody out.
    pub async fn handshake(
        &mut self,
        config: Arc<ServerConfig>,
        turns: &Semaphore,
        plain: &mut BytesMut,
    ) -> io::Result<()> {
        let connection = Box::new(UnbufferedServerConnection::new(config).map_err(io::Error::other)?);
        self.tls = Some(Tls {
            connection,
            partial: Vec::new(),
            peer_closed: false,
            closed: false,
        });
        while self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.connection.is_handshaking())
        {
            self.readable().await?;
            let turn = turns.acquire().await.map_err(io::Error::other)?;
            let read = SHARED.with_borrow_mut(|shared| self.read_into(shared, plain));
            drop(turn);
            // Even a failed handshake has a last word: an alert.
            self.flush().await?;
            match read {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Queues the end of TLS, if there is TLS (RFC 8446 §6.1).
    pub fn queue_close(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) if !tls.closed => {
                tls.closed = true;
                tls.close_notify(&mut self.out)
            }
            _ => Ok(()),
        }
    }

    /// Says that nothing more will be written, when everything is.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    /// Says that nothing more will be written.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.queue_close()?;
        self.flush().await?;
        self.tcp.shutdown().await
    }

    /// Reads and forgets until the client has closed too, so that the kernel does not answer late bytes with a reset
    /// that would take our last words from the client (RFC 9293 §3.10.7). Only so much of them: who goes on sending does
    /// not listen.
    pub async fn linger(&mut self, time: Duration) {
        let mut left = LINGER_BYTES_MAX;
        let drained = async {
            loop {
                self.readable().await?;
                match SHARED.with_borrow_mut(|shared| self.tcp.try_read(shared)) {
                    Ok(bytes) if bytes > 0 && bytes < left => left -= bytes,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    over => return over,
                }
            }
        };
        let _ = tokio::time::timeout(time, drained).await;
    }
}

impl Tls {
    /// Decrypts what is whole, keeps what is not.
    fn decrypt(&mut self, fresh: &mut [u8], plain: &mut BytesMut, out: &mut Vec<u8>) -> io::Result<()> {
        if self.partial.is_empty() {
            let used = self.process(fresh, plain, out)?;
            self.partial = fresh.get(used..).unwrap_or_default().to_vec();
        } else {
            let mut records = std::mem::take(&mut self.partial);
            records.extend_from_slice(fresh);
            let used = self.process(&mut records, plain, out)?;
            if used < records.len() {
                records.drain(..used);
                self.partial = records;
            }
        }
        if self.partial.len() > RECORD_BYTES_MAX {
            return Err(io::Error::other("TLS record too long"));
        }
        Ok(())
    }

    /// Lets rustls go on until it wants more bytes. Gives how many of `records` it has used.
    fn process(&mut self, records: &mut [u8], plain: &mut BytesMut, out: &mut Vec<u8>) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = records.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let mut waits = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(|room| data.encode(room), out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) => waits = true,
                Err(error) => {
                    self.alert(out);
                    return Err(io::Error::other(error));
                }
            }
            used += discard;
            if waits {
                return Ok(used);
            }
        }
    }

    /// After a failure, rustls has an alert for the client (RFC 8446 §6.2).
    fn alert(&mut self, out: &mut Vec<u8>) {
        while let UnbufferedStatus { state: Ok(state), .. } = self.connection.process_tls_records(&mut []) {
            match state {
                ConnectionState::EncodeTlsData(mut data) => {
                    if encode(|room| data.encode(room), out).is_err() {
                        return;
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return,
            }
        }
    }

    fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.while_writable(out, |traffic, out| {
            let start = out.len();
            let records = plain.len() / 16_384 + 2;
            out.resize(start + plain.len() + records * RECORD_OVERHEAD_BYTES, 0);
            let written = match traffic.encrypt(plain, out.get_mut(start..).unwrap_or_default()) {
                Err(EncryptError::InsufficientSize(size)) => {
                    out.resize(start + size.required_size, 0);
                    traffic.encrypt(plain, out.get_mut(start..).unwrap_or_default())
                }
                other => other,
            };
            out.truncate(start + written.as_ref().copied().unwrap_or(0));
            written.map(|_| ()).map_err(io::Error::other)
        })
    }

    fn close_notify(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.while_writable(out, |traffic, out| {
            let start = out.len();
            out.resize(start + 4 * RECORD_OVERHEAD_BYTES, 0);
            let written = traffic.queue_close_notify(out.get_mut(start..).unwrap_or_default());
            out.truncate(start + written.as_ref().copied().unwrap_or(0));
            written.map(|_| ()).map_err(io::Error::other)
        })
    }

    /// Gets to the point where rustls lets us write, then lets `write` do it.
    fn while_writable(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.partial);
            match state.map_err(io::Error::other)? {
                ConnectionState::EncodeTlsData(mut data) => encode(|room| data.encode(room), out)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, out),
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
            self.partial.drain(..discard.min(self.partial.len()));
        }
    }
}

/// Appends handshake bytes of rustls.
fn encode(
    mut data: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let start = out.len();
    out.resize(start + 1024, 0);
    let written = match data(out.get_mut(start..).unwrap_or_default()) {
        Err(EncodeError::InsufficientSize(size)) => {
            out.resize(start + size.required_size, 0);
            data(out.get_mut(start..).unwrap_or_default())
        }
        other => other,
    };
    out.truncate(start + written.as_ref().copied().unwrap_or(0));
    written.map(|_| ()).map_err(io::Error::other)
}
