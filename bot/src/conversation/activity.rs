//! What claude does with tools in a turn, in one line that says what and for how long, and in a few lines for who asks. Pure.

use jiff::Timestamp;
use longshore_wire::event::ToolState;

use super::prompt::button;
use crate::telegram::client::Button;

/// Tool calls that are remembered of a turn.
const REMEMBERED: usize = 100;
/// Kinds of work that one line names; the newest.
const KINDS: usize = 3;
/// Longest name of a file, host or command in the line, in characters.
const SUBJECT_CHARS: usize = 32;
/// Longest line of the details, in characters.
const DETAIL_CHARS: usize = 64;
/// Room for all details: what Telegram shows for a pressed button.
const DETAILS_CHARS: usize = 195;
/// A turn that has shown nothing for so long is said to be thinking.
const THINKS_AFTER: i64 = 5;

/// Commands that run tests, and commands that build.
const TESTS: [&str; 14] = [
    "cargo test",
    "cargo nextest",
    "pytest",
    "npm test",
    "npm run test",
    "yarn test",
    "pnpm test",
    "go test",
    "make test",
    "make check",
    "vitest",
    "jest",
    "mvn test",
    "gradle test",
];
const BUILDS: [&str; 9] = [
    "cargo build",
    "cargo check",
    "cargo clippy",
    "npm run build",
    "go build",
    "make build",
    "docker build",
    "mvn package",
    "gradle build",
];

/// Tool calls of a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// When the turn began.
    pub since: Option<Timestamp>,
    calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq)]
struct Call {
    id: String,
    name: String,
    summary: String,
    state: ToolState,
    /// claude has spoken since it ended.
    past: bool,
}

impl Activity {
    /// A tool began or ended. Its end comes without a summary.
    pub fn tool(&mut self, id: &str, name: &str, summary: &str, state: ToolState) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.state = state;
            return;
        }
        if state != ToolState::Started {
            return;
        }
        self.calls.push(Call {
            id: id.to_owned(),
            name: name.to_owned(),
            summary: summary.trim().to_owned(),
            state,
            past: false,
        });
        if self.calls.len() > REMEMBERED {
            self.calls.remove(0);
        }
    }

    /// claude speaks: what has ended by now is not what it does now.
    pub fn spoke(&mut self) {
        for call in &mut self.calls {
            call.past |= call.state != ToolState::Started;
        }
    }

    /// What it does, as "⚙ editing 3 files, running tests · 0:42"; none when it does nothing with tools.
    pub fn line(&self, now: Timestamp) -> Option<String> {
        let mut works: Vec<(Work, Vec<&str>)> = Vec::new();
        for call in self.calls.iter().filter(|call| !call.past) {
            let work = Work::of(call);
            // The kind that was worked on last stands last.
            let known = works.iter().position(|(known, _)| *known == work);
            let (_, mut subjects) = known.map(|at| works.remove(at)).unwrap_or((work, Vec::new()));
            if !subjects.contains(&call.summary.as_str()) || work == Work::Running {
                subjects.push(&call.summary);
            }
            works.push((work, subjects));
        }
        let newest = works.len().saturating_sub(KINDS);
        let words = works.iter().skip(newest).map(|(work, subjects)| work.words(subjects));
        let words = words.collect::<Vec<_>>().join(", ");
        (!words.is_empty()).then(|| format!("⚙ {words}{}", self.clock(now)))
    }

    /// That claude thinks, once it has been doing so for a while.
    pub fn thinking(&self, now: Timestamp) -> Option<String> {
        let seconds = now.as_second() - self.since?.as_second();
        (seconds >= THINKS_AFTER).then(|| format!("💭 thinking{}", self.clock(now)))
    }

    fn clock(&self, now: Timestamp) -> String {
        let Some(since) = self.since else { return String::new() };
        let seconds = (now.as_second() - since.as_second()).max(0);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => format!(" · {minutes}:{seconds:02}"),
            hours => format!(" · {hours}:{minutes:02}:{seconds:02}"),
        }
    }

    /// The last tool calls, a line each, the newest last; within what Telegram shows for a pressed button. Empty without any.
    pub fn details(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut room = DETAILS_CHARS;
        for call in self.calls.iter().rev() {
            let mark = match call.state {
                ToolState::Started => '…',
                ToolState::Finished => '✓',
                ToolState::Failed => '✗',
            };
            let line = cut(
                format!("{mark} {} {}", tool_name(&call.name), call.summary).trim_end(),
                DETAIL_CHARS,
            );
            let chars = line.encode_utf16().count() + 1;
            if chars > room {
                break;
            }
            room -= chars;
            lines.push(line);
        }
        lines.reverse();
        lines.join("\n")
    }
}

/// Kinds of work that people tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Reading,
    Searching,
    Editing,
    Testing,
    Building,
    Running,
    Fetching,
    SearchingWeb,
    Delegating,
    Planning,
    Asking,
    Other,
}

impl Work {
    fn of(call: &Call) -> Self {
        let has = |commands: &[&str]| commands.iter().any(|command| call.summary.contains(command));
        match call.name.as_str() {
            "Read" | "NotebookRead" => Self::Reading,
            "Grep" | "Glob" | "LS" | "ToolSearch" => Self::Searching,
            "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => Self::Editing,
            "Bash" if has(&TESTS) => Self::Testing,
            "Bash" if has(&BUILDS) => Self::Building,
            "Bash" | "BashOutput" | "KillShell" => Self::Running,
            "WebFetch" => Self::Fetching,
            "WebSearch" => Self::SearchingWeb,
            "Task" | "Agent" => Self::Delegating,
            "AskUserQuestion" => Self::Asking,
            "TodoWrite" | "ExitPlanMode" | "EnterPlanMode" => Self::Planning,
            name if name.starts_with("Task") || name.starts_with("Todo") => Self::Planning,
            _ => Self::Other,
        }
    }

    fn words(self, subjects: &[&str]) -> String {
        let (count, last) = (subjects.len(), subjects.last().copied().unwrap_or_default());
        let file = |verb: &str| match (count, last.rsplit('/').next().unwrap_or_default()) {
            (1, "") => format!("{verb} a file"),
            (1, name) => format!("{verb} {}", cut(name, SUBJECT_CHARS)),
            (count, _) => format!("{verb} {count} files"),
        };
        match self {
            Self::Reading => file("reading"),
            Self::Editing => file("editing"),
            Self::Searching => "searching".to_owned(),
            Self::Testing => "running tests".to_owned(),
            Self::Building => "building".to_owned(),
            Self::Running if count > 1 => format!("running {count} commands"),
            Self::Running if last.is_empty() => "running a command".to_owned(),
            Self::Running => format!("running {}", cut(last, SUBJECT_CHARS)),
            Self::Fetching if count > 1 => format!("fetching {count} pages"),
            Self::Fetching => format!("fetching {}", cut(host(last), SUBJECT_CHARS)),
            Self::SearchingWeb => "searching the web".to_owned(),
            Self::Delegating if count > 1 => format!("delegating to {count} subagents"),
            Self::Delegating => "delegating to a subagent".to_owned(),
            Self::Planning => "planning".to_owned(),
            Self::Asking => "asking a question".to_owned(),
            Self::Other => "using other tools".to_owned(),
        }
    }
}

/// `mcp__server__tool` is known by its last part.
fn tool_name(name: &str) -> &str {
    name.rsplit("__").next().unwrap_or(name)
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars - 1).chain(['…']).collect(),
    }
}

/// What a button under a running turn stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Tell the last tool calls.
    Details,
    /// Stop the turn.
    Stop,
}

/// Buttons under the post of a running turn.
pub fn buttons(post: i64, details: bool) -> Vec<Vec<Button>> {
    let more = details.then(|| button("Details", format!("tn:{post}:d")));
    let stop = button("⏹ Stop", format!("tn:{post}:s"));
    vec![more.into_iter().chain([stop]).collect()]
}

/// Post and choice of a pressed button; none when it belongs to something else.
pub fn read_data(data: &str) -> Option<(i64, Choice)> {
    let (post, choice) = data.strip_prefix("tn:")?.split_once(':')?;
    let choice = match choice {
        "d" => Choice::Details,
        "s" => Choice::Stop,
        _ => return None,
    };
    Some((post.parse().ok()?, choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn activity(calls: &[(&str, &str)]) -> Activity {
        let mut activity = Activity {
            since: Some(at(100)),
            ..Activity::default()
        };
        for (number, (name, summary)) in calls.iter().enumerate() {
            activity.tool(&number.to_string(), name, summary, ToolState::Started);
        }
        activity
    }

    #[track_caller]
    fn check(calls: &[(&str, &str)], line: &str) {
        assert_eq!(activity(calls).line(at(142)).unwrap(), format!("⚙ {line} · 0:42"));
    }

    #[test]
    fn a_line_says_what_is_done_and_for_how_long() {
        check(
            &[
                ("Edit", "/w/a.rs"),
                ("Edit", "/w/b.rs"),
                ("Write", "/w/c.rs"),
                ("Bash", "cargo test -p x"),
            ],
            "editing 3 files, running tests",
        );
        check(
            &[("Read", "/w/src/main.rs"), ("Read", "/w/src/main.rs")],
            "reading main.rs",
        );
        check(
            &[("Grep", "x"), ("Glob", "*.rs"), ("Read", "a"), ("Read", "b")],
            "searching, reading 2 files",
        );
        check(&[("Bash", "ls -la")], "running ls -la");
        check(&[("Bash", "ls"), ("Bash", "ls")], "running 2 commands");
        check(&[("Bash", "cd x && cargo build")], "building");
        check(
            &[("WebFetch", "https://docs.rs/a?b"), ("WebSearch", "q")],
            "fetching docs.rs, searching the web",
        );
        check(&[("Task", "a"), ("Agent", "b")], "delegating to 2 subagents");
        check(&[("TaskCreate", "a"), ("TodoWrite", "")], "planning");
        check(&[("mcp__tickets__find", "")], "using other tools");
        check(&[("Read", "")], "reading a file");
        check(
            &[
                ("Grep", ""),
                ("WebSearch", ""),
                ("Task", ""),
                ("Grep", ""),
                ("Edit", "x"),
            ],
            "delegating to a subagent, searching, editing x",
        );
        let long = format!("sh {}", "é".repeat(500));
        let line = activity(&[("Bash", &long)]).line(at(3_842)).unwrap();
        assert!(line.ends_with("é… · 1:02:22") && line.chars().count() < 60, "{line}");
    }

    #[test]
    fn what_ended_before_claude_spoke_is_past_and_what_still_runs_is_not() {
        let mut activity = activity(&[("Read", "a"), ("Bash", "sleep 9")]);
        activity.tool("0", "Read", "", ToolState::Finished);
        assert_eq!(activity.line(at(100)).unwrap(), "⚙ reading a, running sleep 9 · 0:00");
        activity.spoke();
        assert_eq!(
            activity.line(at(99)).unwrap(),
            "⚙ running sleep 9 · 0:00",
            "clocks differ"
        );
        activity.tool("1", "Bash", "", ToolState::Failed);
        activity.spoke();
        assert_eq!(activity.line(at(100)), None);
        assert_eq!(activity.details(), "✓ Read a\n✗ Bash sleep 9");
    }

    #[test]
    fn details_are_the_last_calls_within_what_telegram_shows() {
        assert_eq!(Activity::default().details(), "");
        let long = "x".repeat(300);
        let calls = (0..200)
            .map(|_| ("mcp__tickets__find", long.as_str()))
            .collect::<Vec<_>>();
        let details = activity(&calls).details();
        assert!(
            details.starts_with("… find xxx") && details.encode_utf16().count() <= 200,
            "{details}"
        );
        assert_eq!(details.lines().count(), 3);
    }

    #[test]
    fn thinking_is_told_after_a_while() {
        let activity = activity(&[]);
        assert_eq!((activity.thinking(at(104)), activity.line(at(200))), (None, None));
        assert_eq!(activity.thinking(at(110)).unwrap(), "💭 thinking · 0:10");
        assert_eq!(Activity::default().thinking(at(110)), None);
    }

    #[test]
    fn buttons_say_which_post_and_what() {
        let read = |details| {
            let rows = buttons(i64::MAX, details);
            rows[0]
                .iter()
                .map(|button| read_data(&button.callback_data).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(true), [(i64::MAX, Choice::Details), (i64::MAX, Choice::Stop)]);
        assert_eq!(read(false), [(i64::MAX, Choice::Stop)]);
        for other in ["ap:1:y", "tn:1", "tn:x:s", "tn:1:y"] {
            assert_eq!(read_data(other), None, "{other}");
        }
    }
}
