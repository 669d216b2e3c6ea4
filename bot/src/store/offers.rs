//! Unknown senders that approvers are asked about, and who was let in: per person and chat at most one.
//!
//! `open` (approvers are asked, messages are held) -> `granted` (the person may use the bot in that chat) or `declined` or `over`;
//! `granted` -> `declined` (taken back) or `over` (void). Whether a grant counts the policies in force decide each time; this table
//! only remembers it. A held message is an update that is done for now: who lets the person in makes it wait in the inbox again, in
//! the same transaction, so it is decided about as if it had just come, once.

use longshore_routing::Guest;
use rusqlite::{OptionalExtension, Transaction, params};

use super::inbox::done;
use super::posts::{self, Content};
use super::{Json, Store, StoreError};
use crate::chat::Place;
use crate::conversation::offer::{self, Choice, End, Stranger};
use crate::outbox::pace::Priority;

/// Seconds after which nobody is asked any more, and what was held is dropped.
pub const ASKING_SECONDS: i64 = 86_400;
/// Seconds for which nobody is asked about a person that was ignored or shown the door.
pub const QUIET_SECONDS: i64 = 7 * 86_400;
/// Messages of a person that are held.
pub const HELD: i64 = 5;
/// People of one chat that approvers are asked about at a time.
pub const OPEN_IN_CHAT: i64 = 5;
/// People that approvers are asked about at a time in all chats.
pub const OPEN: i64 = 100;
/// People of one chat that approvers are asked about within an hour.
pub const ASKED_PER_HOUR: i64 = 10;

/// A message of somebody who has no role.
#[derive(Clone, Debug)]
pub struct Knock {
    /// Update that brought it.
    pub update: i64,
    /// Where.
    pub place: Place,
    /// Its id in the chat.
    pub message: i64,
    /// Who wrote it, and how it begins.
    pub stranger: Stranger,
    /// Now, in Unix seconds.
    pub now: i64,
}

/// What became of such a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knocked {
    /// Approvers are asked, and it is held.
    Asked,
    /// It is held: approvers are asked already.
    Held,
    /// Nothing, for this reason.
    Dropped(&'static str),
}

/// An offer that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferRow {
    /// Row; buttons carry it.
    pub row: i64,
    /// Chat in which it stands.
    pub chat: i64,
    /// Who it is about.
    pub stranger: Stranger,
    /// Who let the person in; none while approvers are asked.
    pub by: Option<i64>,
    post: i64,
}

const SELECT: &str = "SELECT o.row, o.chat, o.stranger, o.by_user, o.post FROM offers o WHERE ";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<OfferRow> {
    Ok(OfferRow {
        row: row.get(0)?,
        chat: row.get(1)?,
        stranger: row.get::<_, Json<Stranger>>(2)?.0,
        by: row.get(3)?,
        post: row.get(4)?,
    })
}

fn select(tx: &Transaction<'_>, condition: &str, values: impl rusqlite::Params) -> Result<Vec<OfferRow>, StoreError> {
    let mut select = tx.prepare_cached(&format!("{SELECT}{condition}"))?;
    let rows = select.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn count(tx: &Transaction<'_>, condition: &str, values: impl rusqlite::Params) -> Result<i64, StoreError> {
    let sql = format!("SELECT count(*) FROM {condition}");
    Ok(tx.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?)
}

/// Why nobody is asked about a person, if that is so.
fn not_asked(tx: &Transaction<'_>, knock: &Knock) -> Result<Option<&'static str>, StoreError> {
    let (chat, user, now) = (knock.place.chat, knock.stranger.user, knock.now);
    let quiet = "offers WHERE state = 'declined' AND chat = ?1 AND user = ?2 AND since > ?3";
    Ok(if count(tx, quiet, params![chat, user, now - QUIET_SECONDS])? > 0 {
        Some("an approver has decided against this person")
    } else if count(tx, "offers WHERE state = 'open' AND chat = ?1", [chat])? >= OPEN_IN_CHAT
        || count(tx, "offers WHERE state = 'open'", [])? >= OPEN
    {
        Some("approvers are asked about too many people at the moment")
    } else if count(tx, "offers WHERE chat = ?1 AND made > ?2", [chat, now - 3600])? >= ASKED_PER_HOUR {
        Some("approvers were asked about too many people within an hour")
    } else {
        None
    })
}

fn knock(tx: &Transaction<'_>, knock: &Knock) -> Result<Knocked, StoreError> {
    let (place, stranger) = (knock.place, &knock.stranger);
    let there = "o.chat = ?1 AND o.user = ?2 AND o.state IN ('open', 'granted')";
    match select(tx, there, params![place.chat, stranger.user])?.pop() {
        // The policies have changed just now: what was allowed does not count any more.
        Some(offer) if offer.by.is_some() => {
            let why = "the policies in force have changed since";
            end(tx, &offer, &End::Void(why), knock.now)?;
        }
        Some(offer) if count(tx, "held WHERE offer = ?1", [offer.row])? >= HELD => {
            return Ok(Knocked::Dropped("enough messages of this person are held"));
        }
        Some(offer) => {
            hold(tx, offer.row, knock.update)?;
            return Ok(Knocked::Held);
        }
        None => {}
    }
    if let Some(why) = not_asked(tx, knock)? {
        return Ok(Knocked::Dropped(why));
    }
    let key = format!("offer/{}/{}", place.chat, knock.message);
    let post = posts::ensure(tx, &key, place, Some(knock.message), None)?;
    tx.execute(
        "INSERT INTO offers (chat, user, stranger, post, state, made, since) VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?5)",
        params![place.chat, stranger.user, Json(stranger), post, knock.now],
    )?;
    let row = tx.last_insert_rowid();
    hold(tx, row, knock.update)?;
    posts::show(tx, post, &offer::asking(row, stranger), Priority::Notice)?;
    Ok(Knocked::Asked)
}

fn hold(tx: &Transaction<'_>, offer: i64, update: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO held (update_id, offer) VALUES (?1, ?2)",
        [update, offer],
    )?;
    Ok(())
}

/// What was held waits in the inbox again.
fn release(tx: &Transaction<'_>, offer: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE inbox SET done = 0 WHERE update_id IN (SELECT update_id FROM held WHERE offer = ?1)",
        [offer],
    )?;
    drop_held(tx, offer)
}

fn drop_held(tx: &Transaction<'_>, offer: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM held WHERE offer = ?1", [offer])?;
    Ok(())
}

fn become_state(tx: &Transaction<'_>, offer: &OfferRow, state: &str, now: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE offers SET state = ?2, since = ?3 WHERE row = ?1",
        params![offer.row, state, now],
    )?;
    Ok(())
}

fn end(tx: &Transaction<'_>, offer: &OfferRow, end: &End, now: i64) -> Result<(), StoreError> {
    let state = match end {
        End::Ignored(_) | End::Revoked(_) => "declined",
        End::Expired | End::ByPolicy | End::Void(_) => "over",
    };
    become_state(tx, offer, state, now)?;
    match end {
        End::ByPolicy => release(tx, offer.row)?,
        _ => drop_held(tx, offer.row)?,
    }
    show(tx, offer, &offer::ended(&offer.stranger, end))
}

fn show(tx: &Transaction<'_>, offer: &OfferRow, content: &Content) -> Result<(), StoreError> {
    posts::show(tx, offer.post, content, Priority::Notice)
}

impl Store {
    /// Takes a message of a stranger over: approvers are asked, unless they are already or there is a reason not to.
    pub async fn knock(&self, new: Knock) -> Result<Knocked, StoreError> {
        self.transaction(move |tx| {
            let knocked = knock(tx, &new)?;
            done(tx, new.update)?;
            Ok(knocked)
        })
        .await
    }

    /// That somebody was let in there by a button, and by whom. Whether that counts the policies say.
    pub async fn guest(&self, user: i64, chat: i64) -> Result<Option<Guest>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT by_user FROM offers WHERE chat = ?1 AND user = ?2 AND state = 'granted'";
            let by = connection
                .prepare_cached(sql)?
                .query_row([chat, user], |row| row.get(0))
                .optional()?;
            Ok(by.map(|by| Guest { user, chat, by }))
        })
        .await
    }

    /// Offers that are open, and people who were let in.
    pub async fn offers(&self) -> Result<Vec<OfferRow>, StoreError> {
        self.transaction(|tx| select(tx, "o.state IN ('open', 'granted') ORDER BY o.row", []))
            .await
    }

    /// The offer in this row, while it is not over.
    pub async fn offer(&self, row: i64) -> Result<Option<OfferRow>, StoreError> {
        self.transaction(move |tx| Ok(select(tx, "o.row = ?1 AND o.state IN ('open', 'granted')", [row])?.pop()))
            .await
    }

    /// What an approver decided by a button of the post that is shown there. False when there is nothing to decide any more.
    pub async fn decide_offer(
        &self,
        row: i64,
        shown_at: (i64, i64),
        choice: Choice,
        by: (i64, String),
        now: i64,
    ) -> Result<bool, StoreError> {
        self.transaction(move |tx| {
            let shown = "o.row = ?1 AND o.state = ?2 AND (o.state = 'granted' OR o.made > ?3)
                AND EXISTS (SELECT 1 FROM posts p WHERE p.post = o.post AND p.chat = ?4 AND p.sent_as = ?5)";
            let state = match choice {
                Choice::Allow | Choice::Ignore => "open",
                Choice::Revoke => "granted",
            };
            let values = params![row, state, now - ASKING_SECONDS, shown_at.0, shown_at.1];
            let Some(offer) = select(tx, shown, values)?.pop() else {
                return Ok(false);
            };
            let (user, name) = by;
            match choice {
                Choice::Ignore => end(tx, &offer, &End::Ignored(name), now)?,
                Choice::Revoke => end(tx, &offer, &End::Revoked(name), now)?,
                Choice::Allow => {
                    become_state(tx, &offer, "granted", now)?;
                    tx.execute("UPDATE offers SET by_user = ?2 WHERE row = ?1", [row, user])?;
                    release(tx, row)?;
                    show(tx, &offer, &offer::allowed(row, &offer.stranger, &name))?;
                }
            }
            Ok(true)
        })
        .await
    }

    /// Ends an offer, or what was allowed, unless that has changed since it was read.
    pub async fn end_offer(&self, seen: OfferRow, how: End, now: i64) -> Result<(), StoreError> {
        self.transaction(move |tx| {
            let same = "o.row = ?1 AND o.state = ?2";
            let state = if seen.by.is_some() { "granted" } else { "open" };
            match select(tx, same, params![seen.row, state])?.pop() {
                Some(offer) => end(tx, &offer, &how, now),
                None => Ok(()),
            }
        })
        .await
    }

    /// Ends what nobody answered in time, and forgets what is long over. Returns the chats that see it.
    pub async fn expire_offers(&self, now: i64) -> Result<Vec<i64>, StoreError> {
        self.transaction(move |tx| {
            let late = select(tx, "o.state = 'open' AND o.made <= ?1", [now - ASKING_SECONDS])?;
            for offer in &late {
                end(tx, offer, &End::Expired, now)?;
            }
            tx.execute(
                "DELETE FROM offers WHERE state IN ('declined', 'over') AND since <= ?1",
                [now - QUIET_SECONDS],
            )?;
            Ok(late.iter().map(|offer| offer.chat).collect())
        })
        .await
    }
}
