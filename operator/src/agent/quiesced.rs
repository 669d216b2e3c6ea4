//! Since when runners are known to have wound down.
//!
//! Kept in memory only: it bounds a short wait, which another leader may well begin anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

/// Sessions that were deleted in the meantime leave an entry behind; forgetting all of them makes some waits longer.
const MAX_ENTRIES: usize = 16_384;

/// UID of the session -> when its runner was first seen to be quiesced.
#[derive(Debug, Default)]
pub struct Quiesced(Mutex<HashMap<Uuid, Timestamp>>);

impl Quiesced {
    /// Notes what was seen now.
    pub fn since(&self, uid: Uuid, quiesced: bool, now: Timestamp) -> Option<Timestamp> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !quiesced {
            entries.remove(&uid);
            return None;
        }
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        Some(*entries.entry(uid).or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sight_counts_until_the_runner_is_at_work_again() {
        let (quiesced, uid) = (Quiesced::default(), Uuid::from_u128(1));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(quiesced.since(uid, true, at(1)), Some(at(1)));
        assert_eq!(quiesced.since(uid, true, at(5)), Some(at(1)));
        assert_eq!(quiesced.since(uid, false, at(6)), None);
        assert_eq!(quiesced.since(uid, true, at(9)), Some(at(9)));
    }
}
