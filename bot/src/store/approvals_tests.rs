//! Prompts over their life, with simulated time: what is pressed counts once, or once more after a restart, or for always.

use jiff::Timestamp;
use longshore_routing::{Decision as Routed, Mode};
use longshore_wire::event::{Event, Record};
use serde_json::{Value, json};

use super::*;
use crate::conversation::Change;
use crate::conversation::prompt::Over;
use crate::store::messages::NewMessage;
use crate::store::sessions::SessionState;

const PLACE: Place = Place {
    chat: -100,
    thread: Some(42),
};
const UID: &str = "uid";
const TEN: i64 = 1_767_261_600;

/// A store with a session, and its clock.
struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
    seq: u64,
    now: i64,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("bot.db")).await.unwrap();
        let live = SessionState::Live;
        store
            .observe_session("ps".into(), UID.into(), PLACE, live)
            .await
            .unwrap();
        Self {
            _folder: folder,
            store,
            seq: 0,
            now: TEN,
        }
    }

    async fn take(&mut self, change: Change) {
        self.seq += 1;
        let record = Record {
            seq: self.seq,
            at: Timestamp::UNIX_EPOCH,
            event: Event::Restarted { message: "x".into() },
        };
        let changes = vec![change];
        self.store
            .take_event_at(UID, PLACE, record, changes, self.now)
            .await
            .unwrap();
    }

    /// claude asks in this turn; returns the row.
    async fn asks_in(&mut self, turn: u64, id: &str, tool: &str, input: Value) -> ApprovalRow {
        let kind = match tool {
            "AskUserQuestion" => ApprovalKind::Question,
            "ExitPlanMode" => ApprovalKind::Plan,
            _ => ApprovalKind::Permission,
        };
        let approval = Approval::new(id, kind, tool, input);
        let messages = vec![MessageId::from_telegram(PLACE.chat, 7)];
        self.take(Change::Ask {
            turn,
            messages,
            approval,
        })
        .await;
        let all = self.store.open_approvals(UID).await.unwrap();
        all.into_iter().find(|row| row.prompt.approval.id == id).unwrap()
    }

    async fn asks(&mut self, id: &str) -> ApprovalRow {
        self.asks_in(1, id, "Bash", json!({"command": "make"})).await
    }

    async fn loses(&mut self, id: &str) {
        self.take(Change::Lose { id: id.into() }).await;
    }

    async fn closes(&mut self, id: &str, outcome: ApprovalOutcome) {
        let by = Some("Ada".to_owned());
        let id = id.to_owned();
        self.take(Change::Close { id, outcome, by }).await;
    }

    async fn ends_turn(&mut self, turn: u64) {
        self.take(Change::Answer {
            turn,
            messages: Vec::new(),
            parts: Vec::new(),
            refer: Default::default(),
            error: false,
        })
        .await;
    }

    fn pressed(&self, verdict: Verdict) -> Pressed {
        Pressed {
            decision: Decision {
                verdict,
                remember: false,
                message: None,
                answers: Default::default(),
                by: Some("Ada".into()),
            },
            word: None,
            at: self.now,
            how: How::Here,
        }
    }

    async fn press(&self, row: &ApprovalRow, verdict: Verdict) -> Pressing {
        let pressed = self.pressed(verdict);
        self.store.press(row.prompt.row, pressed, None).await.unwrap()
    }

    async fn press_always(&self, row: &ApprovalRow) {
        let pressed = self.pressed(Verdict::Allow);
        let pressing = self.store.press(row.prompt.row, pressed, Some(ada())).await.unwrap();
        assert!(matches!(pressing, Pressing::Decides(_)));
    }

    /// What posts of prompts say now.
    async fn shown(&self) -> Vec<(String, usize)> {
        let pending = self.store.pending(PLACE.chat).await.unwrap();
        pending
            .into_iter()
            .filter_map(|post| post.content)
            .map(|content| (content.rich.text, content.buttons.len()))
            .collect()
    }

    async fn undelivered(&self) -> Vec<String> {
        let rows = self.store.undelivered_decisions(UID).await.unwrap();
        rows.into_iter().map(|row| row.prompt.approval.id).collect()
    }
}

fn ada() -> Writer {
    Writer {
        user: 5,
        name: "Ada".into(),
    }
}

fn how(row: &ApprovalRow) -> Option<How> {
    row.prompt.pressed.as_ref().map(|pressed| pressed.how)
}

#[tokio::test]
async fn a_prompt_shows_buttons_until_it_is_closed_and_each_has_its_own_message() {
    let mut desk = Desk::new().await;
    let first = desk.asks("a").await;
    let second = desk.asks_in(1, "b", "Write", json!({"file_path": "x"})).await;
    assert!(first.post < second.post);
    assert_eq!(
        desk.shown().await.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(),
        [2, 2]
    );
    desk.closes("b", ApprovalOutcome::Allowed).await;
    desk.store.close_approvals(UID, desk.now).await.unwrap();
    let shown = desk.shown().await;
    assert!(
        shown[0].0.ends_with("No longer needed.") && shown[0].1 == 0,
        "{shown:?}"
    );
    assert!(
        shown[1].0.ends_with("✅ Allowed by Ada.") && shown[1].1 == 0,
        "{shown:?}"
    );
    assert!(!desk.store.approval(first.prompt.row).await.unwrap().unwrap().open);
}

#[tokio::test]
async fn a_prompt_of_a_group_names_whose_request_it_is_for() {
    let mut desk = Desk::new().await;
    let message = NewMessage {
        place: PLACE,
        message: 7,
        user: 5,
        user_name: "Ada".into(),
        title: None,
        decision: Routed {
            mode: Mode::Status,
            reason: "because".into(),
        },
        object: None,
        files: Vec::new(),
        unheard: None,
        background: Default::default(),
        now: 1,
    };
    desk.store.decide(1, message).await.unwrap();
    assert_eq!(desk.asks("a").await.prompt.people, ["Ada"]);
}

#[tokio::test]
async fn the_first_press_decides_and_waits_to_be_handed_on() {
    let mut desk = Desk::new().await;
    let row = desk.asks("a").await;
    assert!(matches!(desk.press(&row, Verdict::Allow).await, Pressing::Decides(_)));
    let Pressing::Late(known) = desk.press(&row, Verdict::Deny).await else {
        panic!()
    };
    assert_eq!(known.prompt.verdict_in_words(), "Ada allowed this at 10:00 UTC.");
    assert_eq!(desk.undelivered().await, ["a"]);
    desk.store
        .decision_reached(row.prompt.row, Reached::Maybe)
        .await
        .unwrap();
    assert_eq!(desk.undelivered().await, ["a"]);
    desk.store.decision_reached(row.prompt.row, Reached::Yes).await.unwrap();
    desk.store.decision_reached(row.prompt.row, Reached::No).await.unwrap();
    assert!(desk.undelivered().await.is_empty(), "it never goes back");
}

#[tokio::test]
async fn a_press_that_no_runner_took_counts_for_the_same_prompt_once() {
    for verdict in [Verdict::Allow, Verdict::Deny] {
        let mut desk = Desk::new().await;
        let first = desk.asks("a").await;
        desk.press(&first, verdict).await;
        desk.loses("a").await;
        desk.closes("a", ApprovalOutcome::Cancelled).await;
        desk.now += 299;
        let again = desk.asks("b").await;
        assert_eq!(how(&again), Some(How::Again));
        assert_eq!(again.prompt.pressed.as_ref().unwrap().decision.verdict, verdict);
        assert_eq!(desk.undelivered().await, ["b"]);
        let (text, buttons) = desk.shown().await.pop().unwrap();
        assert!(text.contains("Applied what Ada pressed at 10:00 UTC.") && buttons == 0);
        // Neither the first nor the second counts again.
        assert_eq!(how(&desk.asks("c").await), None);
        desk.loses("b").await;
        desk.closes("b", ApprovalOutcome::Allowed).await;
        assert_eq!(how(&desk.asks("d").await), None);
    }
}

#[tokio::test]
async fn a_press_that_the_runner_took_counts_again_only_when_claude_died_before_the_tool_had_run() {
    for (lost, expected) in [(true, Some(How::Again)), (false, None)] {
        let mut desk = Desk::new().await;
        let first = desk.asks("a").await;
        desk.press(&first, Verdict::Allow).await;
        desk.store
            .decision_reached(first.prompt.row, Reached::Yes)
            .await
            .unwrap();
        desk.closes("a", ApprovalOutcome::Allowed).await;
        if lost {
            desk.loses("a").await;
        }
        assert_eq!(how(&desk.asks("b").await), expected);
    }
}

#[tokio::test]
async fn what_may_have_run_is_asked_again() {
    for reached in [Reached::Maybe, Reached::Yes] {
        let mut desk = Desk::new().await;
        let first = desk.asks("a").await;
        desk.press(&first, Verdict::Allow).await;
        desk.store.decision_reached(first.prompt.row, reached).await.unwrap();
        desk.loses("a").await;
        desk.closes("a", ApprovalOutcome::Cancelled).await;
        assert_eq!(how(&desk.asks("b").await), None, "{reached:?}");
    }
}

#[tokio::test]
async fn another_input_a_later_time_or_another_turn_is_asked_anew() {
    let lost = async |desk: &mut Desk| {
        let first = desk.asks("a").await;
        desk.press(&first, Verdict::Allow).await;
        desk.loses("a").await;
        desk.closes("a", ApprovalOutcome::Cancelled).await;
    };
    let mut desk = Desk::new().await;
    lost(&mut desk).await;
    let other = desk.asks_in(1, "b", "Bash", json!({"command": "make install"})).await;
    assert_eq!(how(&other), None);
    assert_eq!(
        how(&desk.asks("c").await),
        Some(How::Again),
        "what was asked in between changes nothing"
    );
    let mut desk = Desk::new().await;
    lost(&mut desk).await;
    desk.now += 301;
    assert_eq!(how(&desk.asks("b").await), None);
    let mut desk = Desk::new().await;
    lost(&mut desk).await;
    desk.ends_turn(1).await;
    assert_eq!(
        how(&desk.asks_in(2, "b", "Bash", json!({"command": "make"})).await),
        None
    );
    let mut desk = Desk::new().await;
    lost(&mut desk).await;
    desk.store.close_approvals(UID, desk.now).await.unwrap();
    assert_eq!(how(&desk.asks("b").await), None, "the session slept");
}

#[tokio::test]
async fn a_prompt_that_a_stop_makes_moot_leaves_nothing_behind() {
    let mut desk = Desk::new().await;
    let first = desk.asks("a").await;
    desk.press(&first, Verdict::Allow).await;
    desk.closes("a", ApprovalOutcome::Cancelled).await;
    assert_eq!(how(&desk.asks("b").await), None);
}

#[tokio::test]
async fn answers_count_again_as_presses_do() {
    let mut desk = Desk::new().await;
    let questions = json!({"questions": [{"question": "Size?", "options": []}]});
    let first = desk.asks_in(1, "a", "AskUserQuestion", questions.clone()).await;
    let by = ("Ada".to_owned(), desk.now);
    let kept = desk
        .store
        .keep_answer(first.prompt.row, "Size?".into(), "7".into(), by)
        .await;
    assert!(kept.unwrap().unwrap().prompt.pressed.is_some());
    assert!(desk.store.open_question(UID).await.unwrap().is_none());
    assert_eq!(desk.undelivered().await, ["a"]);
    desk.loses("a").await;
    desk.closes("a", ApprovalOutcome::Cancelled).await;
    let again = desk.asks_in(1, "b", "AskUserQuestion", questions).await;
    assert_eq!(again.prompt.pressed.unwrap().decision.answers["Size?"], "7");
    assert!(
        desk.store.open_question(UID).await.unwrap().is_none(),
        "it asks for no words"
    );
}

#[tokio::test]
async fn what_is_always_allowed_asks_nobody_until_it_is_stopped() {
    let mut desk = Desk::new().await;
    let first = desk.asks("a").await;
    let waits = desk.asks_in(1, "b", "Bash", json!({"command": "other"})).await;
    let writes = desk.asks_in(1, "c", "Write", json!({})).await;
    desk.press_always(&first).await;
    assert_eq!(desk.undelivered().await, ["a", "b"], "what waits is allowed with it");
    desk.closes("a", ApprovalOutcome::Allowed).await;
    desk.closes("b", ApprovalOutcome::Allowed).await;
    let posts = desk.shown().await;
    assert_eq!(posts[0].1, 1, "the button to stop it: {posts:?}");
    // In another turn and with another input.
    let quiet = desk.asks_in(2, "d", "Bash", json!({"command": "rm"})).await;
    assert!(quiet.is_quiet() && quiet.open);
    assert_eq!(desk.undelivered().await, ["d"]);
    desk.closes("d", ApprovalOutcome::Allowed).await;
    assert_eq!(desk.shown().await, posts, "nothing is shown of it");
    // Another tool, a question and a plan are asked about.
    assert_eq!(how(&desk.asks_in(2, "e", "Write", json!({})).await), None);
    assert!(
        desk.store
            .approval(writes.prompt.row)
            .await
            .unwrap()
            .unwrap()
            .prompt
            .pressed
            .is_none()
    );
    assert!(
        desk.store
            .approval(waits.prompt.row)
            .await
            .unwrap()
            .unwrap()
            .prompt
            .granted
            .is_none()
    );
    let stopped = || Over::Stopped {
        by: "Bob".into(),
        at: TEN,
    };
    assert!(desk.store.end_grant(first.prompt.row, stopped()).await.unwrap());
    assert!(!desk.store.end_grant(first.prompt.row, stopped()).await.unwrap());
    assert_eq!(desk.shown().await[0].1, 0);
    let asked = desk.asks_in(2, "f", "Bash", json!({"command": "rm"})).await;
    assert_eq!(how(&asked), None);
    // It can be given again.
    desk.press_always(&asked).await;
    assert_eq!(desk.store.grants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_grant_holds_in_its_topic_over_sessions_and_in_no_other() {
    let mut desk = Desk::new().await;
    let first = desk.asks("a").await;
    desk.press_always(&first).await;
    assert!(desk.store.grant(PLACE, "Bash").await.unwrap().is_some());
    for other in [Place { thread: None, ..PLACE }, Place { chat: -101, ..PLACE }] {
        assert!(desk.store.grant(other, "Bash").await.unwrap().is_none());
    }
    desk.store.close_approvals(UID, desk.now).await.unwrap();
    let live = SessionState::Live;
    desk.store
        .observe_session("next".into(), "uid-2".into(), PLACE, live)
        .await
        .unwrap();
    let record = Record {
        seq: 1,
        at: Timestamp::UNIX_EPOCH,
        event: Event::Restarted { message: "x".into() },
    };
    let asks = Change::Ask {
        turn: 1,
        messages: Vec::new(),
        approval: Approval::new("a", ApprovalKind::Permission, "Bash", json!({})),
    };
    desk.store
        .take_event_at("uid-2", PLACE, record, vec![asks], TEN + 86_400 * 9)
        .await
        .unwrap();
    assert!(desk.store.undelivered_decisions("uid-2").await.unwrap()[0].is_quiet());
}

#[tokio::test]
async fn a_tool_that_is_always_allowed_never_covers_plans_and_questions() {
    let mut desk = Desk::new().await;
    for tool in ["ExitPlanMode", "AskUserQuestion"] {
        // However such a grant may have come about.
        let row = desk.asks_in(1, tool, tool, json!({})).await;
        desk.press_always(&row).await;
        let again = format!("{tool}-2");
        assert_eq!(how(&desk.asks_in(1, &again, tool, json!({})).await), None);
    }
}

#[tokio::test]
async fn a_grant_spends_the_same_decision_that_was_lost() {
    let mut desk = Desk::new().await;
    let first = desk.asks("a").await;
    desk.press_always(&first).await;
    desk.loses("a").await;
    desk.closes("a", ApprovalOutcome::Cancelled).await;
    assert!(desk.asks("b").await.is_quiet());
    desk.store.end_grant(first.prompt.row, Over::NoApprover).await.unwrap();
    assert_eq!(how(&desk.asks("c").await), None);
}

#[tokio::test]
async fn one_person_at_a_time_writes_why_and_a_stop_or_another_button_ends_that() {
    let mut desk = Desk::new().await;
    let row = desk.asks("a").await;
    let bob = Writer {
        user: 6,
        name: "Bob".into(),
    };
    let begin = async |desk: &Desk, by: &Writer| desk.store.begin_word(row.prompt.row, by.clone()).await.unwrap();
    assert!(matches!(begin(&desk, &ada()).await, Pressing::Decides(_)));
    assert!(matches!(begin(&desk, &ada()).await, Pressing::Decides(_)));
    assert!(matches!(begin(&desk, &bob).await, Pressing::Writes(other) if other.name == "Ada"));
    assert!(desk.store.open_word(UID, 5).await.unwrap().is_some());
    assert!(desk.store.open_word(UID, 6).await.unwrap().is_none());
    desk.store.leave_words(PLACE).await.unwrap();
    assert!(desk.store.open_word(UID, 5).await.unwrap().is_none());
    assert!(!desk.shown().await[0].0.contains("write why"));
    begin(&desk, &bob).await;
    desk.press(&row, Verdict::Allow).await;
    assert!(desk.store.open_word(UID, 6).await.unwrap().is_none());
    assert!(matches!(begin(&desk, &bob).await, Pressing::Late(_)));
    let other = desk.asks("b").await;
    desk.store.begin_word(other.prompt.row, bob).await.unwrap();
    desk.closes("b", ApprovalOutcome::Expired).await;
    assert!(desk.store.open_word(UID, 6).await.unwrap().is_none());
}

#[tokio::test]
async fn options_of_which_several_may_be_chosen_are_switched_on_and_off() {
    let mut desk = Desk::new().await;
    let questions = json!({"questions": [
        {"question": "Which?", "options": [{"label": "a"}, {"label": "b"}, {"label": "c"}], "multiSelect": true},
        {"question": "And?", "options": [{"label": "d"}], "multiSelect": true}]});
    let row = desk.asks_in(1, "a", "AskUserQuestion", questions).await.prompt.row;
    let toggle = async |desk: &Desk, question, option| desk.store.toggle(row, question, option).await.unwrap();
    assert_eq!(toggle(&desk, 0, 2).await, Some(true));
    assert_eq!(toggle(&desk, 0, 0).await, Some(true));
    assert_eq!(toggle(&desk, 0, 2).await, Some(false));
    assert_eq!(toggle(&desk, 0, 3).await, None);
    assert_eq!(toggle(&desk, 1, 0).await, None, "it is not asked yet");
    assert_eq!(desk.store.approval(row).await.unwrap().unwrap().prompt.chosen, [0]);
    let by = || ("Ada".to_owned(), TEN);
    let kept = desk
        .store
        .keep_answer(row, "Which?".into(), "a".into(), by())
        .await
        .unwrap();
    assert!(kept.unwrap().prompt.chosen.is_empty(), "the next begins anew");
    assert_eq!(toggle(&desk, 1, 0).await, Some(true));
    desk.store
        .keep_answer(row, "And?".into(), "d".into(), by())
        .await
        .unwrap();
    assert_eq!(toggle(&desk, 1, 0).await, None);
}
