//! Reading, writing and closing, as sessions do it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ClientStream, Reading};
use crate::downstream::linger;

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.may_be_sending()
            && let Some(inner) = self.inner.take()
        {
            linger::start(inner, self.counted.take());
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.catch_up();
        match stream.reading {
            Reading::Head | Reading::Upgraded => stream.poll_any(cx, buf),
            Reading::Body(body, _) if body.is_over() => stream.poll_ahead(cx),
            Reading::Body(body, may_upgrade) => stream.poll_body(body, may_upgrade, cx, buf),
            Reading::Http2 { preface: 0 } => stream.poll_any(cx, buf),
            Reading::Http2 { preface } => stream.poll_http2(preface, cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        stream.note_upgrade(bytes);
        let Some(inner) = stream.inner.as_mut() else { return Poll::Ready(Ok(0)) };
        let result = Pin::new(inner).poll_write(cx, bytes);
        stream.sent(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let Some(inner) = stream.inner.as_mut() else { return Poll::Ready(Ok(0)) };
        let result = Pin::new(inner).poll_write_vectored(cx, pieces);
        stream.sent(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let Some(inner) = stream.inner.as_mut() else { return Poll::Ready(Ok(())) };
        let result = Pin::new(inner).poll_flush(cx);
        stream.sent(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let Some(inner) = stream.inner.as_mut() else { return Poll::Ready(Ok(())) };
        Pin::new(inner).poll_shutdown(cx)
    }
}
