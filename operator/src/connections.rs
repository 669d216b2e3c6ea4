//! Connections to the operator's server: how many there may be, from one address and in all, and for how long.
//!
//! Agent pods reach this server and are not trusted, so nothing that a client does or leaves undone may hold memory for long: who
//! opens too many is cut off at once, a request that does not come is not waited for, and each connection serves one request.
//! Knows nothing of what is served.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Bytes of a request's line and headers, which is also what a connection may buffer.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Pause after an accept that failed, e.g. for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long requests may take once the server was told to stop.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// What connections may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub in_all: usize,
    /// Connections at once from one address. Another replica passes on the notices of many pods.
    pub per_source: usize,
    /// Until the headers are there.
    pub header: Duration,
    /// Until the answer is taken.
    pub whole: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_all: 1024,
            per_source: 64,
            header: Duration::from_secs(5),
            whole: Duration::from_secs(15),
        }
    }
}

/// Serves until told to stop.
pub async fn accept(listener: TcpListener, routes: Router, bounds: Bounds, stop: CancellationToken) {
    let (doorkeeper, tracker) = (Arc::new(Doorkeeper::default()), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Some(place) = Doorkeeper::admit(&doorkeeper, from.ip(), bounds) else {
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        tracker.spawn(async move {
            // Too slow, gone, or not HTTP: nothing that anybody here could do something about.
            let _ = timeout(bounds.whole, serve(stream, from, routes, bounds, stop)).await;
            drop(place);
        });
    }
    tracker.close();
    tracker.wait().await;
}

async fn serve(stream: TcpStream, from: SocketAddr, routes: Router, bounds: Bounds, stop: CancellationToken) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        routes.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(FINISH_TIMEOUT, connection).await;
        }
    }
}

/// Open connections per address.
#[derive(Debug, Default)]
struct Doorkeeper(Mutex<HashMap<IpAddr, usize>>);

impl Doorkeeper {
    /// None when there are too many. The place is free again once the result is dropped.
    fn admit(this: &Arc<Self>, from: IpAddr, bounds: Bounds) -> Option<Place> {
        let mut open = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all: usize = open.values().sum();
        let of_source = open.entry(from).or_default();
        if in_all >= bounds.in_all || *of_source >= bounds.per_source {
            if *of_source == 0 {
                open.remove(&from);
            }
            return None;
        }
        *of_source += 1;
        Some(Place {
            doorkeeper: Arc::clone(this),
            from,
        })
    }
}

struct Place {
    doorkeeper: Arc<Doorkeeper>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.doorkeeper.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_source) = open.get_mut(&self.from) {
            *of_source -= 1;
            if *of_source == 0 {
                open.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn started(bounds: Bounds) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let routes = Router::new().route("/", get(|| async { "hello" }));
        let server = tokio::spawn(accept(listener, routes, bounds, stop.clone()));
        (address, stop, server)
    }

    /// What comes until the server closes the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // A reset is an end as well.
        let _ = timeout(LONG, stream.read_to_end(&mut text))
            .await
            .expect("the server closes the connection");
        String::from_utf8(text).unwrap()
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that has closed already may refuse it.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        rest(stream).await
    }

    #[tokio::test]
    async fn half_a_request_is_not_waited_for() {
        let header = Duration::from_millis(100);
        let (address, ..) = started(Bounds {
            header,
            whole: LONG * 2,
            ..Bounds::default()
        })
        .await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let silent = TcpStream::connect(address).await.unwrap();
        assert!(!rest(half).await.contains("hello"));
        assert_eq!(rest(silent).await, "");
        assert!(ask(address).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn who_opens_too_many_connections_is_cut_off_until_some_are_closed() {
        let (address, ..) = started(Bounds {
            per_source: 2,
            ..Bounds::default()
        })
        .await;
        let mut open = vec![
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        assert_eq!(ask(address).await, "");
        open.pop();
        let served = async {
            while !ask(address).await.ends_with("hello") {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, served).await.expect("there is a place again");
    }

    #[test]
    fn all_sources_together_are_bounded_and_places_come_free() {
        let bounds = Bounds {
            in_all: 2,
            per_source: 2,
            ..Bounds::default()
        };
        let (doorkeeper, from) = (Arc::new(Doorkeeper::default()), |n: u8| IpAddr::from([10, 0, 0, n]));
        let admit = |n| Doorkeeper::admit(&doorkeeper, from(n), bounds);
        let (one, two) = (admit(1), admit(2));
        assert!(one.is_some() && two.is_some() && admit(3).is_none());
        drop(one);
        assert!(admit(3).is_some());
        drop(two);
        assert!(doorkeeper.0.lock().unwrap().is_empty(), "who is gone is forgotten");
    }

    #[tokio::test]
    async fn a_server_that_is_told_to_stop_waits_for_nobody_who_says_nothing() {
        let (address, stop, server) = started(Bounds {
            header: LONG * 2,
            whole: LONG * 2,
            ..Bounds::default()
        })
        .await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET").await.unwrap();
        assert!(ask(address).await.ends_with("hello"), "the server is at work");
        stop.cancel();
        timeout(LONG, server).await.expect("the server stops").unwrap();
    }
}
