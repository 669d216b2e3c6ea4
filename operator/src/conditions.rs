//! Conditions: what a plan says about an object, merged with what was said before.
//!
//! Pure. The only thing that lingers is the time of the last transition.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition; the API takes 32,768, people take less.
const MAX_MESSAGE: usize = 1024;

/// One condition as a plan states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub type_: &'static str,
    pub is_true: bool,
    pub reason: &'static str,
    pub message: String,
}

/// The condition holds.
pub fn yes(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        type_,
        is_true: true,
        reason,
        message: message.into(),
    }
}

/// The condition does not hold.
pub fn no(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        type_,
        is_true: false,
        reason,
        message: message.into(),
    }
}

/// The conditions to write. Only the given types are in it, in the given order.
pub fn merge(old: &[Condition], verdicts: Vec<Verdict>, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    verdicts
        .into_iter()
        .map(|verdict| {
            let status = if verdict.is_true { "True" } else { "False" };
            let since = old
                .iter()
                .find(|c| c.type_ == verdict.type_ && c.status == status)
                .map_or_else(|| Time(whole_seconds(now)), |c| c.last_transition_time.clone());
            Condition {
                type_: verdict.type_.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.to_owned(),
                message: truncate(&verdict.message, MAX_MESSAGE),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of this type is True.
pub fn holds(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}

/// Kubernetes stores times of conditions in whole seconds; with fractions a status would never equal what was read back.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// At most `max` bytes, cut between characters.
pub fn truncate(text: &str, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_transition_changes_with_the_status_only() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = merge(&[], vec![no("Ready", "Starting", "")], Some(1), at(10));
        let same = merge(&first, vec![no("Ready", "ImagePull", "no such image")], Some(2), at(20));
        assert_eq!(same[0].last_transition_time.0, at(10));
        assert_eq!(
            (same[0].reason.as_str(), same[0].observed_generation),
            ("ImagePull", Some(2))
        );
        let changed = merge(&same, vec![yes("Ready", "Ready", "")], Some(2), at(30));
        assert_eq!(changed[0].last_transition_time.0, at(30));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(truncate("aé", 2), "a");
        assert_eq!(truncate("aé", 3), "aé");
    }
}
