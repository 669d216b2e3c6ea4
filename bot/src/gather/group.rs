//! Which messages belong together, and when all of them are there. Pure; the time comes in.
//!
//! Telegram sends the pictures of an album and messages that were forwarded together one by one, and says of neither how many
//! there are. Pieces of one person in one place belong together while one follows the other within a short time.

use std::time::Duration;

use tokio::time::Instant;

use crate::telegram::update::{Content, Incoming};

/// Telegram forwards at most so many at a time.
const MOST: usize = 100;
/// Gathering ends after so many times the usual wait, however many pieces still come.
const AT_MOST: u32 = 5;

/// A piece with the update that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The update.
    pub update: i64,
    /// The message.
    pub message: Incoming,
}

/// Pieces of one message.
#[derive(Clone, Debug)]
pub struct Group {
    /// At least one.
    pub pieces: Vec<Piece>,
    began: Instant,
    last: Instant,
}

/// Groups that are not complete. At most one for a person in a place.
#[derive(Debug)]
pub struct Gathering {
    open: Vec<Group>,
    wait: Duration,
}

/// Whether a message is a piece by itself: others may belong to it.
pub fn is_piece(message: &Incoming) -> bool {
    message.album.is_some() || message.forwarded.is_some()
}

/// Whether a message may be what somebody wrote to what they forwarded right after it.
pub fn may_be_comment(message: &Incoming) -> bool {
    let Content::Text(text) = &message.content else {
        return false;
    };
    // A command alone does not wait.
    let bare_command = text.starts_with('/') && !text.trim().contains(char::is_whitespace);
    !is_piece(message) && message.files.is_empty() && !text.trim().is_empty() && !bare_command
}

/// Whether this was forwarded right after the comment, which Telegram sends as a message of its own.
pub fn follows(comment: &Incoming, next: &Incoming) -> bool {
    let same = (comment.place, comment.user) == (next.place, next.user);
    same && next.forwarded.is_some() && next.message == comment.message + 1
}

impl Group {
    fn takes(&self, message: &Incoming) -> bool {
        let first = &self.pieces[0].message;
        match (&first.album, first.forwarded.is_some()) {
            (Some(album), false) => message.forwarded.is_none() && message.album.as_ref() == Some(album),
            // A comment, or something forwarded.
            _ => message.forwarded.is_some(),
        }
    }

    fn is_of(&self, message: &Incoming) -> bool {
        let first = &self.pieces[0].message;
        (first.place, first.user) == (message.place, message.user)
    }

    fn complete_at(&self, wait: Duration) -> Instant {
        match self.pieces.len() < MOST {
            true => (self.last + wait).min(self.began + wait * AT_MOST),
            false => self.last,
        }
    }
}

impl Gathering {
    /// Nothing yet. `wait` is how long after a piece another may follow.
    pub fn new(wait: Duration) -> Self {
        Self { open: Vec::new(), wait }
    }

    /// Whether pieces are gathered at all.
    pub fn is_on(&self) -> bool {
        !self.wait.is_zero()
    }

    /// The group that this message shows to be complete: its person has gone on to something else.
    pub fn completed_by(&mut self, message: &Incoming) -> Option<Group> {
        let at = self
            .open
            .iter()
            .position(|group| group.is_of(message) && !group.takes(message))?;
        Some(self.open.remove(at))
    }

    /// Takes a piece.
    pub fn add(&mut self, piece: Piece, now: Instant) {
        let open = self.open.iter_mut();
        let mut fitting = open.filter(|group| group.is_of(&piece.message) && group.takes(&piece.message));
        match fitting.next() {
            Some(group) => {
                group.pieces.push(piece);
                group.last = now;
            }
            None => self.open.push(Group {
                pieces: vec![piece],
                began: now,
                last: now,
            }),
        }
    }

    /// Somebody has changed a message. Returns the update of the piece that it is, none if it is none.
    pub fn change(&mut self, message: &Incoming) -> Option<i64> {
        let mut pieces = self.open.iter_mut().flat_map(|group| &mut group.pieces);
        let is_it = |piece: &&mut Piece| {
            let known = &piece.message;
            (known.place, known.message) == (message.place, message.message)
        };
        let piece = pieces.find(is_it)?;
        piece.message = message.clone();
        Some(piece.update)
    }

    /// A group that is complete by now.
    pub fn complete(&mut self, now: Instant) -> Option<Group> {
        let at = self.open.iter().position(|group| group.complete_at(self.wait) <= now)?;
        Some(self.open.remove(at))
    }

    /// When the next group is complete, if nothing more comes.
    pub fn next(&self) -> Option<Instant> {
        self.open.iter().map(|group| group.complete_at(self.wait)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Place;

    const WAIT: Duration = Duration::from_secs(1);

    fn message(number: i64, album: Option<&str>, forwarded: bool) -> Incoming {
        Incoming {
            place: Place { chat: -1, thread: None },
            message: number,
            user: 5,
            content: Content::Text("words".to_owned()),
            album: album.map(str::to_owned),
            forwarded: forwarded.then(|| "Grace".to_owned()),
            ..Incoming::default()
        }
    }

    fn piece(message: Incoming) -> Piece {
        Piece {
            update: message.message,
            message,
        }
    }

    fn ids(group: Option<Group>) -> Vec<i64> {
        group
            .into_iter()
            .flat_map(|group| group.pieces)
            .map(|piece| piece.update)
            .collect()
    }

    #[test]
    fn a_group_is_complete_a_while_after_its_last_piece_and_at_last_anyway() {
        let start = Instant::now();
        let mut gathering = Gathering::new(WAIT);
        gathering.add(piece(message(1, Some("a"), false)), start);
        gathering.add(piece(message(2, Some("a"), false)), start + WAIT / 2);
        assert!(gathering.complete(start + WAIT).is_none());
        assert_eq!(gathering.next(), Some(start + WAIT * 3 / 2));
        assert_eq!(ids(gathering.complete(start + WAIT * 3 / 2)), [1, 2]);
        for n in 0..10_u32 {
            gathering.add(piece(message(n.into(), None, true)), start + WAIT * n * 9 / 10);
        }
        assert_eq!(gathering.next(), Some(start + WAIT * AT_MOST));
        assert_eq!(ids(gathering.complete(start + WAIT * AT_MOST)).len(), 10);
        for n in 0..100 {
            gathering.add(piece(message(n, None, true)), start);
        }
        assert_eq!(ids(gathering.complete(start)).len(), MOST);
        assert_eq!(gathering.next(), None);
    }

    #[test]
    fn what_does_not_belong_to_it_completes_a_group_of_the_same_person_only() {
        let now = Instant::now();
        let check = |first: Incoming, next: Incoming, completes: bool| {
            let mut gathering = Gathering::new(WAIT);
            gathering.add(piece(first), now);
            assert_eq!(gathering.completed_by(&next).is_some(), completes, "{next:?}");
        };
        let album = || message(1, Some("a"), false);
        check(album(), message(2, Some("a"), false), false);
        check(album(), message(2, Some("b"), false), true);
        check(album(), message(2, None, true), true);
        check(album(), message(2, None, false), true);
        check(message(1, None, true), message(2, Some("a"), true), false);
        check(message(1, None, true), message(2, Some("a"), false), true);
        check(message(1, None, false), message(2, None, true), false);
        let other = Incoming {
            user: 6,
            ..message(2, None, false)
        };
        check(album(), other, false);
    }

    #[test]
    fn a_piece_can_be_changed_while_others_are_waited_for() {
        let now = Instant::now();
        let mut gathering = Gathering::new(WAIT);
        gathering.add(piece(message(1, Some("a"), false)), now);
        gathering.add(piece(message(2, Some("a"), false)), now);
        let changed = Incoming {
            content: Content::Text("other words".to_owned()),
            ..message(2, Some("a"), false)
        };
        assert_eq!(gathering.change(&changed), Some(2));
        assert_eq!(gathering.change(&message(3, Some("a"), false)), None);
        let group = gathering.complete(now + WAIT).unwrap();
        assert_eq!(group.pieces[1].message, changed);
        assert_eq!(gathering.change(&changed), None);
    }

    #[test]
    fn a_comment_is_text_right_before_something_forwarded() {
        let comment = message(1, None, false);
        assert!(may_be_comment(&comment) && follows(&comment, &message(2, None, true)));
        assert!(!follows(&comment, &message(3, None, true)));
        assert!(!follows(&comment, &message(2, Some("a"), false)));
        let command = |text: &str| Incoming {
            content: Content::Text(text.to_owned()),
            ..message(1, None, false)
        };
        assert!(!may_be_comment(&command("/stop ")));
        assert!(may_be_comment(&command("/deep read this")));
        assert!(!may_be_comment(&message(1, None, true)));
    }
}
