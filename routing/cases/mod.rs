//! The table of decisions: (message, situation, policies) -> decision, as data. Read by tests of several crates, each of which
//! includes this file.

use std::path::{Path, PathBuf};

use longshore_routing::{
    ActiveSession, Explanation, Guest, Message, Mode, PolicySource, Router, Settings, Situation, TopicState,
};
use serde::Deserialize;
use serde_json::Value;

/// A file of the table: cases that share their policies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Table {
    /// What the cases are about.
    pub about: String,
    /// The bot's own list of users.
    #[serde(default)]
    pub allowed_users: Vec<i64>,
    /// Policies, whole manifests.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Case {
    /// What was written; absent with `attachment`.
    #[serde(default)]
    pub text: Option<String>,
    /// What is attached, as people call it.
    #[serde(default)]
    pub attachment: Option<String>,
    /// Whether a file comes with it that can be handed on.
    #[serde(default)]
    pub file: bool,
    /// Who wrote it.
    pub user: i64,
    /// Where; chat -100 unless it is said.
    #[serde(default = "chat")]
    pub chat: i64,
    /// Forum topic.
    #[serde(default)]
    pub thread: Option<i64>,
    /// When.
    #[serde(default = "noon")]
    pub at: jiff::Timestamp,
    /// State of the active session: `awake`, `asleep` or `asking`.
    #[serde(default)]
    pub session: Option<SessionState>,
    /// Whether a task of the place is not finished.
    #[serde(default)]
    pub task: bool,
    /// The user who has let the writer in by a button.
    #[serde(default)]
    pub let_in_by: Option<i64>,
    /// Whether the place has no Topic and the bot may make none.
    #[serde(default)]
    pub no_topic: bool,
    /// What must come out.
    pub expect: Expected,
}

/// State of the active session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionState {
    Awake,
    Asleep,
    Asking,
}

/// What must come out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Expected {
    /// `ignore`, `offer`, `reply`, `status`, `task`, `startSession`, `toSession`, `wakeSession`, `endSession`, `stop`, `answer`,
    /// `usage`, `history`, `setting`.
    pub mode: String,
    /// A piece of the decision in words.
    #[serde(default)]
    pub does: Option<String>,
    /// What happens when the agent of a task asks for a session: `Start`, `Ask`, either with `/class`, or `Never`.
    #[serde(default)]
    pub escalation: Option<String>,
    /// Whether a task only reads the workspace.
    #[serde(default)]
    pub read_only: bool,
    /// What claude is given.
    #[serde(default)]
    pub text: Option<String>,
    /// A piece of what the bot says.
    #[serde(default)]
    pub says: Option<String>,
    /// AgentClass.
    #[serde(default)]
    pub agent_class: Option<String>,
    /// `policy/rule`; none when no rule decides.
    #[serde(default)]
    pub rule: Option<String>,
    /// A piece of the reason.
    #[serde(default)]
    pub because: Option<String>,
    /// `step: why` of steps that must be told as passed; `why` may be a piece of it.
    #[serde(default)]
    pub passed: Vec<String>,
    /// `policy/rule` of all later rules that would have matched.
    #[serde(default)]
    pub also: Option<Vec<String>>,
}

fn chat() -> i64 {
    -100
}

/// Monday.
fn noon() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_435_200).expect("it is a time")
}

fn folder() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("routing/cases"));
    folders
        .find(|folder| folder.is_dir())
        .expect("the crate stands in the workspace")
}

/// All files of the table with their names.
pub fn tables() -> Vec<(PathBuf, Table)> {
    let files = std::fs::read_dir(folder()).expect("the folder of the cases is there");
    let mut paths = files
        .map(|file| file.expect("it can be listed").path())
        .collect::<Vec<_>>();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let table = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, table)
    };
    paths.into_iter().map(read).collect()
}

/// The bot's own settings in all cases.
pub fn settings(table: &Table) -> Settings {
    Settings {
        allowed_users: table.allowed_users.clone(),
        bot_username: "longshore_bot".to_owned(),
        done_words: vec!["done".to_owned()],
    }
}

impl Table {
    pub fn router(&self) -> Router {
        let sources = self.policies.iter().map(|manifest| PolicySource {
            name: manifest["metadata"]["name"]
                .as_str()
                .expect("policies have names")
                .to_owned(),
            spec: manifest["spec"].clone(),
        });
        Router::compile(settings(self), &sources.collect::<Vec<_>>())
    }
}

impl Case {
    pub fn situation(&self) -> Situation {
        Situation {
            topic: match self.no_topic {
                true => TopicState::Missing,
                false => TopicState::Bound("build".to_owned()),
            },
            session: self.session.map(|state| ActiveSession {
                name: "build-7".to_owned(),
                question: (state == SessionState::Asking).then_some(0),
                word: None,
                asleep: state == SessionState::Asleep,
            }),
            task: self.task.then(|| "build-6".to_owned()),
            guest: self.let_in_by.map(|by| Guest {
                user: self.user,
                chat: self.chat,
                by,
            }),
        }
    }

    pub fn explanation(&self, router: &Router) -> Explanation {
        let content = match (&self.text, &self.attachment) {
            (Some(text), None) => Ok(text.as_str()),
            (None, Some(kind)) => Err(kind.as_str()),
            other => panic!("a case has a text or an attachment: {other:?}"),
        };
        let message = Message {
            user: self.user,
            chat: self.chat,
            thread: self.thread,
            content,
            file: self.file,
        };
        router.decide(&self.situation(), &message, self.at)
    }
}

impl Expected {
    /// What is not as it must be.
    pub fn differs(&self, found: &Explanation) -> Option<String> {
        let mode = serde_json::to_value(&found.decision.mode).expect("a mode is plain data");
        let tag = mode["mode"].as_str().unwrap_or_default();
        let said = |field: &str| mode.get(field).and_then(Value::as_str).map(str::to_owned);
        let (says, text) = match &found.decision.mode {
            Mode::Reply { text } => (Some(text.clone()), None),
            _ => (None, said("prompt").or_else(|| said("text"))),
        };
        let name = |rule: &longshore_routing::RuleName| format!("{}/{}", rule.policy, rule.rule);
        let rule = found.rule.as_ref().map(name);
        let also = found.also.iter().map(name).collect::<Vec<_>>();
        let has = |whole: &Option<String>, piece: &Option<String>| match piece {
            Some(piece) => whole.as_ref().is_some_and(|whole| whole.contains(piece)),
            None => true,
        };
        let escalation = match &found.decision.mode {
            Mode::Task {
                escalation: Some(asks), ..
            } => match &asks.agent_class {
                Some(class) => format!("{:?}/{class}", asks.mode),
                None => format!("{:?}", asks.mode),
            },
            _ => "Never".to_owned(),
        };
        let read_only = matches!(found.decision.mode, Mode::Task { read_only: true, .. });
        let reason = Some(found.decision.reason.clone());
        let missing = self.passed.iter().find(|expected| {
            let (step, why) = expected.split_once(": ").expect("step: why");
            !found
                .passed
                .iter()
                .any(|passed| passed.step == step && passed.why.contains(why))
        });
        if tag != self.mode {
            Some(format!("mode {tag}"))
        } else if (self.text.is_some() || tag == "startSession") && text != self.text {
            Some(format!("text {text:?}"))
        } else if !has(&says, &self.says) {
            Some(format!("it says {says:?}"))
        } else if !has(&Some(found.decision.mode.in_words()), &self.does) {
            Some(format!("it is {}", found.decision.mode.in_words()))
        } else if said("agentClass") != self.agent_class {
            Some(format!("class {:?}", said("agentClass")))
        } else if self.escalation.as_ref().is_some_and(|expected| *expected != escalation) {
            Some(format!("escalation {escalation}"))
        } else if read_only != self.read_only {
            Some(format!("readOnly {read_only}"))
        } else if rule != self.rule {
            Some(format!("rule {rule:?}"))
        } else if !has(&reason, &self.because) {
            Some("the reason".to_owned())
        } else if self.also.as_ref().is_some_and(|expected| *expected != also) {
            Some(format!("also {also:?}"))
        } else {
            missing.map(|expected| format!("{expected:?} is not among what passed"))
        }
    }
}
