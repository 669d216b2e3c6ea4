//! Inputs come true here: people create and change objects and write messages, and trouble begins and ends.
//!
//! The bot of the model keeps every message until a runner has taken it or its session is over, posts it again when the answer
//! is lost, and wakes suspended sessions. It reads the API server live and writes only what the real one writes.

use longshore_crds::meta::{END, WAKE};
use longshore_wire::MessageId;
use longshore_wire::api::{PostMessage, Priority};
use serde_json::{Value, json};
use uuid::Uuid;

use super::kind::Kind;
use super::operator::RunnerRequest;
use super::script::Input;
use super::world::{Event, World};

/// A message that somebody wrote.
pub struct Mail {
    pub id: Uuid,
    pub session: String,
    pub uid: String,
    pub state: MailState,
    tries: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    Waiting,
    /// A runner has it in its journal.
    Accepted,
    /// Its author was told that the session is over.
    Returned,
}

/// Whether somebody wants it back, and the operator has not taken note yet.
pub fn has_wish(session: &Value) -> bool {
    let wish = &session["metadata"]["annotations"][WAKE];
    !wish.is_null() && *wish != session["status"]["observedWake"]
}

fn session_name(topic: usize, number: usize) -> String {
    format!("s{topic}-{number}")
}

fn task_name(topic: usize, number: usize) -> String {
    format!("task-{topic}-{number}")
}

pub fn topic_name(topic: usize) -> String {
    format!("t{topic}")
}

impl World {
    /// What is there before anything happens.
    pub fn found(&mut self) {
        let limit = self.script.limit;
        let limits = self.first_limits();
        let session = json!({
            "idleTimeoutSeconds": limit.idle, "maxDurationSeconds": limit.life, "suspendedTtlSeconds": limit.rest,
            "onIdle": limit.on_idle, "whenFull": limit.when_full,
        });
        let task = json!({ "timeoutSeconds": 300 });
        let class = json!({ "metadata": { "name": "default" }, "spec": { "limits": limits, "session": session, "task": task } });
        self.put(Kind::Class, class);
        for topic in 0..self.script.topics {
            self.create_topic(topic);
        }
        self.server.changes.clear();
    }

    fn create_topic(&mut self, topic: usize) {
        let chat = json!({ "chatId": -1000, "threadId": topic + 2 });
        let spec = json!({ "agentClassName": "default", "telegram": chat });
        let value = json!({ "metadata": { "name": topic_name(topic) }, "spec": spec });
        // Deleted twice, it comes back once.
        let _ = self.server.create(Kind::Topic, value);
    }

    fn put(&mut self, kind: Kind, value: Value) {
        self.server.create(kind, value).expect("what people create is valid");
    }

    pub fn input(&mut self, place: usize) {
        let input = self.input_of(place);
        self.note(|| format!("* {input:?}"));
        match &input {
            Input::BotAway { .. } => {}
            // What is to be said of it is said soon.
            Input::LoseNode { .. } => self.watchdog.disturbed(self.now + 60_000),
            other => self.watchdog.disturbed(self.now + other.lasts()),
        }
        if let Some(name) = input.trouble() {
            *self.troubles.entry(name).or_default() += 1;
        }
        if let Input::ClockStep { by, lasts } = input {
            self.watchdog.clock_is_wrong(self.now + lasts, by);
        }
        match &input {
            Input::CreateSession { topic, number, prompt } => self.create_session(*topic, *number, *prompt),
            Input::CreateTask { topic, number, reads } => {
                let name = task_name(*topic, *number);
                let spec = json!({ "topicRef": { "name": topic_name(*topic) }, "prompt": "do it", "readOnly": reads });
                self.put(Kind::Task, json!({ "metadata": { "name": name }, "spec": spec }));
            }
            Input::Message { topic, number } => self.write_mail(session_name(*topic, *number)),
            Input::Desire { topic, number, state } => self.desire(&session_name(*topic, *number), state),
            Input::EndNote { topic, number } => {
                let note = json!({ "metadata": { "annotations": { END: "asked" } } });
                let _ = self.server.patch(Kind::Session, &session_name(*topic, *number), &note);
            }
            Input::DeleteSession { topic, number } => {
                let _ = self
                    .server
                    .delete(Kind::Session, &session_name(*topic, *number), &Value::Null);
            }
            Input::DeleteTask { topic, number } => {
                let _ = self
                    .server
                    .delete(Kind::Task, &task_name(*topic, *number), &Value::Null);
            }
            Input::SetLimits { sessions, tasks } => self.set_limits(*sessions, *tasks),
            trouble => self.begin(place, trouble),
        }
        self.publish();
    }

    fn create_session(&mut self, topic: usize, number: usize, prompt: bool) {
        let mut spec = json!({ "topicRef": { "name": topic_name(topic) } });
        if prompt {
            spec["prompt"] = "think about it".into();
        }
        self.put(
            Kind::Session,
            json!({ "metadata": { "name": session_name(topic, number) }, "spec": spec }),
        );
    }

    fn begin(&mut self, place: usize, input: &Input) {
        let trouble = &mut self.trouble;
        match *input {
            Input::ApiTrouble { .. } => trouble.api.push(place),
            Input::SlowWatch { kind, lasts } => trouble.watches.push((place, kind, self.now + lasts)),
            Input::LoseNotices { .. } => trouble.notices.push(place),
            Input::BotAway { .. } => trouble.bot.push(place),
            Input::SlowKubelets { .. } => trouble.kubelets.push(place),
            Input::Unreachable { topic, .. } => trouble.network.push((place, topic)),
            Input::ClockStep { by, .. } => trouble.clock.push((place, by)),
            Input::DropWatch { kind, pause } => self.drop_watch(kind, pause),
            Input::SecondLeader { .. } => self.at(self.now, Event::StartOperator),
            Input::KillOperator { down } if !self.operators.is_empty() => {
                let place = self.chance.index(self.operators.len());
                self.kill_operator(place);
                self.later(down, Event::StartOperator);
            }
            Input::DeleteTopic { topic, .. } => {
                let _ = self.server.delete(Kind::Topic, &topic_name(topic), &Value::Null);
            }
            Input::LoseNode { topic, .. } => self.lose_node(place, topic),
            Input::KillProcess { topic } => self.kill_process(topic),
            Input::DeletePod { topic, force } => self.delete_pod(topic, force),
            Input::Evict { topic } => self.evict(topic),
            _ => {}
        }
        if input.lasts() > 0 {
            self.later(input.lasts(), Event::Over(place));
        }
    }

    /// The end of what lasts.
    pub fn over(&mut self, place: usize) {
        let trouble = &mut self.trouble;
        trouble.api.retain(|one| *one != place);
        trouble.notices.retain(|one| *one != place);
        trouble.bot.retain(|one| *one != place);
        trouble.kubelets.retain(|one| *one != place);
        trouble.watches.retain(|(one, ..)| *one != place);
        trouble.network.retain(|(one, _)| *one != place);
        trouble.clock.retain(|(one, _)| *one != place);
        let input = self.input_of(place);
        self.note(|| format!("* over: {input:?}"));
        if matches!(input, Input::BotAway { .. }) && self.trouble.bot.is_empty() {
            self.bot_returns();
        }
        match input {
            Input::LoseNode { back, .. } => self.end_silence(place, back),
            Input::DeleteTopic { topic, .. } => self.create_topic(topic),
            _ => {}
        }
        if matches!(input, Input::SecondLeader { .. }) && self.operators.len() > 1 {
            // The old leader finds out that it leads no more.
            self.kill_operator(0);
        }
    }

    fn desire(&mut self, name: &str, state: &str) {
        let session = self.server.get(Kind::Session, name);
        // Admission refuses to take an end back.
        if session.is_some_and(|found| found.value["spec"]["desiredState"] != "Ended") {
            let patch = json!({ "spec": { "desiredState": state } });
            let _ = self.server.patch(Kind::Session, name, &patch);
        }
    }

    fn write_mail(&mut self, name: String) {
        let Some(session) = self.server.get(Kind::Session, &name) else {
            return;
        };
        let uid = session.uid.clone();
        let id = Uuid::from_u128(0xABCD_0000 + u128::from(self.number()));
        self.mail.push(Mail {
            id,
            session: name,
            uid,
            state: MailState::Waiting,
            tries: 0,
        });
        self.later(50, Event::Mail(self.mail.len() - 1));
    }

    pub fn deliver_mail(&mut self, place: usize) {
        let mail = &mut self.mail[place];
        if mail.state != MailState::Waiting {
            return;
        }
        if !self.trouble.bot.is_empty() {
            self.later(5_000, Event::Mail(place));
            return;
        }
        mail.tries += 1;
        let again = (mail.tries * 500).min(10_000);
        let (id, name, uid) = (mail.id, mail.session.clone(), mail.uid.clone());
        let wish = format!("{id}-{}", mail.tries);
        let session = self
            .server
            .get(Kind::Session, &name)
            .filter(|found| found.uid == uid)
            .cloned();
        let Some(session) = session.filter(|found| !found.holds("Ended")) else {
            self.mail[place].state = MailState::Returned;
            return;
        };
        let endpoint = session.value["status"]["endpoint"].as_str().map(str::to_owned);
        if let Some(endpoint) = endpoint.filter(|_| session.holds("Ready")) {
            let message = PostMessage {
                id: MessageId(id),
                text: "hello".to_owned(),
                attachments: Vec::new(),
                author: None,
                context: None,
                priority: Priority::default(),
            };
            let request = RunnerRequest {
                endpoint,
                route: "POST /v1/messages".to_owned(),
                body: serde_json::to_vec(&message).unwrap(),
            };
            let open = self.is_open_to_bot(&request.endpoint);
            let accepted = open && self.post(&request).is_some_and(|answer| answer.status() == 202);
            // The answer may be lost, and then the message is posted again.
            if accepted && !self.chance.percent(20) {
                self.mail[place].state = MailState::Accepted;
                return;
            }
        } else if session.holds("Suspended") && !has_wish(&session.value) {
            let note = json!({ "metadata": { "annotations": { WAKE: wish } } });
            let _ = self.server.patch(Kind::Session, &name, &note);
        }
        self.later(again, Event::Mail(place));
    }
}
