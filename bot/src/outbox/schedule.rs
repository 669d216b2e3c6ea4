//! Which of the things that wait goes first. Pure.
//!
//! The most urgent; among equals the one of the topic that was served least recently, so that a topic in which much happens does not
//! keep the others waiting; inside a topic the first of the list.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::pace::Priority;

/// Something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How urgent it is.
    pub priority: Priority,
    /// The topic that it is for, as the store keeps it.
    pub thread: i64,
}

/// When the topics of one chat were served.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    served: HashMap<i64, u64>,
    count: u64,
}

impl Turns {
    /// What goes first.
    pub fn first(&self, waiting: &[Waiting]) -> Option<usize> {
        let rank = |(at, waiting): &(usize, &Waiting)| {
            // Zero for who was never served.
            let served = self.served.get(&waiting.thread).copied().unwrap_or_default();
            (waiting.priority, Reverse(served), Reverse(*at))
        };
        waiting.iter().enumerate().max_by_key(rank).map(|(at, _)| at)
    }

    /// A topic was served.
    pub fn served(&mut self, thread: i64) {
        self.count += 1;
        self.served.insert(thread, self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::Priority::{self, Answer, Notice, Placeholder, Progress, Spare};
    use super::*;

    fn waiting(list: &[(Priority, i64)]) -> Vec<Waiting> {
        list.iter()
            .map(|(priority, thread)| Waiting {
                priority: *priority,
                thread: *thread,
            })
            .collect()
    }

    #[track_caller]
    fn check(served: &[i64], list: &[(Priority, i64)], first: Option<usize>) {
        let mut turns = Turns::default();
        served.iter().for_each(|thread| turns.served(*thread));
        assert_eq!(turns.first(&waiting(list)), first, "{served:?} {list:?}");
    }

    #[test]
    fn the_most_urgent_goes_first_and_then_who_has_waited_longest() {
        check(&[], &[], None);
        check(
            &[],
            &[(Progress, 1), (Placeholder, 1), (Answer, 1), (Notice, 1), (Answer, 1)],
            Some(2),
        );
        check(&[1], &[(Answer, 1), (Notice, 2)], Some(0));
        check(&[1], &[(Answer, 1), (Answer, 2)], Some(1));
        check(&[2, 1], &[(Answer, 1), (Answer, 2), (Answer, 2)], Some(1));
        check(&[2, 1, 2], &[(Progress, 1), (Progress, 2)], Some(0));
        check(&[], &[(Spare, 1), (Progress, 2)], Some(1));
    }

    proptest::proptest! {
        /// A topic with something to show waits for at most one thing of each other topic that is not more urgent.
        #[test]
        fn no_topic_is_starved_by_a_chatty_one(
            chatty in proptest::collection::vec(1_usize..20, 2..10),
            patient in 0_usize..10,
        ) {
            let patient = patient % chatty.len();
            let mut turns = Turns::default();
            // Everybody has so much to show that it never ends; the patient one has one thing.
            let mut list = Vec::new();
            for (thread, much) in chatty.iter().enumerate() {
                let much = if thread == patient { 1 } else { *much };
                list.extend((0..much).map(|_| Waiting { priority: Progress, thread: thread as i64 }));
            }
            turns.served(patient as i64);
            for other in (0..chatty.len()).filter(|other| *other != patient) {
                turns.served(other as i64);
            }
            let first = turns.first(&list).unwrap();
            proptest::prop_assert_eq!(list[first].thread, patient as i64);
            turns.served(patient as i64);
            let mut seen = std::collections::HashSet::new();
            for _ in 1..chatty.len() {
                let first = turns.first(&list).unwrap();
                turns.served(list[first].thread);
                seen.insert(list[first].thread);
            }
            proptest::prop_assert_eq!(seen.len(), chatty.len() - 1);
            let first = turns.first(&list).unwrap();
            proptest::prop_assert_eq!(list[first].thread, patient as i64);
        }
    }
}
