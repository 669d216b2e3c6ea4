//! Sessions that agents of tasks have asked for: what is asked, which post shows it, and what came of it.
//!
//! `open` (people are asked) -> `wanted` (the session shall be made) -> `closed`. A wish is taken over in the transaction that
//! answers the message of its task, so it is neither lost nor taken twice; and what a button changes is in one transaction with how
//! the button looks then.

use rusqlite::{OptionalExtension, Transaction, params};

use super::messages::{self, MessageRow};
use super::posts::{self, Content};
use super::{Json, Store, StoreError, moved};
use crate::chat::Place;
use crate::conversation::wish::{self, End, Wish};
use crate::outbox::pace::Priority;
use longshore_crds::TaskEscalation;

/// Seconds after which nobody is asked any more.
pub const ASKING_SECONDS: i64 = 30 * 60;

/// A session that shall be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Row of the wish.
    pub row: i64,
    /// Name of the session.
    pub session: String,
    /// What is asked for.
    pub wish: Wish,
    /// The message of the task.
    pub message: MessageRow,
}

/// A wish that is not closed.
struct Open {
    row: i64,
    post: i64,
    place: Place,
    session: String,
    wish: Wish,
}

const SELECT: &str = "SELECT e.row, e.post, m.chat, m.thread, e.session, e.wish
    FROM escalations e JOIN messages m ON m.row = e.message WHERE ";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Open> {
    Ok(Open {
        row: row.get(0)?,
        post: row.get(1)?,
        place: Place::from_key(row.get(2)?, row.get(3)?),
        session: row.get(4)?,
        wish: row.get::<_, Json<Wish>>(5)?.0,
    })
}

fn select(tx: &Transaction<'_>, condition: &str, values: impl rusqlite::Params) -> Result<Vec<Open>, StoreError> {
    let mut select = tx.prepare_cached(&format!("{SELECT}{condition}"))?;
    let rows = select.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes a wish over, unless that was done before.
fn begin(tx: &Transaction<'_>, row: i64, session: &str, wish: &Wish, now: i64) -> Result<(), StoreError> {
    let Some(message) = messages::select_one(tx, row)? else {
        return Ok(());
    };
    let place = message.place;
    let key = format!("escalation/{}/{}", place.chat, message.message);
    let post = posts::ensure(tx, &key, place, Some(message.message), None)?;
    let inserted = tx.execute(
        "INSERT OR IGNORE INTO escalations (message, session, wish, post, state, since) VALUES (?1, ?2, ?3, ?4, 'open', ?5)",
        params![row, session, Json(wish), post, now],
    )?;
    if inserted == 0 {
        return Ok(());
    }
    let open = Open {
        row: tx.last_insert_rowid(),
        post,
        place,
        session: session.to_owned(),
        wish: wish.clone(),
    };
    if has_session(tx, place)? {
        return close(tx, &open, &End::SessionThere);
    }
    match wish.mode {
        TaskEscalation::Start => want(tx, &open, None),
        TaskEscalation::Ask => posts::show(tx, post, &wish::asking(open.row, wish), Priority::Answer),
    }
}

/// Condition for escalations of a place, which is given as ?1 and ?2: also of messages from before it moved.
const OF_MESSAGE: &str =
    "(m.chat = ?1 OR m.chat IN (SELECT former FROM moved WHERE moved.chat = ?1)) AND m.thread = ?2";

fn has_session(tx: &Transaction<'_>, place: Place) -> Result<bool, StoreError> {
    let place = moved::place(tx, place)?;
    let sql = "SELECT 1 FROM sessions WHERE chat = ?1 AND thread = ?2 AND state IN ('wanted', 'live')";
    let found = tx.query_row(sql, params![place.chat, place.thread_key()], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

fn close(tx: &Transaction<'_>, open: &Open, end: &End) -> Result<(), StoreError> {
    tx.execute("UPDATE escalations SET state = 'closed' WHERE row = ?1", [open.row])?;
    posts::show(tx, open.post, &wish::closed(&open.wish, end), Priority::Answer)
}

/// The session shall be made; what is written from now on goes there.
fn want(tx: &Transaction<'_>, open: &Open, by: Option<String>) -> Result<(), StoreError> {
    tx.execute("UPDATE escalations SET state = 'wanted' WHERE row = ?1", [open.row])?;
    let place = moved::place(tx, open.place)?;
    tx.execute(
        "INSERT OR IGNORE INTO sessions (name, chat, thread, state) VALUES (?1, ?2, ?3, 'wanted')",
        params![open.session, place.chat, place.thread_key()],
    )?;
    let started = wish::closed(&open.wish, &End::Started(by));
    posts::show(tx, open.post, &started, Priority::Answer)?;
    moot(tx, place)
}

/// The place has a session: nobody needs to be asked about another.
pub(super) fn moot(tx: &Transaction<'_>, place: Place) -> Result<(), StoreError> {
    let here = params![place.chat, place.thread_key()];
    for open in select(tx, &format!("e.state = 'open' AND {OF_MESSAGE}"), here)? {
        close(tx, &open, &End::SessionThere)?;
    }
    Ok(())
}

impl Store {
    /// Answers the message of a task and takes over what its agent asks for.
    pub async fn answer_and_escalate(
        &self,
        row: i64,
        parts: Vec<Content>,
        session: String,
        wish: Wish,
        now: i64,
    ) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            messages::answer(tx, row, parts, Priority::Answer)?;
            begin(tx, row, &session, &wish, now)
        })
        .await
    }

    /// What somebody decided by a button of the post that is shown there; none when there is nothing to decide any more.
    pub async fn decide_escalation(
        &self,
        row: i64,
        shown_at: (i64, i64),
        yes: bool,
        by: String,
        now: i64,
    ) -> Result<Option<Place>, StoreError> {
        self.transaction(move |tx| {
            let shown = "e.row = ?1 AND e.state = 'open'
                AND EXISTS (SELECT 1 FROM posts p WHERE p.post = e.post AND p.chat = ?2 AND p.sent_as = ?3)
                AND e.since > ?4";
            let values = params![row, shown_at.0, shown_at.1, now - ASKING_SECONDS];
            let Some(open) = select(tx, shown, values)?.pop() else {
                return Ok(None);
            };
            match yes {
                true => want(tx, &open, Some(by))?,
                false => close(tx, &open, &End::Declined(by))?,
            }
            Ok(Some(open.place))
        })
        .await
    }

    /// Closes what nobody answered in time. Returns the chats that see it.
    pub async fn expire_escalations(&self, now: i64) -> Result<Vec<i64>, StoreError> {
        self.transaction(move |tx| {
            let late = select(tx, "e.state = 'open' AND e.since <= ?1", [now - ASKING_SECONDS])?;
            for open in &late {
                close(tx, open, &End::Expired)?;
            }
            Ok(late.iter().map(|open| open.place.chat).collect())
        })
        .await
    }

    /// The oldest session of a place that an agent has asked for and that shall be made.
    pub async fn wanted_in(&self, place: Place) -> Result<Option<Wanted>, StoreError> {
        self.transaction(move |tx| {
            let here = format!("e.state = 'wanted' AND {OF_MESSAGE} ORDER BY e.row DESC");
            let Some(open) = select(tx, &here, params![place.chat, place.thread_key()])?.pop() else {
                return Ok(None);
            };
            let message = tx.query_row("SELECT message FROM escalations WHERE row = ?1", [open.row], |row| {
                row.get(0)
            })?;
            let message = messages::select_one(tx, message)?;
            Ok(message.map(|message| Wanted {
                row: open.row,
                session: open.session,
                wish: open.wish,
                message,
            }))
        })
        .await
    }

    /// The session is made.
    pub async fn escalated(&self, row: i64) -> Result<(), StoreError> {
        self.call(move |connection| {
            connection.execute("UPDATE escalations SET state = 'closed' WHERE row = ?1", [row])?;
            Ok(())
        })
        .await
    }

    /// The session cannot be made.
    pub async fn not_escalated(&self, row: i64, why: String) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let Some(open) = select(tx, "e.row = ?1", [row])?.pop() else {
                return Ok(());
            };
            super::sessions::advance(tx, &open.session, super::sessions::SessionState::Ended)?;
            close(tx, &open, &End::Refused(why))
        })
        .await
    }
}
