//! Plays an answer: as server-sent events, or gathered into one JSON object when the request says `stream: false`.
//!
//! Knows the Messages API's event order and the timing of steps; does not know rules. Ends early, without an error,
//! when the client goes away.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    gate::Gates,
    journal::{Outcome, Pending},
    script::{Fault, Step, Text, Tool},
};

/// The real server keeps a silent stream alive with pings.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Time for the socket to take what was written before the connection is cut under it.
const BEFORE_CUT: Duration = Duration::from_millis(30);

/// What surrounds an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub message_id: String,
    pub model: String,
    pub input_tokens: usize,
}

/// How the playing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    /// The script wants the connection cut.
    Cut,
    ClientGone,
}

/// Plays `steps` as events into `out`.
pub async fn events(head: &Head, steps: &[Step], gates: &Gates, out: &mpsc::Sender<Bytes>) -> End {
    let gone = out.clone();
    let mut writer = Writer {
        out: out.clone(),
        open: None,
        index: 0,
        output_chars: 0,
    };
    tokio::select! {
        end = play(head, steps, gates, &mut writer) => end.unwrap_or(End::ClientGone),
        () = gone.closed() => End::ClientGone,
    }
}

/// Drives [`events`] to its end, reports the outcome and cuts the line when the script says so.
pub async fn run(
    head: Head,
    steps: Vec<Step>,
    gates: std::sync::Arc<Gates>,
    out: mpsc::Sender<Bytes>,
    line: longshore_stand_in::Line,
    mut pending: Pending,
) {
    match events(&head, &steps, &gates, &out).await {
        End::Finished => pending.ended(Outcome::Finished),
        End::Cut => {
            pending.ended(Outcome::Dropped);
            tokio::time::sleep(BEFORE_CUT).await;
            line.cut();
        }
        End::ClientGone => {}
    }
}

async fn play(head: &Head, steps: &[Step], gates: &Gates, out: &mut Writer) -> Option<End> {
    out.event(
        "message_start",
        json!({"message": message(head, json!([]), Value::Null, 1)}),
    )
    .await?;
    let mut stop = None;
    for step in steps {
        match step {
            Step::Text(text) => {
                out.open_text().await?;
                for (n, chunk) in chunks(text).enumerate() {
                    if n > 0 {
                        tokio::time::sleep(delay(text)).await;
                    }
                    out.delta(json!({"type": "text_delta", "text": chunk})).await?;
                }
            }
            Step::Think(text) => {
                out.open(json!({"type": "thinking", "thinking": "", "signature": ""}))
                    .await?;
                out.delta(json!({"type": "thinking_delta", "thinking": text})).await?;
                out.delta(json!({"type": "signature_delta", "signature": "c3RhbmQtaW4="}))
                    .await?;
                out.close().await?;
            }
            Step::Tool(tool) => out.tool(head, tool).await?,
            Step::Tools(tools) => {
                for tool in tools {
                    out.tool(head, tool).await?;
                }
            }
            Step::Hold(gate) => out.pinging(gates.pass(gate)).await?,
            Step::WaitMs(ms) => out.pinging(tokio::time::sleep(Duration::from_millis(*ms))).await?,
            Step::Error(fault) => {
                out.event("error", json!({"error": error_body(fault)["error"]})).await?;
                return Some(End::Finished);
            }
            Step::Drop(_) => return Some(End::Cut),
            Step::Hang(_) => std::future::pending().await,
            Step::Stop(reason) => stop = Some(reason.clone()),
        }
    }
    out.close().await?;
    let reason = stop.unwrap_or_else(|| stop_reason(steps).to_owned());
    let usage = json!({"output_tokens": tokens(out.output_chars)});
    out.event(
        "message_delta",
        json!({"delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage}),
    )
    .await?;
    out.event("message_stop", json!({})).await?;
    Some(End::Finished)
}

/// The same answer as one object. `None` means that the script wants the connection cut.
pub async fn whole(head: &Head, steps: &[Step], gates: &Gates) -> Option<Result<Value, Fault>> {
    let (mut blocks, mut text, mut chars) = (Vec::new(), String::new(), 0);
    let mut stop = stop_reason(steps).to_owned();
    let flush = |text: &mut String, blocks: &mut Vec<Value>| {
        if !text.is_empty() {
            blocks.push(json!({"type": "text", "text": std::mem::take(text)}));
        }
    };
    for step in steps {
        match step {
            Step::Text(part) => {
                let count = chunks(part).map(|chunk| text.push_str(&chunk)).count();
                tokio::time::sleep(delay(part) * u32::try_from(count.saturating_sub(1)).unwrap_or(0)).await;
            }
            Step::Think(thought) => {
                flush(&mut text, &mut blocks);
                blocks.push(json!({"type": "thinking", "thinking": thought, "signature": "c3RhbmQtaW4="}));
            }
            Step::Tool(_) | Step::Tools(_) => {
                flush(&mut text, &mut blocks);
                let tools = match step {
                    Step::Tools(tools) => tools.as_slice(),
                    Step::Tool(tool) => std::slice::from_ref(tool),
                    _ => &[],
                };
                for tool in tools {
                    let id = tool_id(head, blocks.len());
                    blocks.push(json!({"type": "tool_use", "id": id, "name": tool.name, "input": tool.input}));
                }
            }
            Step::Hold(gate) => gates.pass(gate).await,
            Step::WaitMs(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Step::Error(fault) => return Some(Err(fault.clone())),
            Step::Drop(_) => return None,
            Step::Hang(_) => std::future::pending().await,
            Step::Stop(reason) => stop.clone_from(reason),
        }
        chars += text.len();
    }
    flush(&mut text, &mut blocks);
    Some(Ok(message(head, json!(blocks), json!(stop), tokens(chars))))
}

/// The body of an error answer.
pub fn error_body(fault: &Fault) -> Value {
    let kind = match fault.status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let message = fault
        .message
        .clone()
        .unwrap_or_else(|| format!("Scripted error {}", fault.status));
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

struct Writer {
    out: mpsc::Sender<Bytes>,
    /// Whether the open block, if any, is a text block.
    open: Option<bool>,
    index: usize,
    output_chars: usize,
}

/// Each step is `None` when the client is gone.
impl Writer {
    async fn event(&self, name: &str, mut data: Value) -> Option<()> {
        data["type"] = json!(name);
        self.out
            .send(Bytes::from(format!("event: {name}\ndata: {data}\n\n")))
            .await
            .ok()
    }

    async fn open(&mut self, block: Value) -> Option<()> {
        self.close().await?;
        self.open = Some(block["type"] == "text");
        self.event(
            "content_block_start",
            json!({"index": self.index, "content_block": block}),
        )
        .await
    }

    async fn open_text(&mut self) -> Option<()> {
        if self.open == Some(true) {
            return Some(());
        }
        self.open(json!({"type": "text", "text": ""})).await
    }

    async fn delta(&mut self, delta: Value) -> Option<()> {
        self.output_chars += delta.to_string().len();
        self.event("content_block_delta", json!({"index": self.index, "delta": delta}))
            .await
    }

    async fn close(&mut self) -> Option<()> {
        if self.open.take().is_some() {
            self.event("content_block_stop", json!({"index": self.index})).await?;
            self.index += 1;
        }
        Some(())
    }

    async fn tool(&mut self, head: &Head, tool: &Tool) -> Option<()> {
        self.close().await?;
        let id = tool_id(head, self.index);
        self.open(json!({"type": "tool_use", "id": id, "name": tool.name, "input": {}}))
            .await?;
        // In two pieces, as the real server never sends a call's input whole.
        let input = tool.input.to_string();
        let half = (0..=input.len() / 2)
            .rev()
            .find(|at| input.is_char_boundary(*at))
            .unwrap_or(0);
        for part in [&input[..half], &input[half..]] {
            self.delta(json!({"type": "input_json_delta", "partial_json": part}))
                .await?;
        }
        self.close().await
    }

    async fn pinging(&self, wait: impl Future<Output = ()>) -> Option<()> {
        let mut wait = std::pin::pin!(wait);
        loop {
            match tokio::time::timeout(PING_EVERY, &mut wait).await {
                Ok(()) => return Some(()),
                Err(_) => self.event("ping", json!({})).await?,
            }
        }
    }
}

fn message(head: &Head, content: Value, stop_reason: Value, output_tokens: usize) -> Value {
    json!({
        "id": head.message_id, "type": "message", "role": "assistant", "model": head.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": head.input_tokens, "output_tokens": output_tokens,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    })
}

/// The CLI joins messages and tool calls by id, so ids must never repeat.
fn tool_id(head: &Head, index: usize) -> String {
    format!("toolu_{}_{index}", head.message_id.trim_start_matches("msg_"))
}

fn stop_reason(steps: &[Step]) -> &'static str {
    if steps.iter().any(|step| step.calls() > 0) {
        "tool_use"
    } else {
        "end_turn"
    }
}

fn chunks(text: &Text) -> impl Iterator<Item = String> {
    let (text, size) = match text {
        Text::Plain(text) => (text, 0),
        Text::Paced { text, chunk, .. } => (text, *chunk),
    };
    let chars: Vec<char> = text.chars().collect();
    let size = if size == 0 { chars.len().max(1) } else { size };
    chars
        .chunks(size)
        .map(|chunk| chunk.iter().collect())
        .collect::<Vec<String>>()
        .into_iter()
}

fn delay(text: &Text) -> Duration {
    match text {
        Text::Plain(_) => Duration::ZERO,
        Text::Paced { delay_ms, .. } => Duration::from_millis(*delay_ms),
    }
}

fn tokens(characters: usize) -> usize {
    characters / 4 + 1
}
