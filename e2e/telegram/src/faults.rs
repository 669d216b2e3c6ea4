//! Faults on demand: what shall go wrong with which calls, how often.
//!
//! Only the choice is made here; the server acts on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::params::Params;

/// What goes wrong. "Commit" is the moment the call takes effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// 429 with this `retry_after`, without effect.
    TooManyRequests { retry_after: u64 },
    /// This error, without effect; 5xx come without JSON, as from a proxy.
    Status { code: u16, description: String },
    /// The connection is cut before the commit.
    Disconnect,
    /// The call takes effect, then the connection is cut.
    LostReply,
    /// So many real milliseconds pass before the commit.
    DelayMs(u64),
    /// Waits before the commit until the fault is removed.
    HoldBefore,
    /// Takes effect at once; the reply waits until the fault is removed.
    HoldReply,
}

/// A fault with its conditions; what is absent matches everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<i64>,
    /// Text of the call contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// So many matching calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// How many calls it has hit.
    #[serde(default)]
    pub hit: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Hits the next call of this method.
    pub fn on(method: &str, kind: Kind) -> Self {
        Fault {
            kind,
            method: Some(method.to_owned()),
            chat: None,
            contains: None,
            skip: 0,
            times: 1,
            hit: 0,
        }
    }

    fn matches(&self, method: &str, params: &Params) -> bool {
        self.method
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.chat.is_none_or(|chat| params.int("chat_id") == Some(chat))
            && self.contains.as_ref().is_none_or(|text| {
                params
                    .values
                    .get("text")
                    .and_then(Value::as_str)
                    .is_some_and(|sent| sent.contains(text.as_str()))
            })
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    pub all: BTreeMap<u64, Fault>,
}

impl Faults {
    /// The fault for this call, if any; counts it.
    pub fn strike(&mut self, method: &str, params: &Params) -> Option<(u64, Kind)> {
        for (id, fault) in &mut self.all {
            if !fault.matches(method, params) || fault.hit >= fault.times {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.hit += 1;
            return Some((*id, fault.kind.clone()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_hits_the_calls_it_names_as_often_as_it_says() {
        let mut faults = Faults::default();
        let fault = json!({"kind": {"delay_ms": 5}, "method": "sendMessage", "chat": 7, "contains": "x", "skip": 1, "times": 2});
        faults.all.insert(1, serde_json::from_value(fault).unwrap());
        let call = Params::of(json!({"chat_id": "7", "text": "axb"}));
        let mut strikes = |method: &str, call: &Params| faults.strike(method, call).is_some();
        assert!(!strikes("editMessageText", &call));
        assert!(!strikes("sendMessage", &Params::of(json!({"chat_id": 8, "text": "x"}))));
        assert!(!strikes("SendMessage", &call), "the first one is skipped");
        assert!(strikes("SendMessage", &call) && strikes("sendmessage", &call));
        assert!(!strikes("sendMessage", &call));
    }
}
