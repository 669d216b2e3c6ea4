//! Groups that become supergroups: the conversation goes on under the new id, whatever tells of it and whenever.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::control::view::Shown;
use longshore_telegram_emulator::control::{NewChat, Upgrade};
use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_telegram_emulator::world::ChatKind;
use longshore_wire::MessageId;
use serde_json::{Value, json};
use support::runner::Runner;
use support::{PATIENCE, Stage};

/// A group with a session, and the supergroup that it becomes.
struct Crew {
    stage: Stage,
    group: i64,
    supergroup: i64,
    session: String,
    runner: Runner,
    first: i64,
}

impl Crew {
    async fn gather() -> Self {
        let stage = Stage::play().await;
        let chat = |kind| NewChat {
            id: None,
            kind,
            title: "Crew".to_owned(),
            creator: Some(stage.ada),
        };
        let group = stage.people.add_chat(&chat(ChatKind::Group)).await.unwrap().id;
        let supergroup = stage.people.add_chat(&chat(ChatKind::Supergroup)).await.unwrap().id;
        let first = stage
            .people
            .say(group, None, stage.ada, "/deep fix the build")
            .await
            .unwrap();
        let topic = longshore_crds::names::telegram_topic(group, None);
        let session = longshore_crds::names::for_message(&topic, first);
        let (runner, endpoint) = Runner::start().await;
        stage.ready(&session, &runner, &endpoint).await;
        Self {
            stage,
            group,
            supergroup,
            session,
            runner,
            first,
        }
    }

    fn service(&self, chat: i64, field: &str, value: i64) -> Value {
        json!({"message": {
            "message_id": 800_000, "date": 1, "chat": {"id": chat, "type": "supergroup", "title": "Crew"},
            "from": {"id": self.stage.ada, "first_name": "Ada"}, field: value,
        }})
    }

    async fn upgrade(&self) {
        let to = self.service(self.group, "migrate_to_chat_id", self.supergroup);
        let from = self.service(self.supergroup, "migrate_from_chat_id", self.group);
        self.stage.people.inject(&to).await.unwrap();
        self.stage.people.inject(&from).await.unwrap();
        // All members of the group that is no more leave it.
        let left = json!({"my_chat_member": {"chat": {"id": self.group, "type": "group"}, "date": 1,
            "from": {"id": self.stage.ada, "first_name": "Ada"}, "new_chat_member": {"status": "left"}}});
        self.stage.people.inject(&left).await.unwrap();
    }

    /// The Topic says where its chat is now.
    async fn moved(&self) {
        let name = longshore_crds::names::telegram_topic(self.group, None);
        let here = |topic: &Value| topic["status"]["telegram"]["chatId"] == self.supergroup;
        let topic = self.stage.api.wait("topics", &name, here).await;
        assert_eq!(
            topic["spec"]["telegram"]["chatId"], self.group,
            "the spec belongs to its author"
        );
        assert_eq!(self.stage.api.names("topics"), [name]);
    }

    async fn sees(&self, text: &str) -> Shown {
        let seen = self
            .stage
            .people
            .wait_for(self.supergroup, None, 0, text, PATIENCE)
            .await;
        seen.unwrap_or_else(|error| panic!("nobody sees {text:?}: {error}\n{}", self.stage.log()))
    }
}

#[tokio::test]
async fn an_upgraded_group_keeps_its_topic_its_session_and_what_was_on_its_way() {
    let mut crew = Crew::gather().await;
    crew.upgrade().await;
    crew.moved().await;
    // What was asked in the group is answered in the supergroup, once, also over a crash.
    crew.stage.kill();
    crew.stage.start();
    crew.upgrade().await;
    let first = MessageId::from_telegram(crew.group, crew.first);
    crew.runner.turn(1, &[first], "The build is fixed.");
    crew.sees("The build is fixed.").await;
    let said = crew
        .stage
        .people
        .say(crew.supergroup, None, crew.stage.ada, "thanks")
        .await
        .unwrap();
    let id = MessageId::from_telegram(crew.supergroup, said);
    let posted = |state: &support::runner::Seen| state.posted.iter().any(|posted| posted.id == id);
    crew.runner.wait("the message from the supergroup", posted).await;
    crew.runner.turn(2, &[id], "You are welcome.");
    crew.sees("You are welcome.").await;
    let all = crew.stage.people.messages(crew.supergroup, None).await.unwrap();
    let times = |text: &str| all.iter().filter(|shown| shown.text.contains(text)).count();
    assert_eq!((times("The build is fixed."), times("You are welcome.")), (1, 1));
    assert_eq!(crew.stage.api.names("persistentsessions"), [crew.session.clone()]);
}

#[tokio::test]
async fn a_task_in_an_upgraded_group_has_a_name_that_none_had_before() {
    let crew = Crew::gather().await;
    crew.stage.end(&crew.session);
    let ended = crew
        .stage
        .people
        .wait_for(crew.group, None, 0, "The session has ended.", PATIENCE)
        .await;
    ended.unwrap();
    crew.upgrade().await;
    crew.moved().await;
    let asked = json!({"message": {
        "message_id": crew.first, "date": jiff::Timestamp::now().as_second(), "text": "and under the same number?",
        "chat": {"id": crew.supergroup, "type": "supergroup", "title": "Crew"},
        "from": {"id": crew.stage.ada, "first_name": "Ada"},
    }});
    crew.stage.people.inject(&asked).await.unwrap();
    let topic = longshore_crds::names::telegram_topic(crew.group, None);
    let name = longshore_crds::names::for_message_since_upgrade(&topic, crew.first);
    let task = crew.stage.api.wait("containertasks", &name, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "and under the same number?");
    assert_eq!(task["spec"]["topicRef"]["name"], topic);
    crew.stage.complete(&name, "Under the same number.").await;
    crew.sees("Under the same number.").await;
}

#[tokio::test]
async fn telegrams_refusal_tells_of_the_new_id_as_well() {
    let mut crew = Crew::gather().await;
    // No update comes through: only the refusal tells.
    let trouble = Kind::Status {
        code: 502,
        description: "Bad Gateway".to_owned(),
    };
    let deaf = Fault {
        times: 1_000_000,
        ..Fault::on("getUpdates", trouble)
    };
    let deaf = crew.stage.people.fault(&deaf).await.unwrap();
    let upgrade = Upgrade {
        user: crew.stage.ada,
        forum: false,
    };
    crew.supergroup = crew.stage.people.upgrade(crew.group, &upgrade).await.unwrap().id;
    let first = MessageId::from_telegram(crew.group, crew.first);
    crew.runner.turn(1, &[first], "The build is fixed.");
    crew.sees("The build is fixed.").await;
    crew.moved().await;
    // What is told again later changes nothing.
    crew.stage.people.remove_fault(deaf).await.unwrap();
    let said = crew
        .stage
        .people
        .say(crew.supergroup, None, crew.stage.ada, "thanks")
        .await
        .unwrap();
    let id = MessageId::from_telegram(crew.supergroup, said);
    let posted = |state: &support::runner::Seen| state.posted.iter().any(|posted| posted.id == id);
    crew.runner.wait("the message from the supergroup", posted).await;
    let all = crew.stage.people.messages(crew.supergroup, None).await.unwrap();
    let times = all
        .iter()
        .filter(|shown| shown.text.contains("The build is fixed."))
        .count();
    assert_eq!(times, 1);
}
