//! Prompts and questions of claude's: which post shows each, what was decided about it, and whether it still waits.
//!
//! A prompt is `open` until its runner says how it ended, or its session is over. What somebody decides is written down first
//! (`pressed`) and then handed to the runner (`reached` says how far that is known), also after a restart of the bot in between. A
//! decision counts for one prompt; if that is lost with claude's process before its tool has run, it counts once more, for exactly the
//! same prompt of the same turn, within five minutes ([`Prompt::counts_for`]). `spent` is what cannot count again.
//!
//! Both of these live here and not in the runner: a press that no runner took is known here alone, and what the runner keeps lies
//! on the topic's volume, where the agent could write an approval of its own. The runner says only which prompts were lost.

use longshore_wire::MessageId;
use longshore_wire::api::{Approval, ApprovalKind, Decision, Verdict};
use longshore_wire::event::ApprovalOutcome;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Json, Store, StoreError, grants, messages, posts};
use crate::chat::Place;
use crate::conversation::prompt::{self, Closed, Granted, How, Pressed, Prompt, Writer};
use crate::outbox::pace::Priority;

/// A prompt or question in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRow {
    /// UID of the session.
    pub session: String,
    /// Where it stands.
    pub place: Place,
    /// Id of the message that shows it.
    pub shown_as: Option<i64>,
    /// The prompt, with what was decided.
    pub prompt: Prompt,
    /// Whether it still waits.
    pub open: bool,
    /// Whether the decision has reached the runner.
    pub reached: Reached,
    pub(super) post: i64,
}

/// Whether a decision has reached the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Certainly not.
    No,
    /// It was sent, and nobody has answered.
    Maybe,
    /// The runner does not wait for it any more.
    Gone,
    /// The runner has taken it.
    Yes,
}

/// What a press came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Pressing {
    /// It decides.
    Decides(Box<ApprovalRow>),
    /// It comes too late.
    Late(Box<ApprovalRow>),
    /// Somebody else is writing why it is denied.
    Writes(Writer),
    /// There is no such prompt.
    Nothing,
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ApprovalRow> {
    let granted = match row.get::<_, Option<String>>("by_name")? {
        Some(by) => {
            let over = row.get::<_, Option<Json<_>>>("over")?.map(|json| json.0);
            Some(Granted { by, over })
        }
        None => None,
    };
    Ok(ApprovalRow {
        session: row.get("session")?,
        post: row.get("post")?,
        place: Place::from_key(row.get("chat")?, row.get("thread")?),
        shown_as: row.get("sent_as")?,
        open: row.get::<_, String>("state")? == "open",
        reached: match row.get("reached")? {
            0 => Reached::No,
            1 => Reached::Maybe,
            2 => Reached::Gone,
            _ => Reached::Yes,
        },
        prompt: Prompt {
            row: row.get("row")?,
            approval: row.get::<_, Json<Approval>>("approval")?.0,
            asked_at: row.get("asked_at")?,
            people: row.get::<_, Json<Vec<String>>>("people")?.0,
            answers: row.get::<_, Json<_>>("answers")?.0,
            chosen: row.get::<_, Json<_>>("chosen")?.0,
            writer: row.get::<_, Option<Json<Writer>>>("writer")?.map(|json| json.0),
            pressed: row.get::<_, Option<Json<Pressed>>>("pressed")?.map(|json| json.0),
            closed: row.get::<_, Option<Json<Closed>>>("closed")?.map(|json| json.0),
            lost: row.get("lost")?,
            granted,
        },
    })
}

const SELECT: &str =
    "SELECT a.row, a.session, a.post, p.chat, p.thread, p.sent_as, a.approval, a.answers, a.state, a.asked_at,
    a.people, a.chosen, a.writer, a.pressed, a.reached, a.closed, a.lost, g.by_name, g.over
    FROM approvals a JOIN posts p ON p.post = a.post LEFT JOIN grants g ON g.approval = a.row WHERE ";

fn select(
    tx: &Transaction<'_>,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let mut select = tx.prepare_cached(&format!("{SELECT}{condition}"))?;
    let rows = select.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn one(tx: &Transaction<'_>, row: i64) -> Result<Option<ApprovalRow>, StoreError> {
    Ok(select(tx, "a.row = ?1", [row])?.pop())
}

/// Shows a prompt as it is now. One that nobody was asked about has no post of its own.
pub(super) fn show(tx: &Transaction<'_>, row: &ApprovalRow) -> Result<(), StoreError> {
    if row.is_quiet() {
        return Ok(());
    }
    posts::show(tx, row.post, &prompt::look(&row.prompt), Priority::Answer)
}

fn write_pressed(tx: &Transaction<'_>, row: i64, pressed: &Pressed) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE approvals SET pressed = ?2, writer = NULL, reached = 0 WHERE row = ?1",
        params![row, Json(pressed)],
    )?;
    Ok(())
}

impl ApprovalRow {
    /// Nobody was asked: the tool is always allowed here.
    pub fn is_quiet(&self) -> bool {
        let pressed = self.prompt.pressed.as_ref();
        pressed.is_some_and(|pressed| pressed.how == How::Granted)
    }

    /// Whether the decision may be with a runner that has forgotten it: then nobody knows whether the tool has run.
    fn is_doubtful(&self) -> bool {
        let closed = self.prompt.closed.as_ref();
        let cancelled = closed.is_some_and(|closed| closed.outcome == ApprovalOutcome::Cancelled);
        cancelled && matches!(self.reached, Reached::Maybe | Reached::Yes)
    }
}

/// Takes a prompt up: it is shown with its buttons, unless it is decided already.
pub(super) fn open(
    tx: &Transaction<'_>,
    uid: &str,
    place: Place,
    (turn, asks): (u64, &[MessageId]),
    approval: &Approval,
    now: i64,
) -> Result<(), StoreError> {
    let known = select(tx, "a.session = ?1 AND a.id = ?2", params![uid, approval.id])?;
    if !known.is_empty() {
        return Ok(());
    }
    let earlier = earlier(tx, uid, approval, now)?;
    let grant = match approval.kind {
        ApprovalKind::Permission => grants::held(tx, place, &approval.tool_name)?,
        ApprovalKind::Question | ApprovalKind::Plan => None,
    };
    let (post, pressed) = match grant {
        Some(grant) => (grant.post, Some(grant.pressed(now))),
        None => {
            let key = format!("approval/{uid}/{}", approval.id);
            (posts::ensure(tx, &key, place, None, None)?, earlier)
        }
    };
    tx.execute(
        "INSERT INTO approvals (session, id, post, approval, state, turn, asked_at, people, pressed)
         VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8)",
        params![
            uid,
            approval.id,
            post,
            Json(approval),
            turn,
            now,
            Json(&people(tx, place, asks)?),
            pressed.map(Json)
        ],
    )?;
    let Some(row) = one(tx, tx.last_insert_rowid())? else {
        return Ok(());
    };
    show(tx, &row)?;
    if let Some(file) = prompt::in_full(approval).filter(|_| !row.is_quiet()) {
        let post = posts::ensure(tx, &format!("approval/{uid}/{}/file", approval.id), place, None, None)?;
        posts::show(tx, post, &file, Priority::Answer)?;
    }
    Ok(())
}

/// What somebody decided about this very prompt before claude was restarted. It is spent by that.
fn earlier(tx: &Transaction<'_>, uid: &str, asks: &Approval, now: i64) -> Result<Option<Pressed>, StoreError> {
    let condition = "a.session = ?1 AND a.state = 'closed' AND a.lost = 1 AND a.spent = 0 AND a.pressed IS NOT NULL
        ORDER BY a.row";
    for row in select(tx, condition, [uid])? {
        if row.prompt.counts_for(asks, now) && !row.is_doubtful() {
            tx.execute("UPDATE approvals SET spent = 1 WHERE row = ?1", [row.prompt.row])?;
            let how = How::Again;
            return Ok(row.prompt.pressed.map(|pressed| Pressed { how, ..pressed }));
        }
    }
    Ok(None)
}

/// Names of those whose messages a turn answers. In a private chat there is only one.
fn people(tx: &Transaction<'_>, place: Place, asks: &[MessageId]) -> Result<Vec<String>, StoreError> {
    let mut people = Vec::new();
    if !Place::is_group(place.chat) {
        return Ok(people);
    }
    for id in asks {
        let name = messages::by_wire_id(tx, *id)?.map(|message| message.user_name);
        people.extend(name.filter(|name| !people.contains(name)));
    }
    Ok(people)
}

/// claude's process is gone before the prompt's tool had run.
pub(super) fn lose(tx: &Transaction<'_>, uid: &str, id: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE approvals SET lost = 1 WHERE session = ?1 AND id = ?2",
        [uid, id],
    )?;
    Ok(())
}

/// A turn is over: what was decided in it counts for nothing more.
pub(super) fn turn_over(tx: &Transaction<'_>, uid: &str, turn: u64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE approvals SET spent = 1 WHERE session = ?1 AND turn = ?2 AND spent = 0",
        params![uid, turn],
    )?;
    Ok(())
}

/// Takes the buttons away and says how it ended.
pub(super) fn close(
    tx: &Transaction<'_>,
    uid: &str,
    id: &str,
    (outcome, by): (ApprovalOutcome, Option<String>),
    now: i64,
) -> Result<(), StoreError> {
    let at = now;
    tx.execute(
        "UPDATE approvals SET state = 'closed', closed = ?3, writer = NULL WHERE session = ?1 AND id = ?2 AND state = 'open'",
        params![uid, id, Json(&Closed { outcome, by, at })],
    )?;
    match select(tx, "a.session = ?1 AND a.id = ?2", [uid, id])?.pop() {
        Some(row) => show(tx, &row),
        None => Ok(()),
    }
}

/// All questions of a prompt are answered.
fn answered(prompt: &Prompt, by: Option<String>, at: i64) -> Pressed {
    Pressed {
        decision: Decision {
            verdict: Verdict::Allow,
            remember: false,
            message: None,
            answers: prompt.answers.clone(),
            by,
        },
        word: None,
        at,
        how: How::Here,
    }
}

impl Store {
    /// The prompt in this row.
    pub async fn approval(&self, row: i64) -> Result<Option<ApprovalRow>, StoreError> {
        self.transaction(move |tx| one(tx, row)).await
    }

    /// The oldest question of a session that waits for words.
    pub async fn open_question(&self, uid: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let rows = self.open_approvals(uid).await?;
        let mut asks = rows.into_iter().filter(|row| row.prompt.pressed.is_none());
        Ok(asks.find(|row| row.prompt.next_question().is_some()))
    }

    /// The prompt of a session that this person denies, and is about to write why.
    pub async fn open_word(&self, uid: &str, user: i64) -> Result<Option<ApprovalRow>, StoreError> {
        let rows = self.open_approvals(uid).await?;
        let writes = |row: &ApprovalRow| row.prompt.writer.as_ref().is_some_and(|writer| writer.user == user);
        Ok(rows.into_iter().find(writes))
    }

    /// Decisions about prompts of a session that the runner may not have got.
    pub async fn undelivered_decisions(&self, uid: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let mut rows = self.open_approvals(uid).await?;
        for row in &mut rows {
            // Answers that an older bot has kept.
            let prompt = &mut row.prompt;
            if prompt.pressed.is_none() && !prompt.answers.is_empty() && prompt.next_question().is_none() {
                prompt.pressed = Some(answered(prompt, None, prompt.asked_at));
            }
        }
        rows.retain(|row| row.prompt.pressed.is_some() && row.reached <= Reached::Maybe);
        Ok(rows)
    }

    async fn open_approvals(&self, uid: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| select(tx, "a.session = ?1 AND a.state = 'open' ORDER BY a.row", [uid]))
            .await
    }

    /// Writes down what somebody decided about a prompt, unless it is decided already. With `grant` the tool is allowed there from now
    /// on, also for other prompts that wait.
    pub async fn press(&self, row: i64, pressed: Pressed, grant: Option<Writer>) -> Result<Pressing, StoreError> {
        self.transaction(move |tx| {
            let Some(known) = one(tx, row)? else {
                return Ok(Pressing::Nothing);
            };
            if !known.open || known.prompt.pressed.is_some() {
                return Ok(Pressing::Late(Box::new(known)));
            }
            write_pressed(tx, row, &pressed)?;
            let mut decided = ApprovalRow { ..known };
            decided.prompt.pressed = Some(pressed.clone());
            decided.prompt.writer = None;
            if let Some(by) = grant {
                grants::make(tx, &decided, &by, pressed.at)?;
                let others = "a.session = ?1 AND a.state = 'open' AND a.pressed IS NULL ORDER BY a.row";
                for mut other in select(tx, others, [&decided.session])? {
                    let asks = &other.prompt.approval;
                    let same =
                        (asks.kind, &asks.tool_name) == (ApprovalKind::Permission, &decided.prompt.approval.tool_name);
                    if same {
                        let again = Pressed {
                            how: How::Here,
                            ..pressed.clone()
                        };
                        write_pressed(tx, other.prompt.row, &again)?;
                        other.prompt.pressed = Some(again);
                        show(tx, &other)?;
                    }
                }
            }
            Ok(Pressing::Decides(Box::new(decided)))
        })
        .await
    }

    /// Somebody denies a prompt, and writes why next. The first who says so does.
    pub async fn begin_word(&self, row: i64, by: Writer) -> Result<Pressing, StoreError> {
        self.transaction(move |tx| {
            let Some(mut known) = one(tx, row)? else {
                return Ok(Pressing::Nothing);
            };
            if !known.open || known.prompt.pressed.is_some() {
                return Ok(Pressing::Late(Box::new(known)));
            }
            if let Some(other) = known.prompt.writer.as_ref().filter(|other| other.user != by.user) {
                return Ok(Pressing::Writes(other.clone()));
            }
            tx.execute(
                "UPDATE approvals SET writer = ?2 WHERE row = ?1",
                params![row, Json(&by)],
            )?;
            known.prompt.writer = Some(by);
            show(tx, &known)?;
            Ok(Pressing::Decides(Box::new(known)))
        })
        .await
    }

    /// Nobody in this place writes any more why something is denied.
    pub async fn leave_words(&self, place: Place) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let writing = "p.chat = ?1 AND p.thread = ?2 AND a.state = 'open' AND a.writer IS NOT NULL";
            for mut row in select(tx, writing, [place.chat, place.thread_key()])? {
                tx.execute("UPDATE approvals SET writer = NULL WHERE row = ?1", [row.prompt.row])?;
                row.prompt.writer = None;
                show(tx, &row)?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps an answer to one of several questions and shows the next. The last one decides.
    pub async fn keep_answer(
        &self,
        row: i64,
        question: String,
        answer: String,
        (by, at): (String, i64),
    ) -> Result<Option<ApprovalRow>, StoreError> {
        self.transaction(move |tx| {
            let waits = "a.row = ?1 AND a.state = 'open' AND a.pressed IS NULL";
            let Some(mut known) = select(tx, waits, [row])?.pop() else {
                return Ok(None);
            };
            let prompt = &mut known.prompt;
            prompt.answers.insert(question, answer);
            prompt.chosen.clear();
            tx.execute(
                "UPDATE approvals SET answers = ?2, chosen = '[]' WHERE row = ?1",
                params![row, Json(&prompt.answers)],
            )?;
            if prompt.next_question().is_some() {
                show(tx, &known)?;
                return Ok(Some(known));
            }
            let pressed = answered(prompt, Some(by), at);
            write_pressed(tx, row, &pressed)?;
            prompt.pressed = Some(pressed);
            Ok(Some(known))
        })
        .await
    }

    /// Chooses an option where several may be, or takes the choice back. None when the question does not wait any more.
    pub async fn toggle(&self, row: i64, question: usize, option: usize) -> Result<Option<bool>, StoreError> {
        self.transaction(move |tx| {
            let waits = "a.row = ?1 AND a.state = 'open' AND a.pressed IS NULL";
            let Some(mut known) = select(tx, waits, [row])?.pop() else {
                return Ok(None);
            };
            let asked = known.prompt.next_question().filter(|(number, _)| *number == question);
            if asked.is_none_or(|(_, asked)| option >= asked.options.len()) {
                return Ok(None);
            }
            let chosen = &mut known.prompt.chosen;
            let is_chosen = !chosen.contains(&option);
            match is_chosen {
                true => chosen.push(option),
                false => chosen.retain(|known| *known != option),
            }
            chosen.sort_unstable();
            tx.execute(
                "UPDATE approvals SET chosen = ?2 WHERE row = ?1",
                params![row, Json(&*chosen)],
            )?;
            show(tx, &known)?;
            Ok(Some(is_chosen))
        })
        .await
    }

    /// How far a decision has come. Never goes back.
    pub async fn decision_reached(&self, row: i64, reached: Reached) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "UPDATE approvals SET reached = max(reached, ?2) WHERE row = ?1",
                params![row, reached as i64],
            )?;
            Ok(())
        })
        .await
    }

    /// Shows a prompt as it is now: decided, while its runner does not know.
    pub async fn show_approval(&self, row: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| match one(tx, row)? {
            Some(row) => show(tx, &row),
            None => Ok(()),
        })
        .await
    }

    /// Closes what still waits in a session that sleeps or is over. Nothing that was decided in it counts any more.
    pub async fn close_approvals(&self, uid: &str, now: i64) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.transaction(move |tx| {
            tx.execute(
                "UPDATE approvals SET spent = 1 WHERE session = ?1 AND spent = 0",
                [&uid],
            )?;
            for row in select(tx, "a.session = ?1 AND a.state = 'open'", [&uid])? {
                let outcome = (ApprovalOutcome::Cancelled, None);
                close(tx, &uid, &row.prompt.approval.id, outcome, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Remembers the name of a forum topic.
    pub async fn name_topic(&self, place: Place, name: String) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute(
                "INSERT INTO topic_names VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET name = ?3",
                params![place.chat, place.thread_key(), name],
            )?;
            Ok(())
        })
        .await
    }

    /// Name of a forum topic, as far as it is known.
    pub async fn topic_name(&self, place: Place) -> Result<Option<String>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT name FROM topic_names WHERE chat = ?1 AND thread = ?2";
            let name = connection.query_row(sql, params![place.chat, place.thread_key()], |row| row.get(0));
            Ok(name.optional()?)
        })
        .await
    }
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
