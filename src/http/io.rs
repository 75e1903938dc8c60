//! A [`Socket`] as hyper reads and writes it. A client that takes nothing of its answer for too long is cut off here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Sleep;

use crate::c2s::Socket;

/// Bytes encrypted in one go.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A connection under hyper.
pub(super) struct HttpIo {
    socket: Socket,
    /// Read and not yet asked for.
    input: BytesMut,
    stall_max: Duration,
    /// The client must have taken something by then.
    stall: Option<Pin<Box<Sleep>>>,
}

impl HttpIo {
    /// A socket of which `input` was read.
    pub fn new(socket: Socket, input: BytesMut, stall_max: Duration) -> HttpIo {
        HttpIo {
            socket,
            input,
            stall_max,
            stall: None,
        }
    }

    /// The socket, and what was read from it.
    pub fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.input)
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut taken = 0;
        let flushed = self.socket.poll_flush(cx, &mut taken);
        if flushed.is_ready() {
            self.stall = None;
            return flushed;
        }
        let stall_max = self.stall_max;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_max)));
        if taken > 0 {
            stall.as_mut().reset(tokio::time::Instant::now() + stall_max);
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for HttpIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.input.is_empty() {
            ready!(this.socket.poll_read(cx, &mut this.input))?;
        }
        let bytes = this.input.len().min(buffer.remaining());
        buffer.put_slice(this.input.get(..bytes).unwrap_or_default());
        this.input.advance(bytes);
        if this.input.is_empty() {
            this.input = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for HttpIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.socket.has_unwritten() {
            ready!(this.poll_written(cx))?;
        }
        let bytes = bytes.get(..WRITE_BYTES_MAX).unwrap_or(bytes);
        this.socket.queue(bytes)?;
        // What the kernel does not take now is waited for by the next call.
        match this.poll_written(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.socket.queue_close()?;
        ready!(this.poll_written(cx))?;
        this.socket.poll_shutdown(cx)
    }
}
