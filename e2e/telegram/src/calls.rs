//! The log of calls the bot made. In memory, the newest [`KEPT`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const KEPT: usize = 20_000;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub seq: u64,
    /// On the emulated clock, when the call arrived.
    pub at_ms: i64,
    /// As the client wrote it.
    pub method: String,
    /// Without the content of files.
    pub params: Value,
    pub ok: bool,
    /// 200, or the error's code; 0 when no reply was sent.
    pub code: u16,
    pub description: String,
    /// The result, for calls other than `getUpdates`.
    pub result: Value,
    /// Whether it took effect. A lost reply leaves `ok` false and this true.
    pub committed: bool,
}

#[derive(Debug, Default)]
pub struct Calls {
    kept: VecDeque<Call>,
    last: u64,
}

impl Calls {
    pub fn add(&mut self, mut call: Call) {
        self.last += 1;
        call.seq = self.last;
        self.kept.push_back(call);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.kept.iter()
    }

    pub fn clear(&mut self) {
        self.kept.clear();
    }
}
