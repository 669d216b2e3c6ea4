//! A running claude: its three pipes and its end.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_wire::claude::{Line, decode};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;

use super::reaper::{Exit, Reaper};
use crate::journal::Journal;

/// What is kept of stderr, in bytes.
const STDERR: usize = 4096;
/// Lines that may wait to be handled before claude has to wait.
const LINES: usize = 1024;
/// How long stdout may stay open once claude is gone, held by a child of its own.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Patience of the writer with the disk; then it looks again.
const DISK: Duration = Duration::from_secs(3600);

/// What a process tells.
#[derive(Debug)]
pub enum Said {
    /// A line of stdout.
    Line(Line),
    /// It is gone; nothing more comes.
    Exited(Exit),
}

/// A running claude.
#[derive(Debug)]
pub struct Process {
    /// Its process id, and that of its group.
    pub pid: u32,
    stdin: Option<mpsc::UnboundedSender<ToWrite>>,
    stderr: Arc<Mutex<String>>,
    /// What it says.
    pub said: mpsc::Receiver<Said>,
}

#[derive(Debug)]
struct ToWrite {
    line: String,
    /// Entry of the journal that must be on disk first.
    after: u64,
}

impl Process {
    /// Starts it in a process group of its own.
    pub fn start(mut command: Command, reaper: &Reaper, journal: Journal) -> io::Result<Self> {
        command.process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (mut child, exit) = reaper.spawn(&mut command)?;
        let missing = || io::Error::other("a pipe is missing");
        let stdin = ChildStdin::from_std(child.stdin.take().ok_or_else(missing)?)?;
        let stdout = ChildStdout::from_std(child.stdout.take().ok_or_else(missing)?)?;
        let stderr = ChildStderr::from_std(child.stderr.take().ok_or_else(missing)?)?;
        let (to_stdin, lines) = mpsc::unbounded_channel();
        tokio::spawn(write_lines(stdin, lines, journal));
        let (sender, said) = mpsc::channel(LINES);
        let reading = tokio::spawn(read_lines(stdout, sender.clone()));
        let last_words = Arc::new(Mutex::new(String::new()));
        let errors = tokio::spawn(read_errors(stderr, last_words.clone()));
        tokio::spawn(async move {
            let exit = exit.await.unwrap_or(Exit::Code(-1));
            // Everything it said comes before its end.
            let _ = tokio::time::timeout(LAST_WORDS, async { tokio::join!(reading, errors) }).await;
            let _ = sender.send(Said::Exited(exit)).await;
        });
        Ok(Self {
            pid: child.id(),
            stdin: Some(to_stdin),
            stderr: last_words,
            said,
        })
    }

    /// Writes a line once this entry of the journal is on disk.
    pub fn write(&self, line: String, after: u64) {
        if let Some(stdin) = &self.stdin {
            // A process that is gone takes no lines; its end is told separately.
            let _ = stdin.send(ToWrite { line, after });
        }
    }

    /// Closes stdin.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: Signal) {
        // The group may be gone already.
        let _ = killpg(Pid::from_raw(self.pid.cast_signed()), signal);
    }

    /// The end of what it wrote to stderr.
    pub fn errors(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .trim()
            .to_owned()
    }
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<ToWrite>, journal: Journal) {
    while let Some(ToWrite { line, after }) = lines.recv().await {
        while journal.wait(after, DISK).await.is_err() {}
        if let Err(error) = stdin.write_all(line.as_bytes()).await {
            tracing::debug!(%error, "claude no longer reads");
            return;
        }
    }
}

async fn read_lines(stdout: ChildStdout, sender: mpsc::Sender<Said>) {
    let mut reader = BufReader::with_capacity(64 * 1024, stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if !text.is_empty() && sender.send(Said::Line(decode(text))).await.is_err() {
            return;
        }
    }
}

async fn read_errors(mut stderr: ChildStderr, kept: Arc<Mutex<String>>) {
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&String::from_utf8_lossy(&chunk[..length]));
        if kept.len() > STDERR {
            let cut = kept.ceil_char_boundary(kept.len() - STDERR);
            kept.drain(..cut);
        }
    }
}
