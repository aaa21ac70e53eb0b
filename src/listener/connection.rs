//! Connection of a client, with a time limit for writing.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::rejection;

/// Connection that fails if the client takes no byte for some time, and that gives rejections of malformed HTTP a body.
pub struct Connection<T> {
    stream: T,
    write_timeout: Duration,
    /// End of the wait for the client to take a byte.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Rejection that is being written, and the number of its bytes that are.
    rejection: Option<(Vec<u8>, usize)>,
}

impl<T: AsyncWrite + AsFd + Unpin> Connection<T> {
    /// A connection over this stream.
    pub fn new(stream: T, write_timeout: Duration) -> Self {
        Self {
            stream,
            write_timeout,
            stalled: None,
            rejection: None,
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        tracing::debug!("Client took no byte of its response in time; connection closed");
        // Without this, the system would keep what the client did not take.
        let socket = SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).ok();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the rest of a rejection.
    fn write_rejection(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, done)) = self.rejection.take() {
            let written = self.write(cx, &bytes[done..]);
            let taken = match &written {
                Poll::Ready(Ok(taken)) => *taken,
                _ => 0,
            };
            if done + taken < bytes.len() {
                self.rejection = Some((bytes, done + taken));
            }
            if ready!(written)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + AsFd + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.rejection.is_none() {
            match rejection::find(bytes) {
                None => return self.write(cx, bytes),
                // Responses to earlier requests come first.
                Some(start @ 1..) => return self.write(cx, &bytes[..start]),
                Some(0) => self.rejection = Some((rejection::with_body(bytes), 0)),
            }
        }
        ready!(self.write_rejection(cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}
