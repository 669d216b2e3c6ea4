//! What happens in a session, as a reader sees it: in a conversation that goes on ([`Screen`]) and in a journal ([`entry`]). Pure.
//!
//! Text of agents and people loses its control characters here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use longshore_wire::Record;
use longshore_wire::api::{ApprovalKind, IdleEnd, Summary};
use longshore_wire::event::{ApprovalOutcome, Event, Preview, ToolState};

use crate::plain::{indent, one_line, plain};
use crate::prompts::{Prompts, asking, wanted};

/// Width of a tool's line.
const TOOL: usize = 160;

/// Who says something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Speaker {
    Person(String),
    Claude,
    Tool,
    Longshore,
}

/// What an event tells a reader; none for what nobody needs to see. `answerable` adds how to answer a prompt.
fn tell(event: &Event, prompts: &mut Prompts, zone: &TimeZone, answerable: bool) -> Option<(Speaker, String)> {
    let longshore = |text: String| Some((Speaker::Longshore, text));
    match event {
        Event::Accepted {
            author,
            text,
            attachments,
            ..
        } => {
            let author = author
                .as_deref()
                .map_or_else(|| "first message".to_owned(), |name| one_line(name, 64));
            let files = attachments
                .iter()
                .map(|path| format!("\n[file {}]", one_line(path, 200)));
            Some((Speaker::Person(author), plain(text) + &files.collect::<String>()))
        }
        Event::Text { text, .. } => Some((Speaker::Claude, plain(text))),
        Event::Tool {
            name, summary, state, ..
        } => {
            let failed = match state {
                ToolState::Started => "",
                ToolState::Finished => return None,
                ToolState::Failed => " failed",
            };
            Some((
                Speaker::Tool,
                format!("{}{failed}: {}", one_line(name, 60), one_line(summary, TOOL)),
            ))
        }
        Event::Approval { approval, .. } => {
            let number = prompts.open(approval);
            longshore(match answerable {
                true => format!(
                    "{}\n    Denied by itself at {}.",
                    asking(number, approval),
                    clock(approval.expires_at, zone)
                ),
                false => format!("[{number}] {}", wanted(approval)),
            })
        }
        // Of a prompt that waited the end follows; claude asks again about the others.
        Event::ApprovalLost { .. } => None,
        Event::ApprovalClosed { id, outcome, by } => {
            let (number, kind) = prompts.close(id)?;
            longshore(format!("[{number}] {}", closed(*outcome, kind, by.as_deref())))
        }
        Event::TurnFinished {
            is_error: true,
            terminal_reason,
            error,
            ..
        } => {
            let why = error
                .as_deref()
                .map_or_else(|| "claude gives no reason".to_owned(), plain);
            longshore(format!(
                "The turn did not come to its end ({}): {why}",
                one_line(terminal_reason, 60)
            ))
        }
        Event::Memory { message, .. }
        | Event::Disk { message, .. }
        | Event::Restarted { message }
        | Event::Repository { message } => longshore(plain(message)),
        Event::IdleWarning { deadline, then } => {
            let then = match then {
                IdleEnd::Suspend => "suspended",
                IdleEnd::End => "ended",
            };
            longshore(format!(
                "Nothing happens here. The session is {then} at {}, unless somebody writes.",
                clock(*deadline, zone)
            ))
        }
        Event::Summary { summary } => longshore(outcomes("Summary", summary)),
        Event::EarlierSummary { session, summary } => {
            longshore(outcomes(&format!("Summary of {}", one_line(session, 64)), summary))
        }
        Event::Escalation { escalation, .. } => longshore(format!(
            "The agent asks for a session: {}\n{}",
            plain(&escalation.reason),
            indent(&plain(&escalation.plan), "    ")
        )),
        Event::File { file, .. } => longshore(format!(
            "A file went to the chat: {} ({} bytes){}",
            one_line(&file.name, 100),
            file.size,
            file.caption
                .as_deref()
                .map(|caption| format!(", {}", one_line(caption, TOOL)))
                .unwrap_or_default()
        )),
        Event::TurnStarted { .. } | Event::TurnFinished { .. } => None,
    }
}

fn outcomes(what: &str, summary: &Summary) -> String {
    let text = indent(&plain(&summary.text), "    ");
    format!("{what}, in {}:\n{text}", one_line(&summary.path, 200))
}

fn closed(outcome: ApprovalOutcome, kind: ApprovalKind, by: Option<&str>) -> String {
    let by = by.map(|name| format!(" by {}", one_line(name, 64))).unwrap_or_default();
    match outcome {
        ApprovalOutcome::Allowed if kind == ApprovalKind::Question => format!("answered{by}"),
        ApprovalOutcome::Allowed => format!("allowed{by}"),
        ApprovalOutcome::Denied => format!("denied{by}"),
        ApprovalOutcome::Expired => "denied: nobody answered in time".to_owned(),
        ApprovalOutcome::Cancelled => "no longer needed".to_owned(),
    }
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// A record of a journal, with its time and speaker in front; none for what nobody needs to see.
pub fn entry(record: &Record, prompts: &mut Prompts, zone: &TimeZone) -> Option<String> {
    let (speaker, text) = tell(&record.event, prompts, zone, false)?;
    let at = record
        .at
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    let who = match speaker {
        Speaker::Person(name) => format!("{name}: "),
        Speaker::Claude => "claude: ".to_owned(),
        Speaker::Tool => "  > ".to_owned(),
        Speaker::Longshore => "-- ".to_owned(),
    };
    let (first, rest) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), ""));
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!("{}\n", indent(rest, "    "))
    };
    Some(format!("{at}  {who}{first}\n{rest}"))
}

/// A conversation as it goes on. What it returns is to be printed as it is.
#[derive(Debug)]
pub struct Screen {
    /// Prompts by their numbers.
    pub prompts: Prompts,
    /// Whether whoever reads can answer them.
    answerable: bool,
    zone: TimeZone,
    /// What was shown of blocks that are being written.
    shown: BTreeMap<(u64, u32), String>,
    /// The block in whose line the cursor stands.
    within: Option<(u64, u32)>,
}

impl Screen {
    /// An empty one. `answerable`: whoever reads can answer prompts by their numbers.
    pub fn new(zone: TimeZone, answerable: bool) -> Self {
        Self {
            prompts: Prompts::default(),
            answerable,
            zone,
            shown: BTreeMap::new(),
            within: None,
        }
    }

    /// Something durable happened.
    pub fn record(&mut self, record: &Record) -> String {
        if let Event::Text { turn, block, text } = &record.event {
            return self.block((*turn, *block), text);
        }
        let Some((speaker, text)) = tell(&record.event, &mut self.prompts, &self.zone, self.answerable) else {
            return match record.event {
                Event::TurnFinished { .. } => format!("{}\n", self.fresh_line()),
                _ => String::new(),
            };
        };
        let text = match speaker {
            Speaker::Person(name) => format!("{name}> {text}"),
            Speaker::Claude => text,
            Speaker::Tool => format!("  > {text}"),
            Speaker::Longshore => format!("-- {text}"),
        };
        format!("{}{}\n", self.fresh_line(), text.trim_end())
    }

    /// A note of this program itself.
    pub fn note(&mut self, text: &str) -> String {
        format!("{}-- {}\n", self.fresh_line(), plain(text))
    }

    /// More of a block that is being written.
    pub fn preview(&mut self, preview: &Preview) -> String {
        match preview {
            Preview::TextDelta { turn, block, text } => {
                let place = (*turn, *block);
                let start = if self.within == Some(place) {
                    String::new()
                } else {
                    self.fresh_line()
                };
                self.within = Some(place);
                self.shown.entry(place).or_default().push_str(text);
                start + &plain(text)
            }
            Preview::TextReset { turn, block } => match self.shown.remove(&(*turn, *block)) {
                Some(_) => self.note("claude begins this part anew"),
                None => String::new(),
            },
            // Who sits at a terminal sees claude at work.
            Preview::Meeting { .. } => String::new(),
        }
    }

    /// The person ended a line, so that the cursor stands at the beginning of one.
    pub fn typed(&mut self) {
        self.within = None;
    }

    /// The connection was lost, and with it the rest of what was being written.
    pub fn lost(&mut self) {
        self.shown.clear();
    }

    /// A finished block: what is missing of it, or all of it when something else was shown.
    fn block(&mut self, place: (u64, u32), text: &str) -> String {
        let shown = self.shown.remove(&place).unwrap_or_default();
        match text.strip_prefix(&shown) {
            Some(rest) if !shown.is_empty() && self.within == Some(place) => {
                self.within = None;
                format!("{}\n", plain(rest).trim_end_matches('\n'))
            }
            _ => format!("{}{}\n", self.fresh_line(), plain(text).trim_end()),
        }
    }

    fn fresh_line(&mut self) -> String {
        if self.within.take().is_some() {
            "\n".to_owned()
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub fn record(seq: u64, event: Value) -> Record {
        let mut value = json!({"seq": seq, "at": format!("2026-11-23T12:00:{seq:02}Z")});
        value
            .as_object_mut()
            .unwrap()
            .extend(event.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn day() -> Vec<Record> {
        let usage = json!({"turns": 1, "inputTokens": 1, "outputTokens": 1, "costUsd": "0.1"});
        let id = "0b1c7a52-0000-4000-8000-000000000002";
        let events = [
            json!({"type": "accepted", "id": id, "text": "Fix the build"}),
            json!({"type": "accepted", "id": id, "author": "ada\u{1b}[1m", "text": "and\nthe docs", "attachments": ["inbox/log.txt"]}),
            json!({"type": "turn_started", "turn": 1, "messageIds": [id]}),
            json!({"type": "tool", "turn": 1, "id": "t", "name": "Bash", "summary": "make test", "state": "started"}),
            json!({"type": "approval", "turn": 1, "id": "a", "kind": "permission", "toolName": "Bash", "summary": "s",
                   "input": {"command": "make test"}, "expiresAt": "2026-11-23T12:30:00Z"}),
            json!({"type": "approval_closed", "id": "a", "outcome": "allowed", "by": "ada"}),
            json!({"type": "tool", "turn": 1, "id": "t", "name": "Bash", "summary": "make test", "state": "failed"}),
            json!({"type": "text", "turn": 1, "block": 0, "text": "It is **red**.\nI look on."}),
            json!({"type": "turn_finished", "turn": 1, "messageIds": [id], "isError": false, "terminalReason": "completed", "usage": usage}),
            json!({"type": "restarted", "message": "The pod was replaced; claude goes on."}),
            json!({"type": "turn_finished", "turn": 2, "messageIds": [], "isError": true, "terminalReason": "api_error",
                   "error": "The model is overloaded.", "usage": usage}),
            json!({"type": "idle_warning", "deadline": "2026-11-23T12:10:00Z", "then": "suspend"}),
            json!({"type": "memory", "level": "warning", "message": "Memory is short.", "currentBytes": 1, "peakBytes": 1}),
            json!({"type": "summary", "path": "state/summaries/x.md", "time": "2026-11-23T12:00:00Z", "text": "Fixed.\nOpen: docs"}),
        ];
        events
            .into_iter()
            .zip(1..)
            .map(|(event, seq)| record(seq, event))
            .collect()
    }

    #[test]
    fn a_journal_reads_as_a_conversation() {
        let mut prompts = Prompts::default();
        let text: String = day()
            .iter()
            .filter_map(|record| entry(record, &mut prompts, &TimeZone::UTC))
            .collect();
        insta::assert_snapshot!(text, @r"
        2026-11-23 12:00:01  first message: Fix the build
        2026-11-23 12:00:02  ada[1m: and
            the docs
            [file inbox/log.txt]
        2026-11-23 12:00:04    > Bash: make test
        2026-11-23 12:00:05  -- [1] May claude use Bash?
                make test
        2026-11-23 12:00:06  -- [1] allowed by ada
        2026-11-23 12:00:07    > Bash failed: make test
        2026-11-23 12:00:08  claude: It is **red**.
            I look on.
        2026-11-23 12:00:10  -- The pod was replaced; claude goes on.
        2026-11-23 12:00:11  -- The turn did not come to its end (api_error): The model is overloaded.
        2026-11-23 12:00:12  -- Nothing happens here. The session is suspended at 12:10:00, unless somebody writes.
        2026-11-23 12:00:13  -- Memory is short.
        2026-11-23 12:00:14  -- Summary, in state/summaries/x.md:
                Fixed.
                Open: docs
        ");
    }

    #[test]
    fn a_conversation_shows_how_to_answer() {
        let mut screen = Screen::new(TimeZone::UTC, true);
        let text: String = day().iter().map(|record| screen.record(record)).collect();
        insta::assert_snapshot!(text, @r"
        first message> Fix the build
        ada[1m> and
        the docs
        [file inbox/log.txt]
          > Bash: make test
        -- [1] May claude use Bash?
            make test
            /allow 1   or   /deny 1 WHY
            Denied by itself at 12:30:00.
        -- [1] allowed by ada
          > Bash failed: make test
        It is **red**.
        I look on.

        -- The pod was replaced; claude goes on.
        -- The turn did not come to its end (api_error): The model is overloaded.
        -- Nothing happens here. The session is suspended at 12:10:00, unless somebody writes.
        -- Memory is short.
        -- Summary, in state/summaries/x.md:
            Fixed.
            Open: docs
        ");
    }

    fn delta(block: u32, text: &str) -> Preview {
        Preview::TextDelta {
            turn: 1,
            block,
            text: text.to_owned(),
        }
    }

    fn block(block: u32, text: &str) -> Record {
        record(1, json!({"type": "text", "turn": 1, "block": block, "text": text}))
    }

    #[test]
    fn text_that_was_shown_as_it_came_is_not_shown_again() {
        let mut screen = Screen::new(TimeZone::UTC, true);
        let mut all = screen.preview(&delta(0, "Hello "));
        all += &screen.preview(&delta(0, "wor"));
        all += &screen.record(&block(0, "Hello world."));
        all += &screen.preview(&delta(1, "Wrong"));
        all += &screen.record(&block(1, "Right"));
        all += &screen.record(&block(2, "Unseen"));
        assert_eq!(all, "Hello world.\nWrong\nRight\nUnseen\n");
    }

    #[test]
    fn a_note_amid_a_text_gets_its_own_line_and_the_finished_text_comes_whole() {
        let mut screen = Screen::new(TimeZone::UTC, true);
        let mut all = screen.preview(&delta(0, "Half"));
        all += &screen.note("somebody came");
        all += &screen.record(&block(0, "Half and half"));
        all += &screen.preview(&delta(1, "a"));
        all += &screen.preview(&Preview::TextReset { turn: 1, block: 1 });
        all += &screen.record(&block(1, "ab"));
        assert_eq!(
            all,
            "Half\n-- somebody came\nHalf and half\na\n-- claude begins this part anew\nab\n"
        );
    }
}
