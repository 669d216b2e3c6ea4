//! Native drafts of a private chat: what is being written is streamed beside the messages, and the message comes when it is done. Pure.
//!
//! A draft is gone after 30 seconds, so one that does not change is sent again before that. Groups have no drafts; where Telegram
//! refuses them, edits of a placeholder take their place.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::posts::Content;

/// A draft that does not change is sent again after so long.
const LASTS: Duration = Duration::from_secs(22);

/// Drafts of one chat, by the post that each becomes.
#[derive(Clone, Debug, Default)]
pub struct Drafts {
    shown: HashMap<i64, (Content, Duration)>,
    off: bool,
}

/// What is to be done about a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is not there, or says something else by now.
    Changed,
    /// It would be gone soon.
    Fading,
    /// Nothing before this time.
    Later(Duration),
}

impl Drafts {
    /// Drafts of a chat that has them, or has none.
    pub fn new(off: bool) -> Self {
        Self {
            shown: HashMap::new(),
            off,
        }
    }

    /// Whether the chat has none.
    pub fn are_off(&self) -> bool {
        self.off
    }

    /// Telegram refuses them here.
    pub fn turn_off(&mut self) {
        self.off = true;
    }

    /// What is to be done for this look.
    pub fn due(&self, post: i64, content: &Content, now: Duration) -> Due {
        match self.shown.get(&post) {
            Some((shown, _)) if shown.rich != content.rich => Due::Changed,
            Some((_, at)) if *at + LASTS <= now => Due::Fading,
            Some((_, at)) => Due::Later(*at + LASTS),
            None => Due::Changed,
        }
    }

    /// It was sent.
    pub fn sent(&mut self, post: i64, content: Content, now: Duration) {
        self.shown.insert(post, (content, now));
    }

    /// Whether anything was shown in this post's place.
    pub fn has(&self, post: i64) -> bool {
        self.shown.contains_key(&post)
    }

    /// The post has a message by now.
    pub fn over(&mut self, post: i64) {
        self.shown.remove(&post);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_sent_when_it_changes_and_before_it_fades() {
        let second = Duration::from_secs;
        let mut drafts = Drafts::new(false);
        let (a, b) = (Content::plain("a"), Content::plain("b"));
        assert_eq!(drafts.due(1, &a, second(10)), Due::Changed);
        drafts.sent(1, a.clone(), second(10));
        assert_eq!(drafts.due(1, &a, second(11)), Due::Later(second(32)));
        assert_eq!(drafts.due(1, &a, second(32)), Due::Fading);
        assert_eq!(drafts.due(1, &b, second(11)), Due::Changed);
        drafts.over(1);
        assert_eq!(drafts.due(1, &a, second(11)), Due::Changed);
    }
}
