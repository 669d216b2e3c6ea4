//! A runner as a process, with the real claude CLI and the model stand-in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::StreamExt;
use longshore_model::journal::Entry;
use longshore_model::server::Wanted;
use longshore_model::{Client, Model};
use longshore_wire::MessageId;
use longshore_wire::api::Status;
use longshore_wire::event::{Event, Meets, Preview, Record};
use longshore_wire::token::token_sha256;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Patience with everything: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const TOKEN: &str = "the-token";
pub const KEY: &str = "sk-real-and-secret";

/// How a runner is started.
#[derive(Clone)]
pub struct Setup {
    pub kind: &'static str,
    pub uid: Uuid,
    /// Overrides of the agent's configuration.
    pub agent: Value,
    /// More of the environment.
    pub env: Vec<(&'static str, &'static str)>,
    /// More flags.
    pub flags: Vec<String>,
    /// Larger files cannot be written, as if the disk were full: blocks of 512 or 1024 bytes, as the shell counts.
    pub file_blocks: Option<u32>,
    /// Run as this user.
    pub user: Option<u32>,
    /// Run in this cgroup.
    pub cgroup: Option<PathBuf>,
    /// The volume is a file system of this size, in MiB.
    pub volume_mib: Option<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            kind: "session",
            uid: Uuid::new_v4(),
            agent: json!({}),
            env: Vec::new(),
            flags: Vec::new(),
            file_blocks: None,
            user: None,
            cgroup: None,
            volume_mib: None,
        }
    }
}

pub struct Rig {
    pub model: Model,
    _mount: Option<Mount>,
    pub folder: TempDir,
    pub setup: Setup,
    pub runner: Runner,
}

/// A running runner.
pub struct Runner {
    child: Child,
    url: String,
    http: reqwest::Client,
}

/// Where the claude CLI is.
pub fn claude() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/claude/claude");
    let path = std::env::var_os("LONGSHORE_CLAUDE").map_or(installed, PathBuf::from);
    assert!(
        path.is_file(),
        "the claude CLI is needed: set LONGSHORE_CLAUDE to version 2.1.330 or put it at {}",
        path.display()
    );
    path
}

/// A file system in memory; gone when it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, mib: u64) -> Self {
        let size = format!("size={mib}m");
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "longshore-test"]).arg(folder);
        assert!(mount.status().unwrap().success());
        Self(folder.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whatever still has a file open in it keeps it until then.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Rig {
    pub async fn session() -> Self {
        Self::start(Setup::default()).await
    }

    pub async fn task() -> Self {
        Self::start(Setup {
            kind: "task",
            ..Setup::default()
        })
        .await
    }

    pub async fn start(setup: Setup) -> Self {
        let model = Model::local().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mount = setup.volume_mib.map(|mib| Mount::new(folder.path(), mib));
        if let Some(user) = setup.user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).unwrap();
        }
        let runner = Runner::start(&setup, folder.path(), &model.url()).await;
        Self {
            model,
            _mount: mount,
            folder,
            setup,
            runner,
        }
    }

    pub fn client(&self) -> Client {
        self.model.client()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Starts another runner on the same volume.
    pub async fn start_again(&mut self) {
        self.runner = self.start_beside().await;
    }

    /// Starts a second runner on the same volume while the first one lives.
    pub async fn start_beside(&self) -> Runner {
        Runner::start(&self.setup, self.folder.path(), &self.model.url()).await
    }

    /// Kills the runner and all that it started, as the kernel does when process 1 of a pod dies.
    pub async fn kill_pod(&mut self) {
        let claude = self.runner.status().await.claude_pid;
        self.runner.signal(Signal::SIGKILL);
        if let Some(claude) = claude {
            let _ = nix::sys::signal::killpg(Pid::from_raw(claude.cast_signed()), Signal::SIGKILL);
        }
        self.runner.exit().await;
    }

    /// Whatever was asked of the model, with bodies.
    pub async fn requests(&self) -> Vec<Entry> {
        let wanted = Wanted {
            full: 1,
            ..Wanted::default()
        };
        self.client().requests(&wanted).await.unwrap()
    }

    /// What the model was asked, side questions left out.
    pub async fn prompts(&self) -> Vec<String> {
        let entries = self.client().requests(&Default::default()).await.unwrap();
        let real = entries
            .into_iter()
            .filter(|entry| !entry.side_question && entry.path.contains("messages"));
        real.map(|entry| entry.last_user).collect()
    }
}

/// The same command where larger files cannot be written.
fn limited(command: &Command, blocks: u32) -> Command {
    let command = command.as_std();
    let mut limited = Command::new("/bin/sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    limited
        .args(["-c", &script])
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

impl Runner {
    async fn start(setup: &Setup, folder: &Path, model: &str) -> Self {
        let mut agent = json!({
            "kind": setup.kind,
            "namespace": "test",
            "name": "test",
            "uid": setup.uid,
            "topic": "test",
            "tokenSha256": [token_sha256("an older token"), token_sha256(TOKEN)],
            "baseUrl": model,
            "permissionMode": "default",
            "approvalTimeoutSeconds": 600,
            "memoryWarnPercent": 80,
            "memoryRecyclePercent": 90,
            "drainSeconds": 120,
        });
        for (key, value) in setup.agent.as_object().into_iter().flatten() {
            agent[key] = value.clone();
        }
        let runner = env!("CARGO_BIN_EXE_longshore-runner");
        let mut command = match &setup.cgroup {
            None => Command::new(runner),
            Some(cgroup) => {
                // Whoever starts in it has all its children in it.
                let mut command = Command::new("/bin/sh");
                let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", cgroup.display());
                command.args(["-c", &enter, runner]);
                command
            }
        };
        if let Some(blocks) = setup.file_blocks {
            command = limited(&command, blocks);
        }
        command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0"])
            .arg("--root")
            .arg(folder)
            .arg("--tmp")
            .arg(folder.join("tmp"))
            .arg("--termination-log")
            .arg(folder.join("termination-log"))
            .args(&setup.flags)
            .env_clear()
            // A flag wins over it.
            .env("LONGSHORE_CLAUDE", claude())
            .env("LONGSHORE_AGENT", agent.to_string())
            .env("ANTHROPIC_API_KEY", KEY)
            .env("AGENT_GREETING", "ahoy")
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .envs(setup.env.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(user) = setup.user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the runner ended at once");
                eprintln!("{line}");
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = line["fields"]["address"].as_str() {
                    return address.to_owned();
                }
            }
        });
        let address = address.await.expect("the runner does not listen");
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            child,
            url: format!("http://{address}"),
            http,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the runner has ended")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    pub async fn exit(&mut self) -> Option<i32> {
        let exit = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        exit.expect("the runner does not end").unwrap().code()
    }

    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.exit().await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(TOKEN).timeout(PATIENCE)
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.request(http::Method::POST, path).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.request(http::Method::GET, path).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub async fn status(&self) -> Status {
        let (code, status) = self.get("/v1/status").await;
        assert_eq!(code, 200);
        serde_json::from_value(status).unwrap()
    }

    /// Polls the status until it is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts a message and expects it to be taken.
    pub async fn say(&self, id: MessageId, text: &str) -> u64 {
        let (code, body) = self.post("/v1/messages", json!({"id": id, "text": text})).await;
        assert_eq!(code, 202, "{body}");
        body["seq"].as_u64().unwrap()
    }

    /// Posts a message and waits for its end.
    pub async fn ask(&self, id: MessageId, text: &str) -> Turn {
        let mut events = self.events(0).await;
        self.say(id, text).await;
        events.turn_of(id).await
    }

    pub async fn events(&self, after: u64) -> Events {
        self.follow(&format!("/v1/events?after={after}"), None).await
    }

    pub async fn follow(&self, path: &str, last: Option<u64>) -> Events {
        let mut request = self.http.get(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let (sender, receiver) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            let mut stream = answer.bytes_stream().eventsource();
            while let Some(Ok(event)) = stream.next().await {
                // An event without an id keeps the last one in SSE clients, so the data must tell them apart.
                let shown = match serde_json::from_str::<Record>(&event.data) {
                    Ok(record) => {
                        assert_eq!(record.seq.to_string(), event.id);
                        Shown::Record(record)
                    }
                    Err(_) => Shown::Preview(serde_json::from_str(&event.data).unwrap()),
                };
                if sender.send(shown).is_err() {
                    return;
                }
            }
        });
        Events {
            receiver,
            _reading: Reading(reading),
            records: Vec::new(),
            previews: Vec::new(),
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "one at a time is held, and most are records")]
enum Shown {
    Record(Record),
    Preview(Preview),
}

/// The connection of an event stream; closed when it is dropped.
struct Reading(tokio::task::JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an event stream has said so far.
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Shown>,
    _reading: Reading,
    pub records: Vec<Record>,
    pub previews: Vec<Preview>,
}

/// A finished turn as a consumer sees it.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub messages: Vec<MessageId>,
    pub is_error: bool,
    pub reason: String,
    pub error: String,
    /// Blocks by number: a doubled number would be seen as a lost text.
    pub blocks: BTreeMap<u32, String>,
    pub cost: f64,
}

impl Turn {
    pub fn text(&self) -> String {
        self.blocks.values().cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Events {
    async fn next(&mut self) -> bool {
        match tokio::time::timeout(PATIENCE, self.receiver.recv()).await {
            Ok(Some(Shown::Record(record))) => {
                let expected = self.records.last().map_or(record.seq, |last| last.seq + 1);
                assert_eq!(record.seq, expected, "no gap, no duplicate");
                self.records.push(record);
                true
            }
            Ok(Some(Shown::Preview(preview))) => {
                self.previews.push(preview);
                true
            }
            Ok(None) => false,
            Err(_) => panic!("nothing more comes; so far: {:#?}", self.records),
        }
    }

    /// Reads on until a record fits.
    pub async fn wait(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Record {
        let mut seen = 0;
        loop {
            if let Some(found) = self.records[seen..].iter().find(|record| fits(&record.event)) {
                return found.clone();
            }
            seen = self.records.len();
            assert!(self.next().await, "the stream ended before {what}: {:#?}", self.records);
        }
    }

    /// Reads on until a preview holds the text.
    pub async fn preview(&mut self, wanted: &str) {
        while !self
            .previews
            .iter()
            .any(|preview| matches!(preview, Preview::TextDelta { text, .. } if text.contains(wanted)))
        {
            assert!(self.next().await, "the stream ended before the preview {wanted}");
        }
    }

    /// How a message has met turns so far.
    pub fn meetings(&self, message: MessageId) -> Vec<(u64, Meets)> {
        let meets = |preview: &Preview| match preview {
            Preview::Meeting { turn, id, meets } if *id == message => Some((*turn, *meets)),
            _ => None,
        };
        self.previews.iter().filter_map(meets).collect()
    }

    /// Reads on up to this record.
    pub async fn up_to(&mut self, seq: u64) {
        while self.records.last().is_none_or(|last| last.seq < seq) {
            assert!(self.next().await, "the stream ended before {seq}");
        }
    }

    /// Reads until the stream ends.
    pub async fn rest(&mut self) {
        while self.next().await {}
    }

    /// The turn that ends this message.
    pub async fn turn_of(&mut self, id: MessageId) -> Turn {
        let ends =
            |event: &Event| matches!(event, Event::TurnFinished { message_ids, .. } if message_ids.contains(&id));
        let record = self.wait(&format!("the end of {id}"), ends).await;
        let Event::TurnFinished {
            turn,
            message_ids,
            is_error,
            terminal_reason,
            error,
            usage,
        } = record.event
        else {
            unreachable!("it was matched above")
        };
        let mut blocks = BTreeMap::new();
        for record in &self.records {
            if let Event::Text { turn: of, block, text } = &record.event
                && *of == turn
            {
                assert!(
                    blocks.insert(*block, text.clone()).is_none(),
                    "block {block} came twice"
                );
            }
        }
        Turn {
            messages: message_ids,
            is_error,
            reason: terminal_reason,
            error: error.unwrap_or_default(),
            blocks,
            cost: usage.cost_usd.parse().unwrap(),
        }
    }

    /// In how many ended turns a message stands.
    pub fn ends_of(&self, id: MessageId) -> usize {
        let ends = |record: &&Record| matches!(&record.event, Event::TurnFinished { message_ids, .. } if message_ids.contains(&id));
        self.records.iter().filter(ends).count()
    }
}

pub fn id(n: i64) -> MessageId {
    MessageId::from_telegram(1, n)
}
