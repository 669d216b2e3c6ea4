//! The outbox with its store and the Telegram emulator, in time that passes fast.

use longshore_telegram_emulator::calls::Call;
use longshore_telegram_emulator::control::{ClockChange, routes::WantedCalls};
use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_telegram_emulator::limits::Limits;
use longshore_telegram_emulator::{Client, Emulator};

use super::pace::Priority;
use super::*;
use crate::moved::Moved;

const PATIENCE: Duration = Duration::from_secs(60);
/// A minute passes in one and a half seconds.
const FACTOR: f64 = 40.0;

struct Scene {
    _emulator: Emulator,
    url: String,
    people: Client,
    ada: i64,
    forum: i64,
    folder: tempfile::TempDir,
}

struct Running {
    outbox: Outbox,
    store: Store,
    tracker: TaskTracker,
}

impl Running {
    async fn post(&self, place: Place, key: &str, text: &str, priority: Priority) {
        let content = Content::plain(text);
        self.store
            .post(key.to_owned(), place, None, Some(content), priority)
            .await
            .unwrap();
        self.outbox.wake(place.chat);
    }

    /// Ends it at once, as far as a task can be.
    async fn end(self) {
        self.outbox.inner.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Scene {
    async fn new() -> Self {
        let emulator = Emulator::local().await.unwrap();
        let people = emulator.client();
        let clock = ClockChange {
            factor: Some(FACTOR),
            shared: Some(true),
            ..ClockChange::default()
        };
        people.turn_clock(&clock).await.unwrap();
        let ada = people.user("Ada").await.unwrap().id;
        let forum = people.forum("Harbour", ada).await.unwrap();
        people.say(ada, None, ada, "/start").await.unwrap();
        Self {
            url: emulator.url(),
            _emulator: emulator,
            people,
            ada,
            forum,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn start(&self) -> Running {
        let store = Store::open(&self.folder.path().join("bot.db")).await.unwrap();
        let telegram = Telegram::new("4711:secret", Some(&self.url)).unwrap();
        let budget = Budget {
            per_minute: 20,
            scale: Scale::new(FACTOR),
        };
        let (reach, _) = mpsc::unbounded_channel();
        let tracker = TaskTracker::new();
        let outbox = Outbox::new(
            store.clone(),
            telegram,
            budget,
            reach,
            Moved::default(),
            tracker.clone(),
            CancellationToken::new(),
        );
        outbox.resume().await.unwrap();
        Running { outbox, store, tracker }
    }

    async fn place(&self, name: &str) -> Place {
        Place {
            chat: self.forum,
            thread: Some(self.people.topic(self.forum, self.ada, name).await.unwrap()),
        }
    }

    async fn say(&self, place: Place, text: &str) -> i64 {
        self.people.say(place.chat, place.thread, self.ada, text).await.unwrap()
    }

    async fn sees(&self, place: Place, text: &str) {
        self.people
            .wait_for(place.chat, place.thread, 0, text, PATIENCE)
            .await
            .unwrap();
    }

    async fn calls(&self, method: Option<&str>) -> Vec<Call> {
        let wanted = WantedCalls {
            method: method.map(str::to_owned),
            ..WantedCalls::default()
        };
        self.people.calls(&wanted).await.unwrap()
    }

    async fn calls_come(&self, method: &str, count: usize) -> Vec<Call> {
        let waiting = async {
            loop {
                let seen = self.people.overview().await.unwrap().revision;
                let calls = self.calls(Some(method)).await;
                if calls.len() >= count {
                    return calls;
                }
                // A refused call changes nothing that could be waited for.
                let _ = self.people.changed(seen, Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("calls in time")
    }

    async fn reactions(&self, place: Place, message: i64) -> Vec<String> {
        let all = self.people.messages(place.chat, place.thread).await.unwrap();
        let shown = all.into_iter().find(|shown| shown.message_id == message).unwrap();
        shown.reactions.into_values().flatten().collect()
    }
}

#[tokio::test]
async fn the_newest_reaction_is_set_once_and_a_refusal_is_nobodys_concern() {
    let scene = Scene::new().await;
    let running = scene.start().await;
    let place = scene.place("Ropes").await;
    let message = scene.say(place, "hello").await;
    running.outbox.react(place, message, Some("👀"));
    scene.calls_come("setMessageReaction", 1).await;
    running.outbox.react(place, message, Some("👀"));
    running.outbox.react(place, message, Some("⏳"));
    scene.calls_come("setMessageReaction", 2).await;
    running.outbox.react(place, message, Some("👌"));
    let calls = scene.calls_come("setMessageReaction", 3).await;
    assert!(calls[1].description.contains("REACTION_INVALID"), "{:?}", calls[1]);
    assert_eq!(scene.reactions(place, message).await, ["👌"]);
    running.outbox.react(place, message, None);
    scene.calls_come("setMessageReaction", 4).await;
    assert_eq!(scene.reactions(place, message).await, [""; 0]);
    running.post(place, "a", "after all that", Priority::Answer).await;
    scene.sees(place, "after all that").await;
    assert_eq!(scene.calls(Some("setMessageReaction")).await.len(), 4);
}

#[tokio::test]
async fn typing_is_shown_while_calls_are_to_spare_and_until_it_ends() {
    let scene = Scene::new().await;
    let running = scene.start().await;
    let place = scene.place("Ropes").await;
    running.outbox.typing(place, Duration::from_secs(600));
    let calls = scene.calls_come("sendChatAction", 5).await;
    assert!(
        calls[4].at_ms - calls[0].at_ms >= 20_000,
        "every five seconds: {calls:?}"
    );
    running.post(place, "a", "an answer", Priority::Answer).await;
    scene.sees(place, "an answer").await;
    running.outbox.typing(place, Duration::ZERO);
    let calls = scene.calls(Some("sendChatAction")).await;
    assert_eq!(calls.len(), 5, "a quarter of the budget is used up");
    assert!(
        calls
            .iter()
            .all(|call| call.params["message_thread_id"] == place.thread.unwrap())
    );
}

#[tokio::test]
async fn topics_take_turns_however_much_one_of_them_has_to_say() {
    let scene = Scene::new().await;
    let (chatty, quiet) = (scene.place("Chatty").await, scene.place("Quiet").await);
    let running = scene.start().await;
    for number in 0..30 {
        running
            .post(
                chatty,
                &format!("chatty/{number}"),
                &format!("chatty {number}"),
                Priority::Answer,
            )
            .await;
    }
    scene.sees(chatty, "chatty 0").await;
    running.post(quiet, "quiet", "at last", Priority::Answer).await;
    scene.sees(quiet, "at last").await;
    let calls = scene.calls(None).await;
    let before = calls.iter().position(|call| call.params["text"] == "at last").unwrap();
    let placed = calls
        .iter()
        .position(|call| call.params["message_thread_id"] == quiet.thread.unwrap())
        .unwrap();
    assert!(
        before - placed <= 2,
        "its placeholder and its text have every other turn: {calls:#?}"
    );
}

#[tokio::test]
async fn a_bot_that_is_started_again_and_again_brings_no_refusal_on_itself() {
    let scene = Scene::new().await;
    let places = [scene.place("A").await, scene.place("B").await, scene.place("C").await];
    for _ in 0..2 {
        let fault = Fault::on("editMessageText", Kind::LostReply);
        scene.people.fault(&fault).await.unwrap();
    }
    let mut number = 0;
    for life in 0..5 {
        let running = scene.start().await;
        for _ in 0..8 {
            let place = places[number % places.len()];
            let message = scene.say(place, "?").await;
            running.outbox.react(place, message, Some("👀"));
            running
                .post(
                    place,
                    &format!("answer/{number}"),
                    &format!("answer {number}."),
                    Priority::Answer,
                )
                .await;
            number += 1;
        }
        scene.calls_come("editMessageText", 2 + life * 4).await;
        running.end().await;
    }
    let running = scene.start().await;
    for answer in 0..number {
        scene
            .sees(places[answer % places.len()], &format!("answer {answer}."))
            .await;
    }
    running.end().await;
    let calls = scene.calls(None).await;
    let refused = calls.iter().filter(|call| call.code == 429).collect::<Vec<_>>();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(calls.len() > 80, "the budget was used: {}", calls.len());
}

#[tokio::test]
async fn what_telegram_asks_to_wait_is_waited_for_by_the_next_life_too() {
    let scene = Scene::new().await;
    let place = scene.place("Ropes").await;
    let running = scene.start().await;
    let asked = Fault::on("sendMessage", Kind::TooManyRequests { retry_after: 30 });
    let asked = scene.people.fault(&asked).await.unwrap();
    running.post(place, "a", "an answer", Priority::Answer).await;
    scene.people.fault_hit(asked, PATIENCE).await.unwrap();
    // The refusal must be known to the bot before it ends.
    let told = async {
        while running.store.spent(scene.forum, 0).await.unwrap().refused.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    running.end().await;
    let _running = scene.start().await;
    scene.sees(place, "an answer").await;
    let calls = scene.calls(Some("sendMessage")).await;
    assert_eq!(calls.len(), 2);
    let waited = calls[1].at_ms - calls[0].at_ms;
    assert!(waited >= 30_000, "{waited}");
}

#[tokio::test]
async fn troubles_of_telegrams_servers_hold_a_chat_up_for_no_longer_than_a_second() {
    let scene = Scene::new().await;
    scene.people.set_limits(&Limits::none()).await.unwrap();
    let place = scene.place("Ropes").await;
    let running = scene.start().await;
    let description = "Bad Gateway".to_owned();
    let fault = Fault::on("editMessageText", Kind::Status { code: 502, description });
    scene.people.fault(&fault).await.unwrap();
    running.post(place, "a", "an answer", Priority::Answer).await;
    scene.sees(place, "an answer").await;
    let calls = scene.calls(Some("editMessageText")).await;
    let pause = calls[1].at_ms - calls[0].at_ms;
    assert!((1_000..200_000).contains(&pause), "{pause}");
}

impl Scene {
    fn private(&self) -> Place {
        Place {
            chat: self.ada,
            thread: None,
        }
    }

    async fn drafts(&self) -> Vec<String> {
        let seen = self.people.conversation(self.ada, &Default::default()).await.unwrap();
        seen.drafts.into_iter().map(|draft| draft.text).collect()
    }
}

#[tokio::test]
async fn progress_in_a_private_chat_is_a_draft_and_the_answer_one_message() {
    let scene = Scene::new().await;
    let running = scene.start().await;
    let place = scene.private();
    let key = || "answer".to_owned();
    let post = running
        .store
        .post(key(), place, None, None, Priority::Placeholder)
        .await
        .unwrap();
    running.outbox.wake(place.chat);
    scene.calls_come("sendMessageDraft", 1).await;
    running.outbox.progress(place, post, Content::plain("It is 4"));
    let calls = scene.calls_come("sendMessageDraft", 3).await;
    assert_eq!(calls[1].params["text"], "It is 4");
    assert_eq!(
        calls[2].params, calls[1].params,
        "a draft that would fade is sent again"
    );
    assert!(calls[2].at_ms - calls[1].at_ms > 20_000 && calls[2].at_ms - calls[1].at_ms < 30_000);
    assert_eq!(scene.drafts().await, ["It is 4"]);
    running.post(place, "answer", "It is 42.", Priority::Answer).await;
    scene.sees(place, "It is 42.").await;
    assert_eq!(scene.drafts().await, [""; 0]);
    let shown = scene.people.messages(place.chat, None).await.unwrap();
    let said = shown
        .iter()
        .filter(|shown| shown.from_bot)
        .map(|shown| shown.text.as_str());
    assert_eq!(said.collect::<Vec<_>>(), ["It is 42."]);
}

#[tokio::test]
async fn where_drafts_are_refused_a_placeholder_is_edited() {
    let scene = Scene::new().await;
    let description = "Not Found: method not found".to_owned();
    let refusal = Kind::Status { code: 404, description };
    scene
        .people
        .fault(&Fault::on("sendMessageDraft", refusal))
        .await
        .unwrap();
    let running = scene.start().await;
    let place = scene.private();
    let post = running
        .store
        .post("a".into(), place, None, None, Priority::Placeholder)
        .await
        .unwrap();
    running.outbox.progress(place, post, Content::plain("It is 4"));
    scene.sees(place, "It is 4").await;
    running.post(place, "a", "It is 42.", Priority::Answer).await;
    running.post(place, "b", "And more.", Priority::Answer).await;
    scene.sees(place, "And more.").await;
    assert_eq!(
        scene.calls(Some("sendMessageDraft")).await.len(),
        1,
        "the refusal is remembered"
    );
    assert_eq!(scene.calls(Some("sendMessage")).await.len(), 2);
}

#[tokio::test]
async fn a_bot_that_stops_gives_a_file_a_moment_to_arrive() {
    let scene = Scene::new().await;
    let place = scene.place("Files").await;
    let slow = Fault::on("sendDocument", Kind::DelayMs(700));
    let slow = scene.people.fault(&slow).await.unwrap();
    let running = scene.start().await;
    let file = crate::store::posts::Upload {
        name: "log.txt".to_owned(),
        body: crate::store::posts::Body::Text("log".to_owned()),
    };
    let content = Content::bringing(crate::render::Rich::plain("the log"), file).pop();
    let post = running
        .store
        .post("file".to_owned(), place, None, content, Priority::Answer);
    post.await.unwrap();
    running.outbox.wake(place.chat);
    scene.people.fault_hit(slow, PATIENCE).await.unwrap();
    running.end().await;
    let again = scene.start().await;
    again.post(place, "later", "that was it", Priority::Answer).await;
    scene.sees(place, "that was it").await;
    assert_eq!(scene.calls(Some("sendDocument")).await.len(), 1);
    again.end().await;
}
