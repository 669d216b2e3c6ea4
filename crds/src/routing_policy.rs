//! RoutingPolicy: who may talk to agents, and what becomes of a message.
//!
//! Owns the words in which a policy is written. What they mean together is decided in the crate `longshore-routing`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::TopicTemplate;

/// Commands that the bot keeps for itself; no rule can give them another meaning.
pub const OWN_COMMANDS: [&str; 14] = [
    "start", "help", "deep", "quick", "end", "stop", "status", "new", "model", "mode", "usage", "history", "done",
    "cancel",
];

/// Desired state of a RoutingPolicy.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "RoutingPolicy",
    plural = "routingpolicies",
    shortname = "rp",
    category = "longshore",
    namespaced,
    status = "RoutingPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Who may talk to agents, and whether a message becomes a task, a session, or nothing. All policies of a namespace count together.",
    printcolumn(name = "Order", type_ = "integer", json_path = ".spec.order"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.ruleCount"),
    printcolumn(name = "Resolved", type_ = "integer", json_path = ".status.resolvedCount"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Problem", type_ = "string", json_path = ".status.problem"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("metadata.name: use at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.access) || has(self.rules) || has(self.heuristics) || has(self.whileSessionActive) || has(self.topicTemplates) || has(self.escalation)")
        .message("spec: write access, rules, heuristics, whileSessionActive, topicTemplates or escalation; without any of them this policy says nothing")
)]
pub struct RoutingPolicySpec {
    /// Place of this policy among those of the namespace: lower comes first, and policies with the same number follow each other
    /// by name. Rules are tried in this order, all of one policy before those of the next. Default: 0.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub order: i32,
    /// Who may talk to agents. The lists of all policies count together with the bot's own list of users (chart:
    /// `telegram.allowedUsers`); who is on none of them gets nothing run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What becomes of messages: the first rule that matches decides. Rules come after the bot's own commands, such as `/deep`, and
    /// before the active session. A rule that is broken is skipped and marked in `status.rules`; the others apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.name == a.name))").message("rules: two of them have the same name; give each a name of its own"))]
    pub rules: Vec<RoutingRule>,
    /// When a message that no rule decided about starts a session by itself. Of several policies the first that has this counts.
    /// Without it such a message becomes a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heuristics: Option<Heuristics>,
    /// What becomes of a message that no rule decided about while the topic's session is active. Of several policies the first
    /// that has this counts. Default: ToSession.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_session_active: Option<WhileSessionActive>,
    /// What Topics look like that the bot makes when it first hears of a chat or forum topic (chart: `telegram.createTopics`): the
    /// first template that matches the place counts, after those of earlier policies. A Topic that is there is never changed by
    /// them. A template that is broken is skipped and marked in `status.topicTemplates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.name == a.name))").message("topicTemplates: two of them have the same name; give each a name of its own"))]
    pub topic_templates: Vec<TopicTemplate>,
    /// What happens when the agent of a task finds that the work needs a session. Of several policies the first that has this
    /// counts, for messages that are written from then on. Default: the person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<EscalationPolicy>,
}

/// What happens when the agent of a task asks for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.agentClassName) || self.mode != 'Never'")
        .message("escalation.agentClassName: with mode: Never no session is started; remove it, or take another mode")
)]
pub struct EscalationPolicy {
    /// `Start`: a session takes over by itself. `Ask`: the topic gets a message with a button for everybody who may use the bot
    /// there. `Never`: agents of tasks cannot ask.
    pub mode: EscalationMode,
    /// AgentClass of such sessions. Default: the topic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
}

/// What happens when the agent of a task asks for a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EscalationMode {
    /// A session takes over by itself.
    Start,
    /// People of the topic are asked by a button.
    #[default]
    Ask,
    /// The agent cannot ask.
    Never,
}

/// What becomes of a message beside an active session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhileSessionActive {
    /// It goes to the session.
    #[default]
    ToSession,
    /// It becomes a task that starts when the session has ended or is suspended.
    QueueTask,
    /// It becomes a task that runs at once beside the session, with the workspace read-only (ContainerTask `readOnly`). Beside a
    /// session that sleeps it is a task like any other.
    RunTask,
}

/// Who may talk to agents. Empty lists mean nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.reply) || (has(self.unknownSenders) && self.unknownSenders == 'Reply')")
        .message("access.reply: it is said to unknown senders only with unknownSenders: Reply; add that, or remove reply")
)]
pub struct Access {
    /// People who may, by their Telegram user id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub users: Vec<UserGrant>,
    /// Chats in which everybody may who can write there. Mind who can join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub chats: Vec<ChatGrant>,
    /// What becomes of messages of people who may not: nothing (`Ignore`), an answer (`Reply`), or a question to the approvers of
    /// the chat with a button that lets the person in there (`OfferToApprover`). Of several policies the first that has this
    /// counts. Default: Ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_senders: Option<UnknownSenders>,
    /// What `unknownSenders: Reply` says. `{user}` stands for the id of the person. Default: a sentence with that id, to hand to
    /// the operator of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reply: Option<String>,
}

/// A person who may talk to agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserGrant {
    /// Telegram user id. It is a number; `@name` can change hands.
    #[x_kube(validation = Rule::new("self > 0").message("id: a user id is a positive number; groups belong under access.chats"))]
    pub id: i64,
    /// Who that is, for the readers of this file. Nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub comment: Option<String>,
    /// What the person may do. Default: User.
    #[serde(default)]
    pub role: Role,
    /// Chats to which this is limited. Default: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub chats: Option<Vec<i64>>,
}

/// A chat in which everybody may talk to agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatGrant {
    /// Chat id; negative for groups and supergroups.
    #[x_kube(validation = Rule::new("self != 0").message("id: 0 is no chat; the bot's log shows the ids of chats it hears from"))]
    pub id: i64,
    /// Which chat that is, for the readers of this file. Nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub comment: Option<String>,
    /// What everybody in it may do. Default: User.
    #[serde(default)]
    pub role: Role,
}

/// What somebody may do. Each role includes those before it; of several grants the highest counts.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::AsRefStr,
)]
pub enum Role {
    /// Talk to agents: start tasks and sessions, stop and end them, answer claude's questions.
    #[default]
    User,
    /// Decide about what claude asks permission for.
    Approver,
    /// Not be held up: rules with `Deny` and `Ignore` pass an admin by.
    Admin,
}

/// What becomes of messages of people who may not talk to agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnknownSenders {
    /// Nothing.
    #[default]
    Ignore,
    /// A sentence, to every message. In groups this counts against the 20 messages a minute that Telegram allows.
    Reply,
    /// In groups, approvers are asked by buttons under one message in the chat whether the person may use the bot there, as a
    /// User. The bot keeps that, not this object; it ends by a button, when the approver is none any more, and when no policy in
    /// force says this.
    OfferToApprover,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.action.mode != 'ToActiveSession' || !has(self.match) || !has(self.match.sessionActive) || self.match.sessionActive")
        .message("match.sessionActive: ToActiveSession needs a session; remove sessionActive: false, or take another mode")
)]
pub struct RoutingRule {
    /// Name of the rule, unique in its policy; the bot's log, `explain` and the status tell it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')").message("name: use lower-case letters, digits and '-', starting and ending with a letter or digit"))]
    pub name: String,
    /// What a message must be like. All that is written here must be true at once; without anything every message matches.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<RuleMatch>,
    /// What becomes of it.
    pub action: RuleAction,
}

/// What a message must be like. Of a list one entry must fit; all conditions must be true at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleMatch {
    /// Chat ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub chats: Vec<i64>,
    /// Forum topics (`message_thread_id`); 0 is the General topic, a plain group or a private chat. Ids of threads are unique in
    /// their chat only, so name the chat as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(t, t == 0 || t > 1)").message("threads: write 0 for the General topic, a plain group or a private chat, else the message_thread_id, which is above 1"))]
    pub threads: Vec<i64>,
    /// User ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256))]
    pub users: Vec<i64>,
    /// Roles, each just as it is named: `User` alone leaves out approvers and admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    pub roles: Vec<Role>,
    /// Commands of your own, without `/`: with `review` here, `/review the last commit` matches, and claude is given
    /// `the last commit`. The menu of the bot does not show them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32)))]
    #[x_kube(
        validation = Rule::new("self.all(c, c.matches('^[a-z0-9_]+$'))").message("commands: use lower-case letters, digits and '_', and leave '/' out"),
        validation = Rule::new("self.all(c, !(c in ['start', 'help', 'deep', 'quick', 'end', 'stop', 'status', 'new', 'model', 'mode', 'usage', 'history', 'done', 'cancel']))")
            .message("commands: start, help, deep, quick, end, stop, status, new, model, mode, usage, history, done and cancel are the bot's own and decide before any rule; take another name")
    )]
    pub commands: Vec<String>,
    /// Words or phrases, in any case, that stand in the text as whole words; one is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('\\\\S'))").message("keywords: one is empty; write a word, or remove it"))]
    pub keywords: Vec<String>,
    /// Regular expression in the syntax of Rust's `regex` crate that is found somewhere in the text; `(?i)` ignores case, `^` and
    /// `$` stand for the ends of the text. One that cannot be read marks the rule as `Invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub regex: Option<String>,
    /// Characters that the text must have at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub min_length: Option<i32>,
    /// Whether something is attached: a picture, a file, a voice message, a sticker. Files can be given to a session only, so a rule
    /// about them cannot be one with `Task`; what is no file is not handed on to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_attachment: Option<bool>,
    /// Whether the topic has a session that is not over. One that sleeps is active, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_active: Option<bool>,
    /// When the message must come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_window: Option<TimeWindow>,
}

/// A part of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from != self.to").message("timeWindow: from and to are the same; for whole days write from: \"00:00\" and to: \"24:00\""))]
pub struct TimeWindow {
    /// Time zone by its IANA name, such as `Europe/Berlin`. One that does not exist marks the rule as `Invalid`. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Days on which the window begins. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Weekday>,
    /// First minute, `HH:MM` on the clock of the time zone.
    #[schemars(length(min = 5, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')").message("from: write a time between \"00:00\" and \"23:59\""))]
    pub from: String,
    /// The minute after the last, `HH:MM`; one that is earlier than `from` is on the next day. `24:00` is the end of the day.
    #[schemars(length(min = 5, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$')").message("to: write a time between \"00:00\" and \"24:00\""))]
    pub to: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.agentClassName) || self.mode in ['Task', 'Session']")
        .message("action.agentClassName: only Task and Session start an agent; remove it, or take one of these modes"),
    validation = Rule::new("!has(self.reply) || self.mode == 'Deny'")
        .message("action.reply: only Deny answers with words of yours; remove reply, or take mode: Deny")
)]
pub struct RuleAction {
    /// `Task`: a container of its own answers, after an active session of the topic has ended or sleeps. `Session`: a session is
    /// started, or gets the message when one is active. `ToActiveSession`: the active session gets it; without one the rule does
    /// not match. `Ignore`: nothing, without a word. `Deny`: nothing, and the person is told.
    pub mode: RuleMode,
    /// AgentClass of the task or of a session that is started. A message to a session that is there already does not change its
    /// class. Default: the topic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
    /// What `Deny` says. Default: a sentence with the name of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reply: Option<String>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::AsRefStr)]
pub enum RuleMode {
    /// A container of its own answers.
    Task,
    /// A session is started, or gets the message when one is active.
    Session,
    /// The active session gets it.
    ToActiveSession,
    /// Nothing, without a word.
    Ignore,
    /// Nothing, and the person is told.
    Deny,
}

/// When a message starts a session by itself: what speaks for it is added up, and enough of it decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.keywords) || has(self.length) || has(self.repositoryLinks) || has(self.severalSteps) || has(self.attachments)")
        .message("heuristics: write keywords, length, repositoryLinks, severalSteps or attachments; without any of them no message starts a session")
)]
pub struct Heuristics {
    /// Points from which on a message starts a session. Default: 10.
    #[serde(default = "threshold")]
    #[schemars(range(min = 1, max = 1000))]
    pub threshold: i32,
    /// Words that speak for a session, or against it with a negative weight. Each word counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub keywords: Vec<WeightedWord>,
    /// Points for a long text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<WeightedLength>,
    /// Points when the text links to a Git repository: a page of github.com, gitlab.com, bitbucket.org or codeberg.org with an owner
    /// and a repository, any address that ends in `.git`, or `git@host:path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub repository_links: Option<i32>,
    /// Points when several steps are asked for: a list of at least two lines, or words of order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub several_steps: Option<SeveralSteps>,
    /// Points when a file comes with the message: a document, a picture, a recording. Only a session can be given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub attachments: Option<i32>,
}

fn threshold() -> i32 {
    10
}

/// A word with its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightedWord {
    /// Word or phrase, in any case, that stands in the text as whole words.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('\\\\S')").message("word: it is empty; write a word, or remove the entry"))]
    pub word: String,
    /// Points; negative ones speak against a session.
    #[schemars(range(min = -1000, max = 1000))]
    pub weight: i32,
}

/// Points for a long text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightedLength {
    /// Characters from which on a text is long.
    #[schemars(range(min = 1, max = 65536))]
    pub at_least: i32,
    /// Points.
    #[schemars(range(min = -1000, max = 1000))]
    pub weight: i32,
}

/// Points when several steps are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeveralSteps {
    /// Points.
    #[schemars(range(min = -1000, max = 1000))]
    pub weight: i32,
    /// Words of order, in any case; two in a text ask for several steps. Default: then, next, after that, afterwards, finally.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 64)))]
    pub words: Vec<String>,
}

/// Observed state of a RoutingPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingPolicyStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of rules.
    #[serde(default)]
    pub rule_count: i32,
    /// Number of rules that can decide about a message.
    #[serde(default)]
    pub resolved_count: i32,
    /// The first thing that is not right, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub problem: Option<String>,
    /// What is to be said about each rule, in the order of the rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules_schema")]
    pub rules: Vec<RuleStatus>,
    /// What is to be said about each template of Topics, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules_schema")]
    pub topic_templates: Vec<RuleStatus>,
    /// `Ready`: access is in force and every rule can decide about a message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Schema of `status.rules` and `status.topicTemplates`: a list that its one writer replaces as a whole.
fn rules_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<RuleStatus>();
    json_schema!({
        "type": "array",
        "description": "What is to be said about each of them, in their order.",
        "items": item,
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
    })
}

/// What is to be said about a rule or a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its state.
    pub state: RuleState,
    /// Why, and what to do about it; absent when it is `Resolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// State of a rule or a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::AsRefStr)]
pub enum RuleState {
    /// It can decide about messages, or count for a Topic.
    Resolved,
    /// It never decides: an earlier one matches all that it matches.
    Shadowed,
    /// It never decides, since an earlier rule matches the same messages and does something else with them.
    Conflict,
    /// It decides, but the AgentClass that it names does not exist: what it starts waits for it.
    BrokenReference,
    /// It cannot be read or carried out, so it is skipped.
    Invalid,
}
