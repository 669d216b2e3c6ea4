use super::messages::{MessageState, NewMessage};
use super::posts::Content;
use super::sessions::SessionState;
use super::*;
use crate::background::Background;
use crate::chat::Place;
use crate::conversation::Change;
use crate::outbox::pace::Priority;
use jiff::Timestamp;
use longshore_routing::{Decision, Mode};
use longshore_wire::MessageId;
use longshore_wire::event::{Event, Record};
use serde_json::json;

const PLACE: Place = Place {
    chat: -100,
    thread: Some(42),
};

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("bot.db")).await.unwrap();
    (folder, store)
}

fn new(message: i64, mode: Mode, object: Option<&str>) -> NewMessage {
    NewMessage {
        place: PLACE,
        message,
        user: 5,
        user_name: "Ada".into(),
        title: None,
        decision: Decision {
            mode,
            reason: "because".into(),
        },
        object: object.map(Into::into),
        files: Vec::new(),
        unheard: None,
        background: Background::default(),
        now: 1,
    }
}

fn task(message: i64) -> NewMessage {
    new(
        message,
        Mode::Task {
            prompt: "why?".into(),
            agent_class: None,
            escalation: None,
            read_only: false,
        },
        Some("ct"),
    )
}

fn record(seq: u64) -> Record {
    Record {
        seq,
        at: Timestamp::UNIX_EPOCH,
        event: Event::Restarted {
            message: "again".into(),
        },
    }
}

fn answer(messages: &[i64], text: &str) -> Change {
    Change::Answer {
        turn: 1,
        messages: messages
            .iter()
            .map(|id| MessageId::from_telegram(PLACE.chat, *id))
            .collect(),
        parts: if text.is_empty() {
            vec![]
        } else {
            vec![Content::plain(text)]
        },
        refer: Content::plain("below"),
        error: false,
    }
}

/// Texts that are not shown yet, in the order of their posts.
async fn texts(store: &Store) -> Vec<String> {
    let pending = store.pending(PLACE.chat).await.unwrap();
    pending
        .into_iter()
        .map(|post| post.content.map_or("…".into(), |content| content.rich.text))
        .collect()
}

#[tokio::test]
async fn an_update_that_comes_again_changes_nothing() {
    let (_folder, store) = store().await;
    for _ in 0..2 {
        store
            .receive(vec![(1, json!({"a": 1})), (2, json!({}))], 10)
            .await
            .unwrap();
    }
    assert_eq!(store.next_update().await.unwrap(), Some((1, json!({"a": 1}))));
    for _ in 0..2 {
        store.decide(1, task(7)).await.unwrap();
    }
    store.receive(vec![(1, json!({"a": 1}))], 10).await.unwrap();
    assert_eq!(store.next_update().await.unwrap().map(|(id, _)| id), Some(2));
    assert_eq!(store.pending(PLACE.chat).await.unwrap().len(), 1);
    let row = store.next_in(PLACE).await.unwrap().unwrap();
    assert_eq!(
        (row.message, row.state, row.object.as_deref()),
        (7, MessageState::Routed, Some("ct"))
    );
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let (folder, store) = store().await;
    store.receive(vec![(1, json!({}))], 10).await.unwrap();
    store.decide(1, task(7)).await.unwrap();
    drop(store);
    let store = Store::open(&folder.path().join("bot.db")).await.unwrap();
    assert_eq!(store.next_update().await.unwrap(), None);
    assert_eq!(store.places_with_work().await.unwrap(), [PLACE]);
    assert_eq!(store.chats_with_work().await.unwrap(), [PLACE.chat]);
}

#[tokio::test]
async fn a_message_is_answered_once_and_closed_when_the_answer_is_shown() {
    let (_folder, store) = store().await;
    store.decide(1, task(7)).await.unwrap();
    let row = store.next_in(PLACE).await.unwrap().unwrap().row;
    store
        .answer(
            row,
            vec![Content::plain("one"), Content::plain("two")],
            Priority::Answer,
        )
        .await
        .unwrap();
    store
        .answer(row, vec![Content::plain("again")], Priority::Answer)
        .await
        .unwrap();
    assert_eq!(texts(&store).await, ["one", "two"]);
    for (shown, post) in store.pending(PLACE.chat).await.unwrap().into_iter().enumerate() {
        assert!(store.delivered().await.unwrap().is_empty(), "{shown} of 2");
        store.sent(post.post, 100 + post.post).await.unwrap();
        store.shown(post.post, post.version).await.unwrap();
    }
    assert_eq!(store.delivered().await.unwrap(), [row]);
    store.advance_message(row, MessageState::Closed).await.unwrap();
    store.advance_message(row, MessageState::Handed).await.unwrap();
    assert!(store.delivered().await.unwrap().is_empty() && store.handed().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_id_of_a_placeholder_stays_and_progress_stops_at_the_answer() {
    let (_folder, store) = store().await;
    store.decide(1, task(7)).await.unwrap();
    let post = store.pending(PLACE.chat).await.unwrap()[0].post;
    assert_eq!(store.open_for_progress(post).await.unwrap(), None);
    store.sent(post, 50).await.unwrap();
    store.sent(post, 51).await.unwrap();
    assert_eq!(store.open_for_progress(post).await.unwrap(), Some(50));
    let row = store.next_in(PLACE).await.unwrap().unwrap().row;
    store
        .answer(row, vec![Content::plain("one")], Priority::Answer)
        .await
        .unwrap();
    assert_eq!(store.open_for_progress(post).await.unwrap(), None);
}

async fn session(store: &Store) {
    store
        .decide(
            1,
            new(
                1,
                Mode::StartSession {
                    prompt: None,
                    agent_class: None,
                    instead_of: None,
                },
                Some("ps"),
            ),
        )
        .await
        .unwrap();
    store
        .observe_session("ps".into(), "uid".into(), PLACE, SessionState::Live)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_event_counts_once_however_often_it_is_streamed() {
    let (_folder, store) = store().await;
    session(&store).await;
    let notice = || {
        vec![Change::Notice {
            text: "restarted".into(),
        }]
    };
    assert!(store.take_event("uid", PLACE, record(1), notice()).await.unwrap());
    assert!(!store.take_event("uid", PLACE, record(1), notice()).await.unwrap());
    assert_eq!(texts(&store).await, ["…", "restarted"]);
    assert_eq!(store.session("ps").await.unwrap().unwrap().stored_seq, 1);
    assert_eq!(store.events("uid").await.unwrap(), [record(1)]);
    assert!(
        store
            .take_event("uid", PLACE, record(2), vec![answer(&[1], "hi")])
            .await
            .unwrap()
    );
    assert!(store.events("uid").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_turn_that_answers_several_messages_answers_the_newest_and_refers_the_others() {
    let (_folder, store) = store().await;
    session(&store).await;
    let to = |message| {
        new(
            message,
            Mode::ToSession {
                session: "ps".into(),
                text: "x".into(),
                deep: false,
                written: None,
            },
            Some("ps"),
        )
    };
    store.decide(2, to(8)).await.unwrap();
    store.decide(3, to(9)).await.unwrap();
    store
        .take_event("uid", PLACE, record(1), vec![answer(&[9, 8], "both")])
        .await
        .unwrap();
    assert_eq!(texts(&store).await, ["…", "below", "both"]);
    store
        .take_event("uid", PLACE, record(2), vec![answer(&[1], "")])
        .await
        .unwrap();
    assert_eq!(
        texts(&store).await,
        [crate::conversation::outcome::SILENT, "below", "both"]
    );
}

#[tokio::test]
async fn a_turn_that_nobody_asked_for_gets_posts_of_its_own_unless_it_is_silent() {
    let (_folder, store) = store().await;
    session(&store).await;
    store
        .take_event("uid", PLACE, record(1), vec![answer(&[], "")])
        .await
        .unwrap();
    store
        .take_event("uid", PLACE, record(2), vec![answer(&[77], "by the way")])
        .await
        .unwrap();
    assert_eq!(texts(&store).await, ["…", "by the way"]);
}

#[tokio::test]
async fn a_session_only_goes_forward() {
    let (_folder, store) = store().await;
    session(&store).await;
    assert_eq!(store.active_session(PLACE).await.unwrap().unwrap().name, "ps");
    store
        .decide(
            2,
            new(
                2,
                Mode::EndSession {
                    session: "ps".into(),
                    word: None,
                },
                Some("ps"),
            ),
        )
        .await
        .unwrap();
    assert_eq!(store.active_session(PLACE).await.unwrap(), None);
    store
        .observe_session("ps".into(), "uid".into(), PLACE, SessionState::Live)
        .await
        .unwrap();
    assert_eq!(store.session("ps").await.unwrap().unwrap().state, SessionState::Ending);
}

#[tokio::test]
async fn posts_of_a_place_out_of_reach_wait_until_it_is_reachable() {
    let (_folder, store) = store().await;
    store.decide(1, task(7)).await.unwrap();
    assert!(store.park(PLACE, false, true).await.unwrap());
    assert!(store.pending(PLACE.chat).await.unwrap().is_empty());
    assert!(!store.park(Place { thread: None, ..PLACE }, false, false).await.unwrap());
    assert!(store.park(Place { thread: None, ..PLACE }, true, false).await.unwrap());
    assert_eq!(store.pending(PLACE.chat).await.unwrap().len(), 1);
    assert!(store.park(PLACE, true, true).await.unwrap());
    store.unpark_all().await.unwrap();
    assert_eq!(store.pending(PLACE.chat).await.unwrap().len(), 1, "after a restart");
}

#[tokio::test]
async fn the_end_of_one_turn_keeps_the_events_of_another() {
    let (_folder, store) = store().await;
    session(&store).await;
    let said = |seq, turn| Record {
        event: Event::Text {
            turn,
            block: 0,
            text: "half".into(),
        },
        ..record(seq)
    };
    let (first, second) = (said(1, 1), said(2, 2));
    store.take_event("uid", PLACE, first.clone(), Vec::new()).await.unwrap();
    store.take_event("uid", PLACE, second, Vec::new()).await.unwrap();
    let end = Change::Answer {
        turn: 2,
        messages: Vec::new(),
        parts: Vec::new(),
        refer: Content::plain("below"),
        error: false,
    };
    store.take_event("uid", PLACE, record(3), vec![end]).await.unwrap();
    assert_eq!(store.events("uid").await.unwrap(), [first]);
}

#[tokio::test]
async fn who_sent_a_message_is_known_until_its_turn_is_over() {
    let (_folder, store) = store().await;
    session(&store).await;
    let accepted = |seq, message| Record {
        event: Event::Accepted {
            id: MessageId::from_telegram(PLACE.chat, message),
            author: Some("Ada".into()),
            text: "hi".into(),
            attachments: Vec::new(),
            context: None,
        },
        ..record(seq)
    };
    let (first, second) = (accepted(1, 71), accepted(2, 72));
    for record in [first, second.clone()] {
        store.take_event("uid", PLACE, record, Vec::new()).await.unwrap();
    }
    let end = |message| vec![answer(&[message], "")];
    store.take_event("uid", PLACE, record(3), end(71)).await.unwrap();
    assert_eq!(store.events("uid").await.unwrap(), [second]);
    store.take_event("uid", PLACE, record(4), end(72)).await.unwrap();
    assert_eq!(store.events("uid").await.unwrap(), []);
}

async fn with_session(store: &Store, uid: &str) {
    store
        .observe_session("ps".into(), uid.into(), PLACE, SessionState::Live)
        .await
        .unwrap();
}

fn idle(text: &str) -> Change {
    let deadline = Timestamp::UNIX_EPOCH;
    let text = text.into();
    Change::Idle { text, deadline }
}

#[tokio::test]
async fn a_warning_is_edited_by_what_comes_of_it_and_by_nothing_later() {
    let (_folder, store) = store().await;
    with_session(&store, "u").await;
    let take = async |seq: u64, change: Change| {
        store.take_event("u", PLACE, record(seq), vec![change]).await.unwrap();
    };
    take(1, Change::Stirred).await;
    take(2, idle("first")).await;
    take(3, idle("second")).await;
    let awake = crate::conversation::life::STAYS_AWAKE;
    assert_eq!(texts(&store).await, [awake, "second"]);
    let sleep = |mark: &str, text: Option<&str>| store.note_sleep("u", PLACE, mark.into(), text.map(Into::into));
    for _ in 0..2 {
        sleep("1", Some("asleep")).await.unwrap();
    }
    take(4, Change::Stirred).await;
    assert_eq!(texts(&store).await, [awake, "asleep"]);
    // Another sleep without a warning has a post of its own; one that is no news has none.
    sleep("2", Some("again")).await.unwrap();
    sleep("3", None).await.unwrap();
    sleep("3", Some("late")).await.unwrap();
    assert_eq!(texts(&store).await, [awake, "asleep", "again"]);
}

#[tokio::test]
async fn an_end_is_told_once_to_those_it_concerns() {
    let over = |text: &str| crate::render::Rich::plain(text);
    // To whoever ended it, even if the bot dies before it has told the others.
    let (_folder, store) = store().await;
    with_session(&store, "u").await;
    let end = Mode::EndSession {
        session: "ps".into(),
        word: None,
    };
    store.receive(vec![(1, json!({}))], 1).await.unwrap();
    store.decide(1, new(7, end, Some("ps"))).await.unwrap();
    for text in ["over", "over again"] {
        store.note_end("ps", "u", PLACE, over(text), true).await.unwrap();
    }
    assert_eq!(texts(&store).await, ["over"]);
    // A session of the same name is another one; nobody asked for its end, so all are told.
    with_session(&store, "v").await;
    for text in ["gone", "gone again"] {
        store.note_end("ps", "v", PLACE, over(text), true).await.unwrap();
    }
    assert_eq!(texts(&store).await, ["over", "gone"]);
    // To whoever started it when it never began.
    with_session(&store, "w").await;
    let start = Mode::StartSession {
        prompt: None,
        agent_class: None,
        instead_of: None,
    };
    store.receive(vec![(2, json!({}))], 1).await.unwrap();
    store.decide(2, new(8, start, Some("ps"))).await.unwrap();
    store.note_held_up("w", PLACE, "queued".into()).await.unwrap();
    store.note_end("ps", "w", PLACE, over("refused"), false).await.unwrap();
    assert_eq!(
        texts(&store).await,
        ["over", "gone", "refused", crate::conversation::life::IS_OVER]
    );
}

#[tokio::test]
async fn a_result_that_nobody_asked_for_is_posted_once_and_its_task_is_told_once_all_of_it_is_shown() {
    let (_folder, store) = store().await;
    let parts = || vec![Content::plain("one"), Content::plain("two")];
    for text in [parts(), vec![Content::plain("other")]] {
        store
            .post_result("uid", "daily-1", PLACE, text, Priority::Answer)
            .await
            .unwrap();
    }
    store
        .post_result("uid-2", "daily-2", PLACE, parts(), Priority::Answer)
        .await
        .unwrap();
    let pending = store.pending(PLACE.chat).await.unwrap();
    assert_eq!(pending.len(), 4);
    for (at, post) in pending.iter().take(2).enumerate() {
        assert_eq!(post.content.as_ref(), Some(&parts()[at]));
        assert_eq!(post.reply_to, None);
        assert_eq!(store.shown_results().await.unwrap(), []);
        store.sent(post.post, 70 + i64::try_from(at).unwrap()).await.unwrap();
        store.shown(post.post, post.version).await.unwrap();
    }
    let shown = store.shown_results().await.unwrap();
    assert_eq!((shown.len(), shown[0].task.as_str()), (1, "daily-1"));
    store.result_told("uid").await.unwrap();
    assert_eq!(store.shown_results().await.unwrap(), []);
    store
        .post_result("uid", "daily-1", PLACE, parts(), Priority::Answer)
        .await
        .unwrap();
    assert_eq!(store.pending(PLACE.chat).await.unwrap().len(), 2);
}

fn wish(mode: longshore_crds::TaskEscalation) -> crate::conversation::wish::Wish {
    crate::conversation::wish::Wish {
        reason: "long".into(),
        plan: "steps".into(),
        handover: "go on".into(),
        mode,
        agent_class: None,
    }
}

#[tokio::test]
async fn a_wish_for_a_session_is_taken_over_once_and_expires() {
    let (_folder, store) = store().await;
    store.receive(vec![(1, json!({}))], 1).await.unwrap();
    store.decide(1, task(1)).await.unwrap();
    let id = MessageId::from_telegram(PLACE.chat, 1);
    let row = store.message(id).await.unwrap().unwrap().row;
    for now in [100, 900] {
        let parts = vec![Content::plain("so far")];
        let wish = wish(longshore_crds::TaskEscalation::Ask);
        store
            .answer_and_escalate(row, parts, "ct-s".into(), wish, now)
            .await
            .unwrap();
    }
    assert_eq!(store.expire_escalations(100 + 1799).await.unwrap(), Vec::<i64>::new());
    assert_eq!(store.expire_escalations(100 + 1800).await.unwrap(), [PLACE.chat]);
    assert_eq!(store.expire_escalations(100 + 1800).await.unwrap(), Vec::<i64>::new());
    let pending = store.pending(PLACE.chat).await.unwrap();
    let asked = pending.last().unwrap().content.clone().unwrap();
    assert!(
        asked
            .rich
            .text
            .ends_with("Nobody answered in time. /deep starts a session."),
        "{asked:?}"
    );
    assert!(asked.buttons.is_empty());
    assert_eq!(store.wanted_in(PLACE).await.unwrap(), None);
    assert_eq!(store.active_session(PLACE).await.unwrap(), None);
}

#[tokio::test]
async fn a_pressed_button_counts_once_and_only_where_it_is_shown() {
    let (_folder, store) = store().await;
    store.receive(vec![(1, json!({}))], 1).await.unwrap();
    store.decide(1, task(1)).await.unwrap();
    let id = MessageId::from_telegram(PLACE.chat, 1);
    let row = store.message(id).await.unwrap().unwrap().row;
    let wish = wish(longshore_crds::TaskEscalation::Ask);
    let parts = vec![Content::plain("so far")];
    store
        .answer_and_escalate(row, parts, "ct-s".into(), wish, 100)
        .await
        .unwrap();
    let post = store.pending(PLACE.chat).await.unwrap().last().unwrap().post;
    store.sent(post, 77).await.unwrap();
    let press = async |at: (i64, i64), yes, now| {
        let decided = store.decide_escalation(1, at, yes, "Ada".into(), now).await;
        decided.unwrap().is_some()
    };
    assert!(!press((PLACE.chat, 78), true, 101).await);
    assert!(!press((PLACE.chat + 1, 77), true, 101).await);
    assert!(!press((PLACE.chat, 77), true, 100 + 1800).await, "too late");
    assert!(press((PLACE.chat, 77), true, 101).await);
    assert!(!press((PLACE.chat, 77), false, 102).await);
    assert_eq!(store.places_with_work().await.unwrap(), [PLACE]);
    let wanted = store.wanted_in(PLACE).await.unwrap().unwrap();
    assert_eq!((wanted.session.as_str(), wanted.message.row), ("ct-s", row));
    assert_eq!(store.active_session(PLACE).await.unwrap().unwrap().name, "ct-s");
    store.not_escalated(wanted.row, "forbidden".into()).await.unwrap();
    assert_eq!(store.wanted_in(PLACE).await.unwrap(), None);
    assert_eq!(store.active_session(PLACE).await.unwrap(), None);
}

/// A message of a stranger that came as this update.
async fn knock(store: &Store, update: i64, user: i64, now: i64) -> super::offers::Knocked {
    store.receive(vec![(update, json!({}))], now).await.unwrap();
    let knock = super::offers::Knock {
        update,
        place: PLACE,
        message: update,
        stranger: crate::conversation::offer::Stranger::new(user, "Bob", "let me in"),
        now,
    };
    store.knock(knock).await.unwrap()
}

/// Telegram gives the post of an offer this id; returns the row of the offer.
async fn shown(store: &Store, user: i64, sent_as: i64) -> i64 {
    let offers = store.offers().await.unwrap();
    let offer = offers.into_iter().find(|offer| offer.stranger.user == user).unwrap();
    let pending = store.pending(PLACE.chat).await.unwrap();
    store.sent(pending.last().unwrap().post, sent_as).await.unwrap();
    offer.row
}

#[tokio::test]
async fn who_is_let_in_is_heard_from_the_held_messages_on_and_once() {
    use super::offers::{ASKING_SECONDS, Knocked};
    use crate::conversation::offer::Choice;
    let (_folder, store) = store().await;
    assert_eq!(knock(&store, 1, 7, 100).await, Knocked::Asked);
    assert_eq!(knock(&store, 2, 7, 101).await, Knocked::Held);
    assert_eq!(store.next_update().await.unwrap(), None);
    assert_eq!(
        store.pending(PLACE.chat).await.unwrap().len(),
        1,
        "one message for both"
    );
    let row = shown(&store, 7, 77).await;
    let press = async |at: (i64, i64), choice, now| {
        let by = (5, "Ada".to_owned());
        store.decide_offer(row, at, choice, by, now).await.unwrap()
    };
    let at = (PLACE.chat, 77);
    assert!(!press((PLACE.chat, 78), Choice::Allow, 102).await);
    assert!(!press((PLACE.chat + 1, 77), Choice::Allow, 102).await);
    assert!(!press(at, Choice::Revoke, 102).await);
    assert!(!press(at, Choice::Allow, 100 + ASKING_SECONDS).await, "too late");
    assert_eq!(store.guest(7, PLACE.chat).await.unwrap(), None);
    assert!(press(at, Choice::Allow, 102).await);
    assert!(!press(at, Choice::Allow, 103).await && !press(at, Choice::Ignore, 103).await);
    let guest = store.guest(7, PLACE.chat).await.unwrap().unwrap();
    assert_eq!((guest.user, guest.chat, guest.by), (7, PLACE.chat, 5));
    assert_eq!(store.guest(7, PLACE.chat - 1).await.unwrap(), None);
    for update in [1, 2] {
        assert_eq!(store.next_update().await.unwrap().unwrap().0, update);
        store.decide(update, task(update)).await.unwrap();
    }
    // Telegram sends them again.
    store.receive(vec![(1, json!({})), (2, json!({}))], 104).await.unwrap();
    assert_eq!(store.next_update().await.unwrap(), None);
    assert!(
        store.expire_offers(100 + ASKING_SECONDS).await.unwrap().is_empty(),
        "it is answered"
    );
    assert!(press(at, Choice::Revoke, 105).await);
    assert_eq!(store.guest(7, PLACE.chat).await.unwrap(), None);
    assert!(
        matches!(knock(&store, 3, 7, 106).await, Knocked::Dropped(_)),
        "nobody is asked at once again"
    );
    assert_eq!(
        knock(&store, 4, 7, 105 + super::offers::QUIET_SECONDS).await,
        Knocked::Asked
    );
}

#[tokio::test]
async fn what_nobody_answers_within_a_day_is_dropped_and_asked_anew_by_the_next_message() {
    use super::offers::{ASKING_SECONDS, Knocked};
    let (_folder, store) = store().await;
    assert_eq!(knock(&store, 1, 7, 100).await, Knocked::Asked);
    shown(&store, 7, 77).await;
    let late = 100 + ASKING_SECONDS;
    assert!(store.expire_offers(late - 1).await.unwrap().is_empty());
    assert_eq!(store.expire_offers(late).await.unwrap(), [PLACE.chat]);
    assert!(store.expire_offers(late).await.unwrap().is_empty());
    let content = store.pending(PLACE.chat).await.unwrap().pop().unwrap().content.unwrap();
    assert!(content.rich.text.contains("Nobody answered within 24 hours") && content.buttons.is_empty());
    assert_eq!(store.next_update().await.unwrap(), None);
    assert_eq!(knock(&store, 2, 7, late + 1).await, Knocked::Asked);
}

#[tokio::test]
async fn a_flood_of_strangers_leads_to_few_messages_and_holds_little() {
    use super::offers::{ASKED_PER_HOUR, ASKING_SECONDS, HELD, Knocked, OPEN_IN_CHAT};
    use crate::conversation::offer::End;
    let (_folder, store) = store().await;
    let mut update = 0;
    let mut asked = 0;
    for user in 1..=40 {
        for _ in 0..10 {
            update += 1;
            asked += i64::from(knock(&store, update, user, 100 + update).await == Knocked::Asked);
        }
    }
    assert_eq!(asked, OPEN_IN_CHAT);
    assert_eq!(
        store.pending(PLACE.chat).await.unwrap().len(),
        usize::try_from(OPEN_IN_CHAT).unwrap()
    );
    // A policy lets all of them in: what was held is heard, and no more.
    let mut heard = 0;
    for offer in store.offers().await.unwrap() {
        store.end_offer(offer, End::ByPolicy, 600).await.unwrap();
    }
    while let Some((update, _)) = store.next_update().await.unwrap() {
        heard += 1;
        store.skip_update(update).await.unwrap();
    }
    assert_eq!(heard, HELD * OPEN_IN_CHAT);
    for user in 100..200 {
        update += 1;
        let knocked = knock(&store, update, user, 600).await;
        asked += i64::from(knocked == Knocked::Asked);
        for offer in store.offers().await.unwrap() {
            store.end_offer(offer, End::Expired, 600).await.unwrap();
        }
    }
    assert_eq!(asked, ASKED_PER_HOUR, "in an hour");
    assert_eq!(
        knock(&store, update + 1, 300, 600 + ASKING_SECONDS).await,
        Knocked::Asked
    );
}
