//! The tool by which an agent sends a file to its chat.
//!
//! The file is copied first, outside of the machine: later changes of it change nothing. Then that it was sent is journalled, and
//! only then claude is told. A call whose claude is gone meanwhile is forgotten together with its copy: claude is told that
//! it was cut off, and calls again.

use longshore_wire::api::{MAX_SENT_FILE_BYTES, SentFile};
use longshore_wire::claude::{self, McpAnswer};
use longshore_wire::event::Event;
use serde_json::{Value, json};

use crate::outgoing::Kept;
use crate::turn::{Machine, Output};

/// Name of the tool.
pub const TOOL: &str = "send_file";
/// The tool as permission rules name it.
pub const RULE: &str = "mcp__longshore__send_file";
/// Files that may be sent in one turn.
const PER_TURN: usize = 20;

/// A file that shall be copied so that it can be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ToCopy {
    /// Key of the answer on the control channel.
    pub request_id: String,
    /// JSON-RPC id of the call.
    pub id: Value,
    /// Turn.
    pub turn: u64,
    /// What the agent named.
    pub path: String,
    /// What shall stand under it.
    pub caption: Option<String>,
}

impl Machine {
    /// Begins to send a file; the answer follows in [`Machine::copied`].
    pub(super) fn send_file(
        &mut self,
        request_id: &str,
        id: &Value,
        arguments: &Value,
        out: &mut Vec<Output>,
    ) -> Result<(), &'static str> {
        let field = |name: &str| arguments[name].as_str().unwrap_or_default().trim().to_owned();
        let (path, caption) = (field("path"), field("caption"));
        if path.is_empty() {
            return Err(NO_PATH);
        }
        if caption.encode_utf16().count() > SentFile::CAPTION_UNITS {
            return Err(LONG_CAPTION);
        }
        let turn = self.announced_turn(out).number;
        let (latest, sent) = self.desk.sent;
        let sent = if latest == turn { sent } else { 0 };
        if sent + self.desk.copying.len() >= PER_TURN {
            return Err(ENOUGH);
        }
        self.desk.copying.insert(request_id.to_owned());
        out.push(Output::Copy(ToCopy {
            request_id: request_id.to_owned(),
            id: id.clone(),
            turn,
            path,
            caption: (!caption.is_empty()).then_some(caption),
        }));
        Ok(())
    }

    /// The file was copied, or will not be sent.
    pub(in crate::turn) fn copied(&mut self, call: ToCopy, copied: Result<Kept, String>, out: &mut Vec<Output>) {
        let ToCopy {
            request_id,
            id,
            turn,
            caption,
            ..
        } = call;
        if !self.desk.copying.remove(&request_id) {
            out.extend(copied.ok().map(|kept| Output::Discard(kept.id)));
            return;
        }
        let (text, is_error) = match copied {
            Ok(Kept { id, name, size }) => {
                let text = format!("{name} ({size} bytes) is on its way to the chat. {KEPT}");
                self.note_sent(turn);
                let file = SentFile {
                    id,
                    name,
                    size,
                    caption,
                };
                out.push(Output::Event(Event::File { turn, file }));
                (text, false)
            }
            Err(why) => (why, true),
        };
        let answer = McpAnswer::Called { text, is_error };
        out.push(Output::Write(claude::Input::Mcp { request_id, id, answer }));
    }

    fn note_sent(&mut self, turn: u64) {
        self.desk.note_sent(turn);
    }
}

impl super::Desk {
    /// A file was sent in this turn.
    pub fn note_sent(&mut self, turn: u64) {
        let (latest, sent) = self.sent;
        self.sent = (turn, if latest == turn { sent + 1 } else { 1 });
    }
}

const KEPT: &str = "A copy was made, so the file may change now. It is kept until the chat has it.";
const NO_PATH: &str = "Write `path`: the file to send.";
const LONG_CAPTION: &str = "The caption is longer than 1024 characters. Shorten it, and say the rest in your answer.";
const ENOUGH: &str =
    "20 files were sent in this turn already. Pack the rest into one archive, or send it in another turn.";

/// The tool as claude is told of it. It is always in view: a tool that must be searched for first is not found when it is needed.
pub fn tool() -> Value {
    let megabytes = MAX_SENT_FILE_BYTES / 1_000_000;
    let description = format!(
        "Sends a file to the chat where the person reads you; they do not see the workspace. Use it for what they asked to \
         get, or what is better looked at than read: documents, pictures, archives, long listings. One regular file of at \
         most {megabytes} MB, as it is now; pack folders into an archive."
    );
    json!({
        "name": TOOL,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "path": {
                    "type": "string",
                    "description": "The file, relative to the workspace or absolute below it.",
                },
                "caption": {
                    "type": "string",
                    "maxLength": SentFile::CAPTION_UNITS,
                    "description": "A line that stands under it, plain text.",
                },
            },
            "required": ["path"],
            "additionalProperties": false,
        },
        "_meta": {"anthropic/alwaysLoad": true},
    })
}
