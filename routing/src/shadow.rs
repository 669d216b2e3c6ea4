//! Rules that never decide, because an earlier one always does.
//!
//! What is found is certain: whatever matches the later rule matches the earlier one. What is not found is not promised, since
//! two expressions, or words of two texts, are compared as they are written.

use std::collections::BTreeSet;

use crate::read::ReadRule;
use crate::rule::Conditions;
use crate::text::has_word;

/// How an earlier rule stands in the way of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It matches more, or does the same.
    Shadow,
    /// It matches the same and does something else.
    Conflict,
}

/// Whether an earlier rule decides about everything that a later one matches.
pub(crate) fn obstacle(earlier: &ReadRule, later: &ReadRule) -> Option<Obstacle> {
    if !covers(&earlier.conditions, &later.conditions) {
        return None;
    }
    let action = |rule: &ReadRule| (rule.mode, rule.agent_class.clone(), rule.reply.clone());
    let same = covers(&later.conditions, &earlier.conditions);
    Some(match same && action(earlier) != action(later) {
        true => Obstacle::Conflict,
        false => Obstacle::Shadow,
    })
}

fn covers(earlier: &Conditions, later: &Conditions) -> bool {
    fn list<T: Ord>(earlier: &BTreeSet<T>, later: &BTreeSet<T>) -> bool {
        earlier.is_empty() || (!later.is_empty() && later.is_subset(earlier))
    }
    fn same<T: PartialEq>(earlier: Option<T>, later: Option<T>) -> bool {
        earlier.is_none() || earlier == later
    }
    let words = earlier.keywords.is_empty()
        || (!later.keywords.is_empty()
            && later
                .keywords
                .iter()
                .all(|later| earlier.keywords.iter().any(|earlier| has_word(later, earlier))));
    list(&earlier.chats, &later.chats)
        && list(&earlier.threads, &later.threads)
        && list(&earlier.users, &later.users)
        && later.roles.is_subset(&earlier.roles)
        && list(&earlier.commands, &later.commands)
        && words
        && same(
            earlier.regex.as_ref().map(regex::Regex::as_str),
            later.regex.as_ref().map(regex::Regex::as_str),
        )
        && earlier.min_length <= later.min_length
        && same(earlier.has_attachment, later.has_attachment)
        && same(earlier.session_active, later.session_active)
        && same(earlier.window.as_ref(), later.window.as_ref())
}
