//! Telegram's flood limits: sliding windows per chat, per group and over all.
//!
//! Which calls count and how many are allowed is a setting, since the real numbers are unpublished in part. The defaults are
//! the published ones. Time comes in as an argument.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// So many calls in so many seconds of the emulated clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub calls: usize,
    pub seconds: f64,
}

/// The limits in force; an absent one does not limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Per group, all its topics together.
    pub group: Option<Rate>,
    /// Per private chat.
    pub private: Option<Rate>,
    /// Over all chats.
    pub overall: Option<Rate>,
    /// Methods that count, in any case; by default everything that people can see.
    pub counted: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        let counted = [
            "sendMessage",
            "sendMessageDraft",
            "sendDocument",
            "sendPhoto",
            "sendVoice",
            "sendAudio",
            "sendVideo",
            "sendAnimation",
            "sendMediaGroup",
            "sendChatAction",
            "setMessageReaction",
            "editMessageText",
            "editMessageCaption",
            "editMessageReplyMarkup",
            "deleteMessage",
            "deleteMessages",
            "pinChatMessage",
        ];
        Limits {
            group: Some(Rate {
                calls: 20,
                seconds: 60.0,
            }),
            private: Some(Rate {
                calls: 60,
                seconds: 60.0,
            }),
            overall: Some(Rate {
                calls: 30,
                seconds: 1.0,
            }),
            counted: counted.map(str::to_owned).to_vec(),
        }
    }
}

impl Limits {
    pub fn none() -> Self {
        Limits {
            group: None,
            private: None,
            overall: None,
            ..Limits::default()
        }
    }
}

#[derive(Debug, Default)]
pub struct Limiter {
    pub limits: Limits,
    per_chat: BTreeMap<i64, VecDeque<i64>>,
    overall: VecDeque<i64>,
}

impl Limiter {
    /// Counts a call, or says how many emulated milliseconds it comes too early. A refused call does not count.
    pub fn admit(&mut self, method: &str, chat: i64, is_group: bool, now_ms: i64) -> Result<(), i64> {
        if !self
            .limits
            .counted
            .iter()
            .any(|counted| counted.eq_ignore_ascii_case(method))
        {
            return Ok(());
        }
        let chat_rate = if is_group {
            self.limits.group
        } else {
            self.limits.private
        };
        let window = self.per_chat.entry(chat).or_default();
        let wait = early(window, chat_rate, now_ms).max(early(&mut self.overall, self.limits.overall, now_ms));
        if wait > 0 {
            return Err(wait);
        }
        window.push_back(now_ms);
        self.overall.push_back(now_ms);
        Ok(())
    }
}

/// Forgets what has left the window; how long until there is room again.
fn early(window: &mut VecDeque<i64>, rate: Option<Rate>, now_ms: i64) -> i64 {
    let Some(rate) = rate else {
        window.clear();
        return 0;
    };
    let span = (rate.seconds * 1_000.0) as i64;
    while window.front().is_some_and(|at| at + span <= now_ms) {
        window.pop_front();
    }
    match window.len().checked_sub(rate.calls) {
        None => 0,
        Some(over) => window.get(over).map_or(span, |at| at + span - now_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(calls: usize) -> Limiter {
        let limits = Limits {
            group: Some(Rate { calls, seconds: 60.0 }),
            ..Limits::default()
        };
        Limiter {
            limits,
            ..Limiter::default()
        }
    }

    #[test]
    fn the_window_slides() {
        let mut limiter = limiter(2);
        assert_eq!(limiter.admit("SendMessage", -1, true, 0), Ok(()));
        assert_eq!(
            limiter.admit("editMessageText", -1, true, 20_000),
            Ok(()),
            "edits share the bucket"
        );
        assert_eq!(limiter.admit("sendMessage", -1, true, 30_000), Err(30_000));
        assert_eq!(limiter.admit("sendMessage", -1, true, 60_000), Ok(()));
        assert_eq!(limiter.admit("sendMessage", -1, true, 60_001), Err(19_999));
    }

    #[test]
    fn chats_and_uncounted_methods_are_independent() {
        let mut limiter = limiter(1);
        assert_eq!(limiter.admit("sendMessage", -1, true, 0), Ok(()));
        assert_eq!(limiter.admit("sendMessage", -2, true, 0), Ok(()));
        assert_eq!(limiter.admit("getChat", -1, true, 0), Ok(()));
        assert!(limiter.admit("deleteMessage", -1, true, 0).is_err());
        assert!(limiter.admit("sendMessage", -1, true, 0).is_err());
    }

    #[test]
    fn everything_that_people_see_shares_the_bucket() {
        for method in [
            "setMessageReaction",
            "deleteMessage",
            "sendDocument",
            "sendChatAction",
            "sendMessageDraft",
        ] {
            let mut limiter = limiter(1);
            assert_eq!(limiter.admit(method, -1, true, 0), Ok(()));
            assert!(limiter.admit("sendMessage", -1, true, 0).is_err(), "{method}");
        }
    }

    #[test]
    fn the_bot_as_a_whole_is_limited_too() {
        let mut limiter = Limiter::default();
        for chat in 0..30 {
            assert_eq!(limiter.admit("sendMessage", chat, false, 5), Ok(()));
        }
        assert_eq!(limiter.admit("sendMessage", 99, false, 5), Err(1_000));
    }
}
