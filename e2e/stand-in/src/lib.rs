//! A small HTTP server for stand-ins (the model endpoint, Telegram): a router on a socket whose connections can be
//! cut at any moment, even before a byte of the answer is out.
//!
//! A real network does that; `axum::serve` alone cannot. Each connection carries a [`Line`], which a handler takes as
//! an extractor argument: `ConnectInfo(line): ConnectInfo<Line>`.
//!
//! Knows nothing of what is served. Fails only when the address cannot be bound.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Serves `router` on `addr`; port 0 takes a free one.
pub async fn serve(addr: SocketAddr, router: Router) -> io::Result<Running> {
    let tcp = TcpListener::bind(addr).await?;
    let addr = tcp.local_addr()?;
    let stop = CancellationToken::new();
    let listener = Lines {
        tcp,
        stop: stop.clone(),
    };
    let service = router.into_make_service_with_connect_info::<Line>();
    let ended = stop.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            result = axum::serve(listener, service) => {
                if let Err(error) = result {
                    tracing::error!(%error, "server ended");
                }
            }
            () = ended.cancelled() => {}
        }
    });
    Ok(Running { addr, stop, task })
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://<address>`, without a slash at the end. A wildcard address is given as loopback.
    pub fn url(&self) -> String {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{addr}")
    }

    /// Closes the socket and cuts every connection. Returns when the port is free again.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = (&mut self.task).await;
    }

    /// Returns when the server has ended by itself, which it does only on a fatal socket error.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One connection, as its handlers see it.
#[derive(Clone, Debug)]
pub struct Line(CancellationToken);

impl Line {
    /// Cuts the connection. What was not yet on the wire stays unsent; the handler that calls it is dropped at its next
    /// await, so the usual next line is `std::future::pending().await`.
    pub fn cut(&self) {
        self.0.cancel();
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        Line(stream.io().cut.clone())
    }
}

/// The listener behind [`serve`]; public only because axum names it in a bound.
#[derive(Debug)]
pub struct Lines {
    tcp: TcpListener,
    stop: CancellationToken,
}

impl Listener for Lines {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.tcp).await;
        // Streamed answers are many small writes; waiting to fill a packet would blur their timing.
        let _ = stream.set_nodelay(true);
        let cut = self.stop.child_token();
        let waiting = Box::pin(cut.clone().cancelled_owned());
        (CuttableStream { stream, cut, waiting }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A socket that reports a reset once its [`Line`] is cut.
#[derive(Debug)]
pub struct CuttableStream {
    stream: TcpStream,
    cut: CancellationToken,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CuttableStream {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::{extract::ConnectInfo, routing::get};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn raw_get(addr: SocketAddr, path: &str) -> Vec<u8> {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        answer
    }

    fn router() -> Router {
        Router::new().route("/ok", get(|| async { "ok" })).route(
            "/cut",
            get(|ConnectInfo(line): ConnectInfo<Line>| async move {
                line.cut();
                std::future::pending::<()>().await;
            }),
        )
    }

    #[tokio::test]
    async fn a_cut_line_answers_not_one_byte_and_others_go_on() {
        let server = serve(([127, 0, 0, 1], 0).into(), router()).await.unwrap();
        assert!(raw_get(server.addr(), "/cut").await.is_empty());
        assert!(raw_get(server.addr(), "/ok").await.ends_with(b"ok"));
    }

    #[tokio::test]
    async fn stopping_frees_the_port() {
        let server = serve(([127, 0, 0, 1], 0).into(), router()).await.unwrap();
        let addr = server.addr();
        server.stop().await;
        TcpListener::bind(addr).await.unwrap();
    }
}
