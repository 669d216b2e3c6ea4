//! The tables, and how an older file becomes a newer one.
//!
//! `user_version` counts the steps that were taken; each step runs once, in a transaction of its own. A file from a newer
//! bot is refused, because going back would lose what only the newer one knows.

use rusqlite::Connection;

use super::StoreError;

const STEPS: &[&str] = &[
    "
    -- Updates as Telegram sent them. Committed before Telegram may forget them.
    CREATE TABLE inbox (
        update_id   INTEGER PRIMARY KEY,
        raw         TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        done        INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX inbox_waiting ON inbox (update_id) WHERE done = 0;

    -- Messages that something becomes of, with the decision and how far it is carried out.
    CREATE TABLE messages (
        row         INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL,
        thread      INTEGER NOT NULL,
        message     INTEGER NOT NULL,
        user        INTEGER NOT NULL,
        user_name   TEXT NOT NULL,
        title       TEXT,
        wire_id     TEXT NOT NULL UNIQUE,
        decision    TEXT NOT NULL,
        express     INTEGER NOT NULL,
        state       TEXT NOT NULL,
        object      TEXT,
        received_at INTEGER NOT NULL,
        UNIQUE (chat, message)
    ) STRICT;
    CREATE INDEX messages_open ON messages (state, chat, thread) WHERE state <> 'closed';

    -- Messages of the bot: how each shall look, and which of that is known to be shown.
    CREATE TABLE posts (
        post        INTEGER PRIMARY KEY,
        key         TEXT NOT NULL UNIQUE,
        chat        INTEGER NOT NULL,
        thread      INTEGER NOT NULL,
        reply_to    INTEGER,
        subject     INTEGER REFERENCES messages (row),
        sent_as     INTEGER,
        content     TEXT,
        priority    INTEGER NOT NULL,
        version     INTEGER NOT NULL DEFAULT 0,
        shown       INTEGER NOT NULL DEFAULT 0,
        plain       INTEGER NOT NULL DEFAULT 0,
        resent      INTEGER NOT NULL DEFAULT 0,
        parked      INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX posts_pending ON posts (chat) WHERE sent_as IS NULL OR version > shown;
    CREATE INDEX posts_subject ON posts (subject);

    -- Sessions of places, and how much of their event streams is stored.
    CREATE TABLE sessions (
        row         INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        chat        INTEGER NOT NULL,
        thread      INTEGER NOT NULL,
        uid         TEXT,
        state       TEXT NOT NULL,
        stored_seq  INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX sessions_place ON sessions (chat, thread, state);

    -- Events of turns that are not over, from which the state of a conversation is rebuilt.
    CREATE TABLE events (
        session     TEXT NOT NULL,
        seq         INTEGER NOT NULL,
        record      TEXT NOT NULL,
        PRIMARY KEY (session, seq)
    ) STRICT, WITHOUT ROWID;

    -- Prompts and questions of claude's.
    CREATE TABLE approvals (
        row         INTEGER PRIMARY KEY,
        session     TEXT NOT NULL,
        id          TEXT NOT NULL,
        post        INTEGER NOT NULL REFERENCES posts (post),
        approval    TEXT NOT NULL,
        answers     TEXT NOT NULL DEFAULT '{}',
        state       TEXT NOT NULL,
        UNIQUE (session, id)
    ) STRICT;

    -- Names of forum topics, learnt from the messages that made them.
    CREATE TABLE topic_names (
        chat        INTEGER NOT NULL,
        thread      INTEGER NOT NULL,
        name        TEXT NOT NULL,
        PRIMARY KEY (chat, thread)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- The last sleep or end of a session that its place was told of, and posts that must be edited when it goes on.
    ALTER TABLE sessions ADD COLUMN noted TEXT;
    ALTER TABLE sessions ADD COLUMN warning INTEGER REFERENCES posts (post);
    ALTER TABLE sessions ADD COLUMN held_up INTEGER REFERENCES posts (post);
",
    "
    -- Results of tasks that no message asked for, and whether their tasks know that they stand in the chat.
    CREATE TABLE results (
        uid         TEXT PRIMARY KEY,
        task        TEXT NOT NULL,
        told        INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX results_open ON results (uid) WHERE told = 0;
",
    "
    -- Sessions that agents of tasks have asked for: whether people are asked, and whether the session is made.
    CREATE TABLE escalations (
        row         INTEGER PRIMARY KEY,
        message     INTEGER NOT NULL UNIQUE REFERENCES messages (row),
        session     TEXT NOT NULL,
        wish        TEXT NOT NULL,
        post        INTEGER NOT NULL REFERENCES posts (post),
        state       TEXT NOT NULL,
        since       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX escalations_open ON escalations (state) WHERE state <> 'closed';
",
    "
    -- Unknown senders that approvers are asked about or have let in, and the updates that wait for the answer.
    CREATE TABLE offers (
        row         INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL,
        user        INTEGER NOT NULL,
        stranger    TEXT NOT NULL,
        post        INTEGER NOT NULL REFERENCES posts (post),
        state       TEXT NOT NULL,
        made        INTEGER NOT NULL,
        since       INTEGER NOT NULL,
        by_user     INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX offers_person ON offers (chat, user) WHERE state IN ('open', 'granted');
    CREATE INDEX offers_chat ON offers (chat, made);
    CREATE TABLE held (
        update_id   INTEGER PRIMARY KEY,
        offer       INTEGER NOT NULL REFERENCES offers (row) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX held_offer ON held (offer);
",
    "
    -- Files that came with a message, as JSON.
    ALTER TABLE messages ADD COLUMN files TEXT NOT NULL DEFAULT '[]';
",
    "
    -- Calls of the last minute, which count against the budget of their chat, and the last time Telegram asked to wait. In Unix
    -- milliseconds.
    CREATE TABLE calls (
        row         INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL,
        at          INTEGER NOT NULL,
        over        INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX calls_chat ON calls (chat, at);
    CREATE TABLE silences (
        chat        INTEGER PRIMARY KEY,
        told        INTEGER NOT NULL,
        wait        INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Settings that people have chosen for a session and that its runner has not taken, as JSON, and menus that offer some.
    ALTER TABLE sessions ADD COLUMN choices TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE menus (
        message     INTEGER PRIMARY KEY REFERENCES messages (row),
        session     TEXT NOT NULL,
        options     TEXT NOT NULL
    ) STRICT;
",
    "
    -- Updates that are pieces of one message, and which it is. Those of none wait for more pieces.
    CREATE TABLE pieces (
        update_id   INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL,
        message     INTEGER NOT NULL,
        part_of     INTEGER REFERENCES messages (row)
    ) STRICT;
    CREATE INDEX pieces_open ON pieces (update_id) WHERE part_of IS NULL;

    -- What was written with voice messages that are still to be listened to.
    ALTER TABLE messages ADD COLUMN unheard TEXT;
",
    "
    -- What is known of a message beside its words, as JSON; when its newest edit was made, and the reaction that it bears.
    ALTER TABLE messages ADD COLUMN background TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE messages ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN reaction TEXT;
    CREATE INDEX messages_names ON messages (chat, user_name, user);
    CREATE INDEX posts_sent ON posts (chat, sent_as);

    -- What people changed in messages that a session has already: it is told of them.
    CREATE TABLE corrections (
        row         INTEGER PRIMARY KEY,
        message     INTEGER NOT NULL REFERENCES messages (row),
        at          INTEGER NOT NULL,
        wire_id     TEXT NOT NULL UNIQUE,
        before      TEXT NOT NULL,
        text        TEXT NOT NULL,
        state       TEXT NOT NULL,
        UNIQUE (message, at)
    ) STRICT;
    CREATE INDEX corrections_open ON corrections (state) WHERE state <> 'closed';

    -- Groups that became supergroups.
    CREATE TABLE moved (
        former      INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL
    ) STRICT;
",
    "
    -- What was decided about a prompt before its runner knows, how it ended, and whether that may still count.
    ALTER TABLE approvals ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE approvals ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE approvals ADD COLUMN people TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE approvals ADD COLUMN chosen TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE approvals ADD COLUMN writer TEXT;
    ALTER TABLE approvals ADD COLUMN pressed TEXT;
    ALTER TABLE approvals ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE approvals ADD COLUMN closed TEXT;
    ALTER TABLE approvals ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE approvals ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX approvals_session ON approvals (session, state);

    -- Tools that are always allowed in a topic, by the prompt at which somebody said so.
    CREATE TABLE grants (
        row         INTEGER PRIMARY KEY,
        chat        INTEGER NOT NULL,
        thread      INTEGER NOT NULL,
        tool        TEXT NOT NULL,
        by_user     INTEGER NOT NULL,
        by_name     TEXT NOT NULL,
        made        INTEGER NOT NULL,
        approval    INTEGER NOT NULL UNIQUE REFERENCES approvals (row),
        over        TEXT
    ) STRICT;
    CREATE UNIQUE INDEX grants_held ON grants (chat, thread, tool) WHERE over IS NULL;
",
    // Ends of sessions that can be undone for a while.
    "
    CREATE TABLE farewells (
        message     INTEGER PRIMARY KEY REFERENCES messages (row),
        due         INTEGER NOT NULL,
        state       TEXT NOT NULL
    ) STRICT;
",
];

/// Brings a database to the newest version.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > STEPS.len() {
        return Err(StoreError::Newer {
            has: version,
            knows: STEPS.len(),
        });
    }
    for (at, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", at + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_brought_up_once_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute("INSERT INTO topic_names VALUES (1, 2, 'kept')", [])
            .unwrap();
        migrate(&mut connection).unwrap();
        let name: String = connection
            .query_row("SELECT name FROM topic_names", [], |row| row.get(0))
            .unwrap();
        assert_eq!(name, "kept");
        connection.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn a_session_of_an_older_bot_has_been_told_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let insert = "INSERT INTO sessions (name, chat, thread, uid, state) VALUES ('ps', 1, 2, 'u', 'live')";
        connection.execute(insert, []).unwrap();
        migrate(&mut connection).unwrap();
        let told: (Option<String>, Option<i64>, Option<i64>) = connection
            .query_row("SELECT noted, warning, held_up FROM sessions", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!(told, (None, None, None));
    }
}
