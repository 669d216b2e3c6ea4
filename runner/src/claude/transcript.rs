//! Reads claude's own transcript, for the restart rule only.
//!
//! Facts of claude 2.1.330 that this rests on, each held by a test with the real CLI: a message is stored as a `user` line
//! with the uuid it was sent with, before the first request to the model; a message folded into a running turn as an
//! `attachment` with that uuid as `source_uuid`; of messages merged into one turn only the last uuid is stored, with all
//! texts joined by newlines; lines of one turn share a `promptId`; the last `assistant` line of an ended turn has a
//! `stop_reason` that is not `tool_use`. A message that only waits in the queue is not stored under its uuid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use longshore_wire::claude::Block;
use longshore_wire::claude::output::blocks;
use serde_json::Value;
use uuid::Uuid;

use crate::turn::Found;

/// Where the transcript of a session is; none when there is none.
pub fn find(config: &Path, session: Uuid) -> Option<PathBuf> {
    let name = format!("{session}.jsonl");
    let projects = std::fs::read_dir(config.join("projects")).ok()?;
    let mut paths = projects.filter_map(|project| Some(project.ok()?.path().join(&name)));
    paths.find(|path| path.metadata().is_ok_and(|file| file.len() > 0))
}

/// Of these uses of tools those that have a result.
pub fn results(path: &Path, mut of: BTreeSet<String>) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if of.is_empty() {
        return Ok(found);
    }
    for line in BufReader::with_capacity(1 << 20, File::open(path)?).split(b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(&line?) else {
            continue;
        };
        for block in blocks(&value["message"]["content"]) {
            if let Block::ToolResult { id, .. } = block {
                found.extend(of.take(&id));
            }
        }
    }
    Ok(found)
}

/// Looks messages up. `anchors` are their uuids and texts.
pub fn search(path: &Path, anchors: &[(Uuid, String)]) -> std::io::Result<BTreeMap<Uuid, Found>> {
    let mut search = Search {
        anchors,
        ..Search::default()
    };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(search.found);
        }
        // A half-written last line is no line.
        if let Ok(value) = serde_json::from_slice::<Value>(&line) {
            search.line(&value);
        }
    }
}

#[derive(Default)]
struct Search<'a> {
    anchors: &'a [(Uuid, String)],
    found: BTreeMap<Uuid, Found>,
    /// Messages of the turn that is being read.
    turn: Vec<Uuid>,
    /// `promptId` of that turn.
    prompt: Option<String>,
}

impl Search<'_> {
    fn line(&mut self, line: &Value) {
        if line["isSidechain"] == true {
            return;
        }
        match line["type"].as_str() {
            Some("user") => self.user(line),
            Some("assistant") => self.assistant(line),
            Some("attachment") if line["attachment"]["type"] == "queued_command" => {
                let uuid = uuid_of(&line["attachment"]["source_uuid"]);
                let folded = self
                    .anchors
                    .iter()
                    .map(|(anchor, _)| *anchor)
                    .find(|anchor| Some(*anchor) == uuid);
                self.begin(folded.into_iter().collect());
                self.reopen();
            }
            _ => {}
        }
    }

    fn user(&mut self, line: &Value) {
        let prompt = line["promptId"].as_str().map(str::to_owned);
        if prompt != self.prompt {
            self.turn.clear();
            self.prompt = prompt;
        }
        let content = blocks(&line["message"]["content"]);
        let text = joined(&content);
        let own = uuid_of(&line["uuid"]);
        // Merged messages stand before the one whose uuid the line has.
        let of_own = self.anchors.iter().find(|(anchor, _)| Some(*anchor) == own);
        let before = of_own
            .and_then(|(_, asked)| text.strip_suffix(asked.as_str()))
            .unwrap_or_default();
        let meant = self
            .anchors
            .iter()
            .filter(|(anchor, asked)| Some(*anchor) == own || holds(before, asked));
        let meant: Vec<Uuid> = meant.map(|(anchor, _)| *anchor).collect();
        self.begin(meant);
        self.reopen();
    }

    /// These messages are part of the turn that is being read.
    fn begin(&mut self, messages: Vec<Uuid>) {
        for message in messages {
            self.found.entry(message).or_insert(Found::Open { texts: Vec::new() });
            if !self.turn.contains(&message) {
                self.turn.push(message);
            }
        }
    }

    /// Something came after what looked like the end.
    fn reopen(&mut self) {
        for message in &self.turn {
            if let Some(found) = self.found.get_mut(message)
                && let Found::Ended { texts, .. } = found
            {
                *found = Found::Open {
                    texts: std::mem::take(texts),
                };
            }
        }
    }

    fn assistant(&mut self, line: &Value) {
        let message = &line["message"];
        let is_api_error = line["isApiErrorMessage"] == true;
        // What the CLI itself puts in on resume ("No response requested.") is no answer.
        if message["model"] == "<synthetic>" && !is_api_error {
            return;
        }
        let said = blocks(&message["content"]);
        let ended = !matches!(
            message["stop_reason"].as_str(),
            None | Some("tool_use" | "pause_turn" | "max_tokens")
        );
        for uuid in &self.turn {
            let Some(found) = self.found.get_mut(uuid) else {
                continue;
            };
            let (Found::Open { texts } | Found::Ended { texts, .. }) = found;
            let mut texts = std::mem::take(texts);
            if !is_api_error {
                texts.extend(said.iter().filter_map(|block| match block {
                    Block::Text(text) if !text.trim().is_empty() => Some(text.clone()),
                    _ => None,
                }));
            }
            *found = if ended {
                let error = is_api_error.then(|| joined(&said));
                Found::Ended { texts, error }
            } else {
                Found::Open { texts }
            };
        }
    }
}

fn joined(blocks: &[Block]) -> String {
    let texts = blocks.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Whether a merged text holds a message as whole lines.
fn holds(merged: &str, text: &str) -> bool {
    !text.is_empty() && format!("\n{merged}\n").contains(&format!("\n{text}\n"))
}

fn uuid_of(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(lines: &[Value], anchors: &[(Uuid, &str)]) -> BTreeMap<Uuid, Found> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text + "{\"half\": ").unwrap();
        let anchors: Vec<_> = anchors.iter().map(|(uuid, text)| (*uuid, (*text).to_owned())).collect();
        search(&path, &anchors).unwrap()
    }

    fn user(uuid: Uuid, prompt: &str, text: &str) -> Value {
        json!({"type": "user", "uuid": uuid, "promptId": prompt, "message": {"content": text}})
    }

    fn says(text: &str, stop: &str) -> Value {
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}], "stop_reason": stop}})
    }

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_waiting_message_is_not_taken_for_an_equal_one_that_runs() {
        let found = check(&[user(A, "p", "go")], &[(A, "go"), (B, "go")]);
        assert!(found.contains_key(&A) && !found.contains_key(&B), "{found:?}");
    }

    #[test]
    fn of_merged_messages_all_are_found() {
        let found = check(
            &[user(B, "p", "one\ntwo"), says("both", "end_turn")],
            &[(A, "one"), (B, "two")],
        );
        assert_eq!(found[&A], found[&B]);
        assert!(matches!(&found[&A], Found::Ended { texts, .. } if texts == &["both"]));
    }

    #[test]
    fn only_the_last_word_of_a_turn_is_its_end() {
        let result = json!({"type": "user", "promptId": "p", "message": {"content": [{"type": "tool_result", "tool_use_id": "t"}]}});
        let open = [user(A, "p", "go"), says("first", "tool_use"), result.clone()];
        assert!(matches!(&check(&open, &[(A, "go")])[&A], Found::Open { texts } if texts == &["first"]));
        let stopped = json!({"type": "user", "promptId": "p", "message": {"content": "[Request interrupted by user]"}});
        let open = [user(A, "p", "go"), says("first", "end_turn"), stopped];
        assert!(matches!(check(&open, &[(A, "go")])[&A], Found::Open { .. }));
        let put_in = json!({"type": "assistant", "message": {"model": "<synthetic>", "content": [{"type": "text", "text": "No response requested."}], "stop_reason": "stop_sequence"}});
        let open = [user(A, "p", "go"), result, put_in];
        assert!(matches!(check(&open, &[(A, "go")])[&A], Found::Open { .. }));
        let failed = json!({"type": "assistant", "isApiErrorMessage": true, "message": {"model": "<synthetic>", "content": [{"type": "text", "text": "API Error"}], "stop_reason": "stop_sequence"}});
        let ended = check(&[user(A, "p", "go"), failed], &[(A, "go")]);
        assert!(matches!(&ended[&A], Found::Ended { error: Some(error), .. } if error == "API Error"));
    }

    #[test]
    fn results_of_tools_are_found_by_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let result = json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t1"}]}});
        let used = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t2", "name": "Bash", "input": {}}]}});
        std::fs::write(&path, format!("{used}\n{result}\n{{\"half\": ")).unwrap();
        let wanted = BTreeSet::from(["t1".to_owned(), "t2".to_owned()]);
        assert_eq!(results(&path, wanted).unwrap(), BTreeSet::from(["t1".to_owned()]));
    }

    #[test]
    fn what_comes_after_the_turn_is_not_part_of_it() {
        let lines = [
            user(A, "p", "go"),
            says("one", "end_turn"),
            user(B, "q", "next"),
            says("two", "end_turn"),
        ];
        let found = check(&lines, &[(A, "go")]);
        assert!(matches!(&found[&A], Found::Ended { texts, .. } if texts == &["one"]));
    }
}
