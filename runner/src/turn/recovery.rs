//! The restart rule: what becomes of unfinished messages when claude is started again.
//!
//! Each is looked up in claude's transcript by the uuid it was sent with. Absent: it is sent again. There without an end:
//! a continuation text says what happened. There with its end: the end is told from the transcript. Nothing is ever run
//! again silently. A continuation has a uuid that is journalled before it is sent and is looked up the same way the next
//! time, so any number of crashes leads to one answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::Interrupted;
use longshore_wire::event::Event;
use uuid::Uuid;

use super::finish::{self, End};
use super::running::Turn;
use super::{Continuation, MAX_ATTEMPTS, Machine, Output, Pending, Place, Reply, Unset, WindDown};
use crate::journal::Mark;

/// What claude's transcript says about the messages that were looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// By the uuid that was looked up; what is not listed is absent.
    pub found: BTreeMap<Uuid, Found>,
    /// What happened, for people; none for a first or a clean start.
    pub cause: Option<String>,
    /// Uses of tools, of those that were decided about, that have a result or of which nothing is known.
    pub may_have_run: BTreeSet<String>,
}

/// What the transcript says about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there, its end is not.
    Open {
        /// What claude has said.
        texts: Vec<String>,
    },
    /// It is there and was answered.
    Ended {
        /// What claude has said.
        texts: Vec<String>,
        /// Text of the API error that ended it.
        error: Option<String>,
    },
}

/// What to do with a group of messages.
enum Fate {
    SendAgain,
    Continue,
    End(End),
}

/// Messages that one uuid stands for.
struct Group {
    uuid: Uuid,
    is_continuation: bool,
    ids: Vec<MessageId>,
}

/// What claude reads in place of a message that was cut short.
pub fn continuation_text(lost: Option<&str>) -> String {
    let mut text = "[Longshore] The process that ran you ended unexpectedly while you were working on the request \
                    above. Nothing was run again. A tool call that was running may or may not have had its effect: \
                    check what is already done, then go on and finish the answer."
        .to_owned();
    if let Some(lost) = lost {
        text.push_str(
            "\nThe person has already read the following beginning of your answer, which your history does not hold. \
             Go on where it ends:\n",
        );
        text.push_str(lost);
    }
    text
}

impl Machine {
    /// claude's process is gone.
    pub(super) fn exited(&mut self, out: &mut Vec<Output>) {
        self.ready = false;
        self.desk.copying.clear();
        self.background.clear();
        self.settling = None;
        self.watch = super::watch::Watch::default();
        for pending in std::mem::take(&mut self.pending).into_values() {
            let gone = || "claude ended before it answered".to_owned();
            match pending {
                Pending::Interrupt { token, stopped } => {
                    let reply = Interrupted {
                        stopped,
                        ..Interrupted::default()
                    };
                    out.push(Output::Reply(token, Reply::Interrupted(reply)));
                }
                Pending::Setting { token, .. } => {
                    out.push(Output::Reply(token, Reply::Settings(Err(Unset::NotRunning))));
                }
                Pending::Ask { token } => out.push(Output::Reply(token, Reply::Answer(Err(gone())))),
                Pending::Initialize | Pending::Unanswered => {}
            }
        }
        match self.stopping.take() {
            Some(stopping) if self.turn.is_some() => {
                self.finish_turn(stopping.end, super::money::nothing(1), out);
            }
            _ => self.suspend_turn(out),
        }
        self.approvals.lose_waiting(out);
        if self.winding == Some(WindDown::Finish) {
            self.finish_everything(&finish::quiesced(), out);
        }
    }

    /// What to look up in claude's transcript: uuid, and the text under which claude may have merged it into another.
    pub fn anchors(&self) -> Vec<(Uuid, String)> {
        let mut anchors = Vec::new();
        for open in self.unfinished.iter().filter(|open| open.place != Place::Waiting) {
            anchors.push((open.message.id.0, open.message.text.clone()));
            if let Some(continuation) = self.continuation_of(open.message.id)
                && !anchors.iter().any(|(uuid, _)| *uuid == continuation.uuid)
            {
                anchors.push((continuation.uuid, continuation_text(None)));
            }
        }
        anchors
    }

    /// Uses of tools to look up in claude's transcript: they were decided about, and no result of theirs was seen.
    pub fn decided(&self) -> BTreeSet<String> {
        self.approvals.decided()
    }

    /// The newest continuation that stands for a message.
    fn continuation_of(&self, id: MessageId) -> Option<&Continuation> {
        self.continuations
            .iter()
            .rev()
            .find(|continuation| continuation.ids.contains(&id))
    }

    pub(super) fn recover(&mut self, now: Timestamp, searched: Searched, out: &mut Vec<Output>) {
        let Searched {
            found,
            cause,
            may_have_run,
        } = searched;
        // Those of a process that died before it was ready are found once more below.
        self.to_continue.clear();
        self.forget_groundless(&found);
        let groups = self.groups();
        if cause.is_some() {
            self.count_attempt(&groups, &found);
        }
        let mut effects = Vec::new();
        self.approvals.lose_waiting(&mut effects);
        self.approvals.lose_decided(&may_have_run, &mut effects);
        for orphan in std::mem::take(&mut self.orphaned) {
            self.close_orphan(orphan, &mut effects);
        }
        let (of_turn, others): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| {
            let suspended = self.suspended.as_ref();
            suspended.is_some_and(|turn| turn.messages.iter().any(|id| group.ids.contains(id)))
        });
        let mut to_continue = self.recover_suspended(&of_turn, &found, &mut effects);
        for group in others {
            to_continue.extend(self.recover_group(group, &found, &mut effects));
        }
        if let Some(cause) = cause {
            let consequence = if !to_continue.is_empty() {
                " What was being worked on goes on; nothing is run again unseen."
            } else if self.unfinished.is_empty() {
                ""
            } else {
                " Waiting messages are next."
            };
            out.push(Output::Event(Event::Restarted {
                message: format!("{cause}{consequence}"),
            }));
        }
        out.append(&mut effects);
        self.plan_continuation(to_continue, out);
        self.watch.sign(now);
    }

    /// Drops continuations of which the conversation holds neither them nor what they go on with: claude began anew, and
    /// only the requests themselves tell it what to do.
    fn forget_groundless(&mut self, found: &BTreeMap<Uuid, Found>) {
        self.continuations.retain(|continuation| {
            let of_messages = continuation.ids.iter().map(|id| id.0);
            of_messages
                .chain([continuation.uuid])
                .any(|uuid| found.contains_key(&uuid))
        });
    }

    /// claude died of what it had begun. What only waited in its queue is innocent, unless nothing was begun: then it is
    /// the oldest.
    fn count_attempt(&mut self, groups: &[Group], found: &BTreeMap<Uuid, Found>) {
        let stored: Vec<MessageId> = groups
            .iter()
            .filter(|group| found.contains_key(&group.uuid))
            .flat_map(|group| group.ids.clone())
            .collect();
        let mut begun = 0;
        for open in &mut self.unfinished {
            if open.place == Place::Started || stored.contains(&open.message.id) {
                open.attempts += 1;
                begun += 1;
            }
        }
        let mut sent = self.unfinished.iter_mut().filter(|open| open.place != Place::Waiting);
        if begun == 0
            && let Some(oldest) = sent.next()
        {
            oldest.attempts += 1;
        }
    }

    /// Unfinished messages that were sent, by the uuid they were last sent under.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for open in self.unfinished.iter().filter(|open| open.place != Place::Waiting) {
            let id = open.message.id;
            let continuation = self.continuation_of(id);
            let uuid = continuation.map_or(id.0, |continuation| continuation.uuid);
            match groups.iter_mut().find(|group| group.uuid == uuid) {
                Some(group) => group.ids.push(id),
                None => groups.push(Group {
                    uuid,
                    is_continuation: continuation.is_some(),
                    ids: vec![id],
                }),
            }
        }
        groups
    }

    /// The turn that was cut short. All its messages share its fate: of a merged batch the transcript names only one.
    fn recover_suspended(
        &mut self,
        groups: &[Group],
        found: &BTreeMap<Uuid, Found>,
        out: &mut Vec<Output>,
    ) -> Vec<MessageId> {
        let Some(mut turn) = self.suspended.take() else {
            return Vec::new();
        };
        turn.fail_tools(out);
        let ids: Vec<MessageId> = groups.iter().flat_map(|group| group.ids.clone()).collect();
        if ids.is_empty() {
            self.close_orphan(turn, out);
            return ids;
        }
        let all = groups.iter().filter_map(|group| found.get(&group.uuid));
        let best = all.max_by_key(|found| matches!(found, Found::Ended { .. }));
        say_missing(&mut turn, best, out);
        match self.fate(&ids, best) {
            Fate::End(end) => {
                self.settle_suspended(turn, end, out);
                Vec::new()
            }
            Fate::Continue => {
                self.suspended = Some(turn);
                ids
            }
            Fate::SendAgain => {
                self.suspended = Some(turn);
                self.send_again(groups);
                Vec::new()
            }
        }
    }

    /// Messages of no known turn.
    fn recover_group(&mut self, group: Group, found: &BTreeMap<Uuid, Found>, out: &mut Vec<Output>) -> Vec<MessageId> {
        let found = found.get(&group.uuid);
        let fate = self.fate(&group.ids, found);
        if matches!(fate, Fate::SendAgain) {
            self.send_again(&[group]);
            return Vec::new();
        }
        // The turn was begun, but the runner was gone before it could journal that.
        self.last_turn += 1;
        let mut turn = Turn::new(self.last_turn);
        turn.messages.clone_from(&group.ids);
        turn.announced = true;
        out.push(Output::Event(Event::TurnStarted {
            turn: turn.number,
            message_ids: group.ids.clone(),
        }));
        say_missing(&mut turn, found, out);
        match fate {
            Fate::End(end) => {
                self.settle_suspended(turn, end, out);
                Vec::new()
            }
            Fate::Continue | Fate::SendAgain => {
                match self.suspended {
                    None => self.suspended = Some(turn),
                    Some(_) => self.close_orphan(turn, out),
                }
                group.ids
            }
        }
    }

    fn fate(&self, ids: &[MessageId], found: Option<&Found>) -> Fate {
        if let Some(Found::Ended { error, .. }) = found {
            return Fate::End(match error {
                Some(error) => finish::api_error(error.clone()),
                None => finish::completed(),
            });
        }
        if ids.iter().any(|id| self.stop_asked.contains(id)) {
            return Fate::End(finish::stopped());
        }
        let worn_out = |open: &super::Unfinished| ids.contains(&open.message.id) && open.attempts > MAX_ATTEMPTS;
        if self.unfinished.iter().any(worn_out) {
            return Fate::End(finish::crashed());
        }
        match found {
            Some(_) => Fate::Continue,
            None => Fate::SendAgain,
        }
    }

    fn send_again(&mut self, groups: &[Group]) {
        for group in groups {
            if group.is_continuation {
                self.to_continue.push_back(group.uuid);
            } else {
                for id in &group.ids {
                    self.place(*id, Place::Waiting);
                }
            }
        }
    }

    /// One text for all that was cut short.
    fn plan_continuation(&mut self, ids: Vec<MessageId>, out: &mut Vec<Output>) {
        let Some(first) = ids.first() else { return };
        // claude passes over a uuid that it has read already.
        let mut uuids = (1..).map(|n| Uuid::new_v5(&first.0, format!("continue/{n}").as_bytes()));
        let taken = |uuid: &Uuid| self.continuations.iter().any(|known| known.uuid == *uuid);
        let Some(uuid) = uuids.find(|uuid| !taken(uuid)) else {
            return;
        };
        out.push(Output::Mark(Mark::Continued {
            uuid,
            message_ids: ids.clone(),
        }));
        self.continuations.push(Continuation { uuid, ids });
        self.to_continue.push_front(uuid);
    }
}

/// Says what the transcript holds and the journal does not. A text whose beginning was kept from the preview is said from
/// there on.
fn say_missing(turn: &mut Turn, found: Option<&Found>, out: &mut Vec<Output>) {
    let (Some(Found::Open { texts }) | Some(Found::Ended { texts, .. })) = found else {
        return;
    };
    let mut said: Vec<String> = turn.texts.clone();
    for text in texts {
        if let Some(index) = said.iter().position(|known| known == text) {
            said.remove(index);
            continue;
        }
        let beginning = said.iter().position(|known| text.starts_with(known.as_str()));
        let rest = match beginning {
            Some(index) => text[said.remove(index).len()..].to_owned(),
            None => text.clone(),
        };
        if !rest.trim().is_empty() {
            turn.say(rest, out);
        }
        turn.lost_text = None;
    }
}
