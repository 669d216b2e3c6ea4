//! What one chat shall show that need not survive a restart: how running things look, reactions, that the bot is typing. In memory;
//! the newest wish replaces the one before it, so nothing queues up. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::chat::Place;
use crate::store::posts::Content;

/// The sign that the bot is typing is gone after so long.
const TYPING_SHOWN: Duration = Duration::from_secs(5);
/// So many reactions are remembered, so that none is set twice.
const REMEMBERED: usize = 500;

/// How a post shall look for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where the post stands.
    pub place: Place,
    /// What it shall say.
    pub content: Content,
    /// It differs from the look before it by a clock only, which is not worth a call that something else could use.
    pub tick: bool,
}

/// A reaction to set on a message, or to take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Where the message stands.
    pub place: Place,
    /// The emoji; none takes away what there is.
    pub emoji: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Typing {
    until: Duration,
    shown: Option<Duration>,
}

/// What one chat shall show.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Newest look of posts that have no words of their own yet.
    pub looks: BTreeMap<i64, Look>,
    /// Newest reaction to messages.
    pub reactions: BTreeMap<i64, Reaction>,
    typing: HashMap<Place, Typing>,
    /// What messages of people bear already, oldest first.
    reacted: VecDeque<(i64, Option<String>)>,
    /// The message to which the last call went that set a reaction and is not over: what it bears is not known.
    under_way: Option<i64>,
}

impl Wishes {
    /// A post shall look like this.
    pub fn look(&mut self, post: i64, mut look: Look) {
        // A tick behind something new that was not shown yet is new as well.
        look.tick &= self.looks.get(&post).is_none_or(|waiting| waiting.tick);
        self.looks.insert(post, look);
    }

    /// Forgets a look, unless there is a newer one.
    pub fn looked(&mut self, post: i64, content: &Content) {
        if self.looks.get(&post).is_some_and(|look| look.content == *content) {
            self.looks.remove(&post);
        }
    }

    /// A message shall bear this reaction.
    pub fn react(&mut self, message: i64, reaction: Reaction) {
        let borne = self.reacted.iter().find(|(known, _)| *known == message);
        let is_there = borne.map_or(reaction.emoji.is_none(), |(_, emoji)| *emoji == reaction.emoji);
        if is_there && self.under_way != Some(message) {
            self.reactions.remove(&message);
        } else {
            self.reactions.insert(message, reaction);
        }
    }

    /// A message shall bear no reaction, whatever an earlier run has put there.
    pub fn take_away(&mut self, message: i64, place: Place) {
        let nothing = Reaction { place, emoji: None };
        if self.reacted.iter().any(|(known, _)| *known == message) {
            self.react(message, nothing);
        } else {
            self.reactions.insert(message, nothing);
        }
    }

    /// A reaction is being set on this message.
    pub fn reacts(&mut self, message: i64) {
        self.under_way = Some(message);
    }

    /// It bears it, or never will.
    pub fn reacted(&mut self, message: i64, reaction: &Reaction) {
        self.under_way = None;
        if self.reactions.get(&message) == Some(reaction) {
            self.reactions.remove(&message);
        }
        self.reacted.retain(|(known, _)| *known != message);
        self.reacted.push_back((message, reaction.emoji.clone()));
        if self.reacted.len() > REMEMBERED {
            self.reacted.pop_front();
        }
    }

    /// The bot is typing in a place until then, or not any more.
    pub fn typing(&mut self, place: Place, now: Duration, until: Duration) {
        if until <= now {
            self.typing.remove(&place);
        } else {
            let shown = self.typing.get(&place).and_then(|typing| typing.shown);
            self.typing.insert(place, Typing { until, shown });
        }
    }

    /// The sign was shown, or could not be.
    pub fn typed(&mut self, place: Place, now: Duration) {
        if let Some(typing) = self.typing.get_mut(&place) {
            typing.shown = Some(now);
        }
    }

    /// Places where the sign is due, and when it is next due elsewhere.
    pub fn typing_due(&mut self, now: Duration) -> (Vec<Place>, Option<Duration>) {
        self.typing.retain(|_, typing| typing.until > now);
        let due = |typing: &Typing| typing.shown.map_or(now, |shown| shown + TYPING_SHOWN);
        let (now_due, later): (Vec<_>, Vec<_>) = self.typing.iter().partition(|(_, typing)| due(typing) <= now);
        let mut places = now_due.into_iter().map(|(place, _)| *place).collect::<Vec<_>>();
        places.sort();
        (places, later.into_iter().map(|(_, typing)| due(typing)).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        chat: -1,
        thread: Some(5),
    };

    fn look(text: &str, tick: bool) -> Look {
        Look {
            place: PLACE,
            content: Content::plain(text),
            tick,
        }
    }

    #[test]
    fn the_newest_look_is_shown_and_a_clock_alone_is_worth_less() {
        let mut wishes = Wishes::default();
        wishes.look(1, look("a 0:01", true));
        assert!(wishes.looks[&1].tick);
        wishes.look(1, look("ab 0:02", false));
        wishes.look(1, look("ab 0:12", true));
        assert_eq!(wishes.looks[&1], look("ab 0:12", false));
        wishes.looked(1, &Content::plain("ab 0:02"));
        assert!(!wishes.looks.is_empty(), "a newer one waits");
        wishes.looked(1, &Content::plain("ab 0:12"));
        assert!(wishes.looks.is_empty());
    }

    #[test]
    fn a_reaction_is_set_once_and_the_newest_wins() {
        let reaction = |emoji: Option<&str>| Reaction {
            place: PLACE,
            emoji: emoji.map(str::to_owned),
        };
        let mut wishes = Wishes::default();
        wishes.react(7, reaction(None));
        assert!(wishes.reactions.is_empty(), "there is nothing to take away");
        wishes.react(7, reaction(Some("👀")));
        wishes.react(7, reaction(Some("👌")));
        assert_eq!(wishes.reactions[&7], reaction(Some("👌")));
        wishes.reacted(7, &reaction(Some("👀")));
        assert_eq!(wishes.reactions.len(), 1);
        wishes.reacted(7, &reaction(Some("👌")));
        wishes.react(7, reaction(Some("👌")));
        assert!(wishes.reactions.is_empty());
        wishes.react(7, reaction(None));
        assert_eq!(wishes.reactions[&7], reaction(None));
        wishes.react(7, reaction(Some("👌")));
        assert!(wishes.reactions.is_empty(), "it is there still");
        wishes.react(8, reaction(Some("👀")));
        wishes.reacts(8);
        wishes.react(8, reaction(None));
        wishes.reacted(8, &reaction(Some("👀")));
        assert_eq!(
            wishes.reactions[&8],
            reaction(None),
            "it was on its way when it was taken back"
        );
    }

    #[test]
    fn typing_is_shown_every_five_seconds_until_it_ends() {
        let second = Duration::from_secs;
        let mut wishes = Wishes::default();
        wishes.typing(PLACE, second(10), second(18));
        assert_eq!(wishes.typing_due(second(10)), (vec![PLACE], None));
        wishes.typed(PLACE, second(10));
        wishes.typing(PLACE, second(11), second(19));
        assert_eq!(wishes.typing_due(second(12)), (vec![], Some(second(15))));
        assert_eq!(wishes.typing_due(second(15)), (vec![PLACE], None));
        assert_eq!(wishes.typing_due(second(19)), (vec![], None));
        wishes.typing(PLACE, second(20), second(30));
        wishes.typing(PLACE, second(21), second(21));
        assert_eq!(wishes.typing_due(second(21)), (vec![], None));
    }
}
