//! A runner as a process, and a terminal that is a channel and a buffer.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use kubectl_longshore::chat::lines::Line;
use kubectl_longshore::chat::standing::Standing;
use kubectl_longshore::chat::{Before, ChatError, Desk, talk};
use kubectl_longshore::cluster::ClusterError;
use kubectl_longshore::runner::Runner;
use kubectl_longshore::way::{Connection, Way, WayError};
use longshore_model::Model;
use longshore_wire::api::Status;
use longshore_wire::token::token_sha256;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Patience with everything: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "the-token";

/// A runner on a volume of its own, and the model behind it.
pub struct Rig {
    pub model: Model,
    pub uid: Uuid,
    folder: TempDir,
    pod: Child,
    address: Arc<Mutex<SocketAddr>>,
}

/// The runner stands beside the test in the target folder: the workspace's tests build it.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("longshore-runner");
    assert!(
        path.is_file(),
        "{} is needed: run `cargo build -p longshore-runner`",
        path.display()
    );
    path
}

fn claude() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/claude/claude");
    std::env::var_os("LONGSHORE_CLAUDE").map_or(installed, PathBuf::from)
}

impl Rig {
    pub async fn start() -> Self {
        let model = Model::local().await.unwrap();
        let (folder, uid) = (tempfile::tempdir().unwrap(), Uuid::new_v4());
        let (pod, address) = start(folder.path(), uid, &model.url()).await;
        Self {
            model,
            uid,
            folder,
            pod,
            address: Arc::new(Mutex::new(address)),
        }
    }

    /// Kills all processes of the pod; another one takes its place.
    pub async fn replace_pod(&mut self) {
        let claude = self.status().await.claude_pid;
        self.pod.kill().await.unwrap();
        if let Some(claude) = claude {
            // It may have ended with its runner.
            let _ = killpg(Pid::from_raw(claude.cast_signed()), Signal::SIGKILL);
        }
        let (pod, address) = start(self.folder.path(), self.uid, &self.model.url()).await;
        self.pod = pod;
        *self.address.lock().unwrap() = address;
    }

    pub fn runner(&self) -> Runner {
        self.runner_with(&[&[TOKEN]])
    }

    /// A runner whose keys read like this, one time after the other.
    pub fn runner_with(&self, keys: &[&[&str]]) -> Runner {
        let keys = keys
            .iter()
            .map(|tokens| tokens.iter().map(|token| (*token).to_owned()).collect());
        Runner::new(Arc::new(Local {
            address: self.address.clone(),
            keys: Mutex::new(keys.collect()),
        }))
    }

    pub async fn status(&self) -> Status {
        self.runner().status().await.unwrap()
    }

    /// Asks for the status until it is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_so(&self.status().await) {
            assert!(tokio::time::Instant::now() < deadline, "never {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn terminal(&self, before: Before) -> Terminal {
        let (lines, typed) = mpsc::channel(8);
        let (standing, stands) = watch::channel(Standing::default());
        let shown = Shown::default();
        let (runner, uid, mut out) = (self.runner(), self.uid.to_string(), shown.clone());
        let talk = tokio::spawn(async move {
            let desk = Desk {
                runner,
                uid,
                name: "one".to_owned(),
                by: Some("ada".to_owned()),
                zone: TimeZone::UTC,
                out: &mut out,
            };
            talk(desk, before, typed, stands).await
        });
        Terminal {
            lines,
            standing,
            shown,
            talk,
        }
    }
}

async fn start(folder: &Path, uid: Uuid, model: &str) -> (Child, SocketAddr) {
    let agent = json!({
        "kind": "session", "namespace": "test", "name": "one", "uid": uid, "topic": "deep",
        "tokenSha256": [token_sha256(TOKEN)], "baseUrl": model, "permissionMode": "default",
        "approvalTimeoutSeconds": 600, "memoryWarnPercent": 80, "memoryRecyclePercent": 90, "drainSeconds": 120,
    });
    let mut pod = Command::new(program())
        .args(["serve", "--listen", "127.0.0.1:0", "--root"])
        .arg(folder)
        .arg("--tmp")
        .arg(folder.join("tmp"))
        .arg("--termination-log")
        .arg(folder.join("termination-log"))
        .env_clear()
        .env("LONGSHORE_CLAUDE", claude())
        .env("LONGSHORE_AGENT", agent.to_string())
        .env("ANTHROPIC_API_KEY", "sk-test")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(pod.stderr.take().unwrap()).lines();
    let listening = tokio::time::timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the runner ended at once");
            eprintln!("{line}");
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = line["fields"]["address"].as_str() {
                return address.parse().unwrap();
            }
        }
    });
    let address = listening.await.expect("the runner does not listen");
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("{line}");
        }
    });
    (pod, address)
}

/// Straight to a local runner.
struct Local {
    address: Arc<Mutex<SocketAddr>>,
    keys: Mutex<Vec<Vec<String>>>,
}

impl Way for Local {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, WayError>> {
        let address = *self.address.lock().unwrap();
        async move {
            match TcpStream::connect(address).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Connection>),
                Err(error) => Err(WayError::NotNow(error.to_string())),
            }
        }
        .boxed()
    }

    fn tokens(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        let mut keys = self.keys.lock().unwrap();
        let now = if keys.len() > 1 {
            keys.remove(0)
        } else {
            keys[0].clone()
        };
        async move { Ok(now) }.boxed()
    }

    fn instance(&self) -> BoxFuture<'_, Option<String>> {
        let address = self.address.lock().unwrap().to_string();
        async move { Some(address) }.boxed()
    }
}

/// What was printed.
#[derive(Clone, Default)]
pub struct Shown(Arc<Mutex<Vec<u8>>>);

impl Shown {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until this is shown.
    pub async fn wait(&self, wanted: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.text().contains(wanted) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "never shown: {wanted}\n{}",
                self.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A person at a terminal.
pub struct Terminal {
    pub lines: mpsc::Sender<Line>,
    pub standing: watch::Sender<Standing>,
    pub shown: Shown,
    talk: JoinHandle<Result<(), ChatError>>,
}

impl Terminal {
    pub async fn types(&self, text: &str) {
        self.lines.send(Line::Text(text.to_owned())).await.unwrap();
    }

    /// Presses Ctrl-D; what was shown in all.
    pub async fn leaves(self) -> String {
        self.lines.send(Line::End).await.unwrap();
        self.ends().await
    }

    /// Waits until the conversation is over; what was shown in all.
    pub async fn ends(self) -> String {
        let talk = tokio::time::timeout(PATIENCE, self.talk).await;
        talk.expect("the conversation does not end").unwrap().unwrap();
        self.shown.text()
    }
}
