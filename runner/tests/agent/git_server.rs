//! Git's own server of smart HTTP, on loopback: an axum route that runs `git http-backend` as CGI.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::support::PATIENCE;

/// A server with one repository, `app.git`.
pub struct GitServer {
    pub url: String,
    folder: TempDir,
    state: Arc<Server>,
}

struct Server {
    root: PathBuf,
    /// `user:password` that it wants.
    login: Mutex<Option<String>>,
    /// Sends the objects only halfway while this is true.
    holds: watch::Sender<bool>,
    half_sent: watch::Sender<usize>,
    requests: AtomicUsize,
}

impl GitServer {
    /// Its repository has three commits on `main`, a tag `v1` on the first of them and a branch `side`.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        git(folder.path(), &["init", "-q", "-b", "main", "work"]);
        for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
            std::fs::write(work.join("count.txt"), name).unwrap();
            // Not to be compressed to nothing.
            let noise: Vec<u8> = (0..40_000_u32).flat_map(|i| uuid_bytes(i, n)).collect();
            std::fs::write(work.join(format!("{name}.bin")), noise).unwrap();
            git(&work, &["add", "."]);
            git(&work, &["commit", "-q", "-m", name]);
            if name == "one" {
                git(&work, &["tag", "v1"]);
                git(&work, &["branch", "side"]);
            }
        }
        git(folder.path(), &["clone", "-q", "--bare", "work", "app.git"]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/app.git", listener.local_addr().unwrap());
        let state = Arc::new(Server {
            root: folder.path().to_owned(),
            login: Mutex::new(None),
            holds: watch::channel(false).0,
            half_sent: watch::channel(0).0,
            requests: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(serve).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, folder, state }
    }

    pub fn require(&self, login: &str) {
        *self.state.login.lock().unwrap() = Some(login.to_owned());
    }

    /// Address of another repository, without a commit.
    pub fn empty(&self) -> String {
        git(self.folder.path(), &["init", "-q", "--bare", "empty.git"]);
        self.url.replace("app.git", "empty.git")
    }

    pub fn hold(&self, hold: bool) {
        self.state.holds.send_replace(hold);
    }

    /// Waits until somebody has half of the objects.
    pub async fn half_sent(&self) {
        let mut half_sent = self.state.half_sent.subscribe();
        let sent = tokio::time::timeout(PATIENCE, half_sent.wait_for(|times| *times > 0));
        sent.await.expect("nobody clones").unwrap();
    }

    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Whole id of a commit.
    pub fn commit(&self, name: &str) -> String {
        git(&self.folder.path().join("app.git"), &["rev-parse", name])
    }
}

fn uuid_bytes(i: u32, n: usize) -> [u8; 16] {
    *uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{i}/{n}").as_bytes()).as_bytes()
}

/// Runs git without anybody's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command.args(arguments).current_dir(folder);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test");
        command.env(format!("GIT_{who}_EMAIL"), "test@example.com");
    }
    let done = command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn serve(State(server): State<Arc<Server>>, request: Request) -> Response {
    server.requests.fetch_add(1, Ordering::SeqCst);
    let wanted = server.login.lock().unwrap().clone();
    if let Some(wanted) = wanted {
        let expected = format!("Basic {}", BASE64_STANDARD.encode(wanted));
        let given = request.headers().get(header::AUTHORIZATION);
        if given.is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
            // As a server might that is not careful with what it was given.
            let given = given.map(|given| String::from_utf8_lossy(given.as_bytes()).into_owned());
            let told = format!("who is {}?\n", given.unwrap_or_default());
            let wants = [
                (header::WWW_AUTHENTICATE, "Basic realm=\"git\""),
                (header::CONTENT_TYPE, "text/plain"),
            ];
            return (StatusCode::UNAUTHORIZED, wants, told).into_response();
        }
    }
    let sends_objects = request.uri().path().ends_with("/git-upload-pack");
    let (status, headers, body) = backend(&server, request).await;
    // The short answer before lists the refs.
    if !sends_objects || body.len() < 100_000 || !*server.holds.borrow() {
        return (status, headers, body).into_response();
    }
    let (first, second) = (body.slice(..body.len() / 2), body.slice(body.len() / 2..));
    let stream = futures::stream::unfold((0, server, first, second), |(part, server, first, second)| async move {
        let sent = match part {
            0 => first.clone(),
            1 => {
                // It was asked for the second part, so the first is on its way.
                server.half_sent.send_modify(|times| *times += 1);
                let mut holds = server.holds.subscribe();
                holds.wait_for(|holds| !holds).await.ok()?;
                second.clone()
            }
            _ => return None,
        };
        Some((Ok::<Bytes, std::io::Error>(sent), (part + 1, server, first, second)))
    });
    (headers, Body::from_stream(stream)).into_response()
}

/// One request as <https://git-scm.com/docs/git-http-backend> wants it.
async fn backend(server: &Server, request: Request) -> (StatusCode, HeaderMap, Bytes) {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: header::HeaderName| {
        let value = parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let protocol = header(header::HeaderName::from_static("git-protocol"));
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let said = Bytes::from(child.wait_with_output().await.unwrap().stdout);
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    for line in String::from_utf8_lossy(&said[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name.eq_ignore_ascii_case("status") {
            status = value[..3].parse().unwrap();
        } else {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
    }
    (status, headers, said.slice(end + 4..))
}
