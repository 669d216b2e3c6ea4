//! Runs the command that decides whether claude is asked, and judges it by its exit status.
//!
//! It runs in the workspace with what claude's tools have, without a credential and without a way to the model, before any
//! claude. Its time and what is kept of its output are bounded; when it is over, nothing that it started lives on. It knows
//! nothing of turns. It never fails: what goes wrong is [`Verdict::Failed`], in words for a person.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_wire::agent::WhenConfig;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::timeout;

use crate::claude::reaper::{Exit, Group, Reaper};

/// What is kept of the beginning of what it prints, in bytes.
const HEAD: usize = 12 * 1024;
/// And of the end.
const TAIL: usize = 4 * 1024;
/// Longest piece of it in a sentence, in bytes.
const TOLD: usize = 300;
/// How long its output may stay open once it is gone, and all that it started.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Above this an exit status says that something went wrong, by the habit of shells: 126 and 127 that there was nothing to
/// run, more that a signal was received. git's own 128 means the same.
const LAST_NO: i32 = 125;

/// Whether claude is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Needed {
        /// What the command printed, beginning and end.
        printed: String,
    },
    /// It need not be.
    NotNeeded {
        /// Why, in a sentence.
        why: String,
    },
    /// The command could not find out.
    Failed {
        /// Why, and what to do.
        why: String,
    },
}

/// A command that is about to be run.
#[derive(Clone, Debug)]
pub struct Check {
    /// Waits for it.
    pub reaper: Reaper,
    /// It, and how long it may take.
    pub when: WhenConfig,
    /// Where it runs.
    pub workspace: PathBuf,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Check {
    /// Runs it. Whoever stops waiting kills it. No other child of the runner may live meanwhile.
    pub async fn run(self) -> Verdict {
        let patience = Duration::from_secs(self.when.timeout_seconds.into());
        let (mut child, exit) = match self.reaper.spawn(&mut self.command()) {
            Ok(started) => started,
            Err(error) => return not_started(self.program(), &error),
        };
        let group = Group(child.id());
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (printed, errors) = (Kept::new(HEAD), Kept::new(0));
        let reading = pipes.and_then(|(stdout, stderr)| {
            let stdout = ChildStdout::from_std(stdout).ok()?;
            let stderr = ChildStderr::from_std(stderr).ok()?;
            let reading = (read(stdout, printed.clone()), read(stderr, errors.clone()));
            Some(tokio::spawn(async { tokio::join!(reading.0, reading.1) }))
        });
        let exit = timeout(patience, exit).await;
        drop(group);
        // What has left the group would go on beside claude, and keep the pipes open.
        self.reaper.kill_orphans().await;
        if let Some(reading) = reading {
            let _ = timeout(LAST_WORDS, reading).await;
        }
        let last = last_line(&errors.text()).or_else(|| last_line(&printed.text()));
        match exit {
            Ok(exit) => judge(exit.unwrap_or(Exit::Code(-1)), last.as_deref(), printed.text()),
            Err(_) => too_late(patience.as_secs(), last.as_deref()),
        }
    }

    fn program(&self) -> &str {
        self.when.command.first().map_or("", String::as_str)
    }

    fn command(&self) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.program());
        command
            .args(self.when.command.iter().skip(1))
            .current_dir(&self.workspace)
            .process_group(0)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn judge(exit: Exit, last: Option<&str>, printed: String) -> Verdict {
    match exit {
        Exit::Code(0) => Verdict::Needed { printed },
        Exit::Code(1..=LAST_NO) => Verdict::NotNeeded {
            why: format!(
                "claude was not asked: the command of `when` ended with {exit}{}.",
                said(last)
            ),
        },
        Exit::Code(126 | 127) => failed(
            &format!("it ended with {exit}{}", said(last)),
            "Name a program in when.command that the agent's image or the workspace has.",
        ),
        Exit::Code(_) => failed(
            &format!("it ended with {exit}{}", said(last)),
            "Mend what is wrong, or let the command end with 1 where that means that there is nothing to do.",
        ),
        Exit::Signal(_) => failed(
            &format!("it was killed ({exit}){}", said(last)),
            "If it needs more memory, raise resources.limits.memory of the AgentClass.",
        ),
    }
}

fn not_started(program: &str, error: &std::io::Error) -> Verdict {
    let program = one_line(program);
    failed(
        &format!("`{program}` cannot be started: {error}"),
        "Name a program in when.command that the agent's image or the workspace has.",
    )
}

fn too_late(seconds: u64, last: Option<&str>) -> Verdict {
    failed(
        &format!("it was not finished after {seconds} s{}", said(last)),
        "Raise when.timeoutSeconds, or have the command do less.",
    )
}

fn failed(what: &str, advice: &str) -> Verdict {
    Verdict::Failed {
        why: format!("The command of `when` failed, so claude was not asked: {what}. {advice}"),
    }
}

fn said(last: Option<&str>) -> String {
    last.map_or(String::new(), |last| format!(", and said last: {last}"))
}

/// The last line that is not blank, without what would not be shown.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().map(one_line).rfind(|line| !line.is_empty())?;
    // In the middle of our sentence.
    Some(line.trim_end_matches('.').to_owned())
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim();
    line[..line.floor_char_boundary(TOLD)].to_owned()
}

/// Beginning and end of what is printed; shared with whoever reads it.
#[derive(Clone, Debug)]
struct Kept(Arc<Mutex<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    /// Longest beginning.
    room: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: usize,
}

impl Kept {
    fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(Pieces {
            room,
            ..Pieces::default()
        })))
    }

    fn take(&self, bytes: &[u8]) {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, rest) = bytes.split_at(bytes.len().min(pieces.room - pieces.head.len()));
        pieces.head.extend_from_slice(first);
        pieces.tail.extend_from_slice(rest);
        let surplus = pieces.tail.len().saturating_sub(TAIL);
        pieces.tail.drain(..surplus);
        pieces.left_out += surplus;
    }

    fn text(&self) -> String {
        let pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pieces.left_out == 0 {
            let all = [pieces.head.as_slice(), &pieces.tail].concat();
            return String::from_utf8_lossy(&all).into_owned();
        }
        // A character that was cut is left out with the rest.
        let shown = |bytes| String::from_utf8_lossy(bytes).trim_matches('\u{fffd}').to_owned();
        let mark = format!("\n[... {} bytes left out ...]\n", pieces.left_out);
        [shown(&pieces.head), mark, shown(&pieces.tail)].concat()
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin, kept: Kept) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        kept.take(&chunk[..length]);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn the_exit_status_decides_and_the_last_line_says_why() {
        let no = |exit, last, told: &str| match judge(exit, last, String::new()) {
            Verdict::NotNeeded { why } => assert_eq!(why, format!("claude was not asked: {told}.")),
            other => panic!("{exit}: {other:?}"),
        };
        let command = "the command of `when` ended with exit status";
        no(Exit::Code(1), None, &format!("{command} 1"));
        no(
            Exit::Code(125),
            Some("nothing new"),
            &format!("{command} 125, and said last: nothing new"),
        );
        let broken = |exit, pieces: [&str; 2]| match judge(exit, Some("oh"), String::new()) {
            Verdict::Failed { why } => {
                for piece in pieces.iter().chain(&["and said last: oh", "so claude was not asked"]) {
                    assert!(why.contains(piece), "{piece} in {why}");
                }
            }
            other => panic!("{exit}: {other:?}"),
        };
        broken(Exit::Code(126), ["exit status 126", "Name a program"]);
        broken(Exit::Code(127), ["exit status 127", "Name a program"]);
        broken(Exit::Code(128), ["exit status 128", "Mend what is wrong"]);
        broken(Exit::Code(255), ["exit status 255", "let the command end with 1"]);
        broken(
            Exit::Signal(Signal::SIGKILL),
            ["SIGKILL", "raise resources.limits.memory"],
        );
        let printed = "two\nlines\n".to_owned();
        assert_eq!(
            judge(Exit::Code(0), Some("lines"), printed.clone()),
            Verdict::Needed { printed }
        );
    }

    #[test]
    fn of_much_output_beginning_and_end_are_kept_whole_characters_only() {
        let kept = Kept::new(HEAD);
        kept.take(b"short\n");
        assert_eq!(kept.text(), "short\n");
        let kept = Kept::new(HEAD);
        kept.take(b"-");
        for _ in 0..20_000 {
            kept.take("\u{e9}".as_bytes());
        }
        kept.take(b"end");
        let text = kept.text();
        assert!(text.starts_with("-\u{e9}") && text.ends_with("\u{e9}end"), "{text}");
        assert!(!text.contains('\u{fffd}'), "half a character");
        assert!(text.contains(&format!("[... {} bytes left out ...]", 40_004 - HEAD - TAIL)));
        assert!(text.len() < HEAD + TAIL + 64, "{}", text.len());
        let errors = Kept::new(0);
        errors.take(&[b'x'; 10_000]);
        assert!(errors.text().len() < TAIL + 64);
    }

    #[test]
    fn what_is_told_of_the_output_is_one_short_line_that_shows_as_it_is() {
        let last = |text: &str| last_line(text);
        assert_eq!(last("one\ntwo.\n \n").as_deref(), Some("two"));
        assert_eq!(last("\u{1b}[31mred\u{7}").as_deref(), Some("[31mred"));
        assert_eq!(last(" \n\n"), None);
        assert!(last(&"\u{e9}".repeat(1000)).is_some_and(|line| line.len() <= TOLD));
    }
}
