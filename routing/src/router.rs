//! The router: policies merged into one, and the steps of a decision.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_crds::{Role, RuleMode, WhileSessionActive};

use crate::access::{AccessList, Standing, ToUnknown};
use crate::command;
use crate::decision::{Decision, Explanation, Mode, Passed, RuleName, reply};
use crate::escalation::Wishes;
use crate::guest::{Guest, Welcome};
use crate::heuristics::Scoring;
use crate::place::{ActiveSession, BesideSession, Message, Situation, TopicState};
use crate::read::{self, Policy, PolicySource, ReadRule};
use crate::rule::Seen;
use crate::template::NewTopic;
use crate::text::folded;
use crate::words;

/// Longest text that is handed on, in characters: the limit of a prompt in the API.
pub const MAX_PROMPT_CHARS: usize = 65_536;

/// What routing goes by that does not change while the bot runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Users who may use the bot whatever policies say, as approvers.
    pub allowed_users: Vec<i64>,
    /// The bot's own name without `@`; commands for another bot are not ours.
    pub bot_username: String,
    /// Messages that end the session when they stand alone, in lower case.
    pub done_words: Vec<String>,
}

/// All RoutingPolicies of a namespace together. Without any, everybody on the bot's own list gets a task for everything plain.
#[derive(Clone, Debug)]
pub struct Router {
    settings: Settings,
    /// In the order in which they count: by `order`, then by name.
    pub(crate) policies: Vec<Policy>,
    access: AccessList,
    heuristics: Option<Scoring>,
    beside: Option<BesideSession>,
    wishes: Wishes,
}

impl Router {
    /// Reads policies and puts them in order. Never fails; [`Router::findings`] tells what could not be used.
    pub fn compile(settings: Settings, sources: &[PolicySource]) -> Self {
        let mut policies = sources.iter().map(read::policy).collect::<Vec<_>>();
        policies.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        let heuristics = policies
            .iter()
            .find_map(|policy| Some(Scoring::new(&policy.name, policy.heuristics.as_ref()?)));
        let beside = policies
            .iter()
            .find_map(|policy| Some((policy.while_session_active?, policy.name.clone())));
        Self {
            wishes: Wishes::new(&policies),
            access: AccessList::compile(&settings.allowed_users, &policies),
            settings,
            policies,
            heuristics,
            beside,
        }
    }

    /// What somebody may do in a chat by the policies and the bot's own list, and who says so; none when nothing.
    pub fn standing(&self, user: i64, chat: i64) -> Option<&Standing> {
        self.access.standing(user, chat)
    }

    /// The same, also for somebody who was let in by a button.
    pub fn standing_with(&self, user: i64, chat: i64, guest: Option<&Guest>) -> Option<Standing> {
        let by_policy = self.access.standing(user, chat).cloned();
        by_policy.or_else(|| {
            let guest = guest.filter(|guest| (guest.user, guest.chat) == (user, chat))?;
            let counts = self.access.guest_is_void(guest).is_none();
            counts.then(|| Standing {
                role: Role::User,
                source: format!("a button that user {} has pressed", guest.by),
            })
        })
    }

    /// What it is worth that somebody was let in by a button. What does not count now must not count later, so it is not kept.
    pub fn welcome(&self, guest: &Guest) -> Welcome {
        match self.access.guest_is_void(guest) {
            Some(why) => Welcome::Void(why),
            None if self.access.standing(guest.user, guest.chat).is_some() => Welcome::ByPolicy,
            None => Welcome::Counts,
        }
    }

    /// Whether approvers may be asked now to let somebody in.
    pub fn offers(&self, user: i64, chat: i64) -> bool {
        matches!(self.access.to_unknown(user), ToUnknown::Offer(_)) && self.access.no_offer(user, chat).is_none()
    }

    /// Whether there is anybody who may do anything.
    pub fn lets_anybody_in(&self) -> bool {
        self.access.lets_anybody_in()
    }

    pub(crate) fn access_names(&self, chat: i64) -> bool {
        self.access.names(chat)
    }

    /// Places of all rules, in the order in which they are tried.
    pub(crate) fn order(&self) -> impl Iterator<Item = (usize, usize)> {
        let policies = self.policies.iter().enumerate();
        policies.flat_map(|(at, policy)| (0..policy.rules.len()).map(move |rule| (at, rule)))
    }

    /// Commands of the policies, each once, in the order of their names.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let rules = self.policies.iter().flat_map(|policy| &policy.rules);
        let read = rules.filter_map(|rule| rule.read.as_ref().ok());
        let names = read.flat_map(|rule| rule.conditions.commands.iter().map(String::as_str));
        names.collect::<BTreeSet<_>>().into_iter()
    }

    fn has_command(&self, name: &str) -> bool {
        self.commands().any(|known| known == name)
    }

    /// Decides what becomes of a message.
    pub fn decide(&self, situation: &Situation, message: &Message<'_>, now: Timestamp) -> Explanation {
        let mut way = Way {
            router: self,
            situation,
            message,
            now,
            rule: None,
            passed: Vec::new(),
            also: Vec::new(),
        };
        let decision = way.decide();
        let escalation =
            matches!(decision.mode, Mode::Task { .. }).then(|| self.wishes.of_task(situation.session.as_ref()).1);
        Explanation {
            new_topic: self.new_topic(&decision.mode, situation, message),
            escalation,
            decision,
            rule: way.rule,
            passed: way.passed,
            also: way.also,
        }
    }

    fn new_topic(&self, mode: &Mode, situation: &Situation, message: &Message<'_>) -> Option<NewTopic> {
        match (mode, &situation.topic) {
            (Mode::Task { .. } | Mode::StartSession { .. }, TopicState::Creatable(name)) => Some(NewTopic {
                name: name.clone(),
                template: self.topic_template(message.chat, message.thread).map(|(name, _)| name),
            }),
            _ => None,
        }
    }
}

/// The way of one message through the steps.
pub(crate) struct Way<'a> {
    pub(crate) router: &'a Router,
    pub(crate) situation: &'a Situation,
    message: &'a Message<'a>,
    now: Timestamp,
    rule: Option<RuleName>,
    passed: Vec<Passed>,
    also: Vec<RuleName>,
}

impl<'a> Way<'a> {
    fn pass(&mut self, step: impl Into<String>, why: impl Into<String>) {
        self.passed.push(Passed {
            step: step.into(),
            why: why.into(),
        });
    }

    fn decide(&mut self) -> Decision {
        let text = self.message.content.map(str::trim);
        let parsed = command::parse(text.unwrap_or_default(), &self.router.settings.bot_username);
        if parsed == command::Parsed::ForAnother {
            return Mode::Ignore.because("the command is for another bot");
        }
        let role = match self.access() {
            Ok(role) => role,
            Err(decision) => return decision,
        };
        let text = match text {
            Ok("") if !self.message.file => return reply(words::EMPTY, "the message is empty"),
            Ok(text) => text,
            Err(kind) => return self.unsupported(kind, role),
        };
        if text.chars().count() > MAX_PROMPT_CHARS {
            let why = format!("the message is longer than {MAX_PROMPT_CHARS} characters");
            return reply(words::TOO_LONG, why);
        }
        let (command, text) = match parsed {
            command::Parsed::Command(command, rest) => return self.command(command, rest, role),
            command::Parsed::Unknown(name, rest) => {
                let lower = name.to_ascii_lowercase();
                if !self.router.has_command(&lower) {
                    return self.unknown_command(&lower, format!("there is no command /{lower}"));
                }
                self.pass("command", format!("/{lower} is a command of a policy"));
                (Some(lower), rest)
            }
            command::Parsed::Text | command::Parsed::ForAnother if self.message.file => {
                self.pass(
                    "command",
                    "what comes with a file is no command, and answers no question",
                );
                (None, text)
            }
            command::Parsed::Text | command::Parsed::ForAnother => {
                if let Some(decision) = self.answer(text).or_else(|| self.done(text)) {
                    return decision;
                }
                self.pass("command", "the message begins with no command");
                (None, text)
            }
        };
        let seen = self.see(command, text, role);
        if let Some((name, rule, why)) = self.first_rule(&seen) {
            return self.by_rule(&name, rule, &why, &seen);
        }
        if let Some(command) = &seen.command {
            let why = format!("no rule that has /{command} matches here");
            return self.unknown_command(command, why);
        }
        self.beside_session(&seen).unwrap_or_else(|| self.plain(&seen))
    }

    fn see(&self, command: Option<String>, text: &'a str, role: Role) -> Seen<'a> {
        Seen {
            message: self.message,
            role,
            command,
            text,
            folded: folded(text),
            situation: self.situation,
            now: self.now,
        }
    }

    fn access(&mut self) -> Result<Role, Decision> {
        let (user, chat) = (self.message.user, self.message.chat);
        let guest = self.situation.guest.as_ref();
        let Some(standing) = self.router.standing_with(user, chat, guest) else {
            return Err(self.unknown_sender());
        };
        let role = standing.role;
        self.pass(
            "access",
            format!("user {user} is {} by {}", role.as_ref(), standing.source),
        );
        Ok(role)
    }

    fn unknown_sender(&self) -> Decision {
        let (user, chat) = (self.message.user, self.message.chat);
        let access = &self.router.access;
        let void = self
            .situation
            .guest
            .as_ref()
            .and_then(|guest| access.guest_is_void(guest));
        let void = void.map(|void| format!(", and that somebody had let them in by a button is void, since {void}"));
        let why = format!(
            "nothing lets user {user} use the bot in chat {chat}{}",
            void.unwrap_or_default()
        );
        let policy = match access.to_unknown(user) {
            ToUnknown::Silence => return Mode::Ignore.because(why),
            ToUnknown::Words(text) => return reply(text, why),
            ToUnknown::Offer(policy) => policy,
        };
        let offer = format!("policy {policy} has unknownSenders: OfferToApprover");
        match access.no_offer(user, chat).or_else(|| self.not_worth_asking()) {
            Some(not) => Mode::Ignore.because(format!("{why}; {offer}, but {not}")),
            None => Mode::Offer.because(format!("{why}; {offer}")),
        }
    }

    /// Why a message of a stranger is none to ask approvers about.
    fn not_worth_asking(&self) -> Option<&'static str> {
        match (self.message.content.map(str::trim), &self.situation.topic) {
            (Err(_) | Ok(""), _) => Some("the message has no text that could be handed on"),
            (_, TopicState::Missing) => Some("no Topic is bound to this chat, and the bot may not make one"),
            _ => None,
        }
    }

    /// Nothing of it can be handed on; rules may still say that it is not to be answered, or how.
    fn unsupported(&mut self, kind: &str, role: Role) -> Decision {
        let seen = self.see(None, "", role);
        let cannot = |why: String| reply(words::unsupported(kind), why);
        match self.first_rule(&seen) {
            Some((name, rule, why)) if matches!(rule.mode, RuleMode::Deny | RuleMode::Ignore) => {
                self.by_rule(&name, rule, &why, &seen)
            }
            Some((name, ..)) => cannot(format!("{name} matches, but {kind} cannot be handed on")),
            None => cannot(format!("{kind} cannot be handed on")),
        }
    }

    fn answer(&mut self, text: &str) -> Option<Decision> {
        let session = self.situation.session.as_ref();
        let text = text.to_owned();
        if let Some(question) = session.and_then(|session| session.word) {
            let why = "the writer has pressed a button to deny a prompt and say why";
            return Some(Mode::Answer { question, text }.because(why));
        }
        let Some(question) = session.and_then(|session| session.question) else {
            self.pass("question", "no question waits for an answer");
            return None;
        };
        Some(Mode::Answer { question, text }.because("claude waits for an answer to its question"))
    }

    fn done(&self, text: &str) -> Option<Decision> {
        let session = self.situation.session.as_ref()?;
        let word = text.trim_end_matches(['.', '!']).trim().to_lowercase();
        self.router.settings.done_words.contains(&word).then(|| {
            let session = session.name.clone();
            let written = Some(text.trim().to_owned());
            Mode::EndSession { session, word: written }.because(format!("“{word}” alone ends the active session"))
        })
    }

    /// The first rule that matches, after noting why those before it did not, and which of those after it would have.
    fn first_rule(&mut self, seen: &Seen<'_>) -> Option<(RuleName, &'a ReadRule, String)> {
        let router = self.router;
        let mut found = None;
        for (policy, rule) in router.order() {
            let policy = &router.policies[policy];
            let rule = &policy.rules[rule];
            let name = RuleName {
                policy: policy.name.clone(),
                rule: rule.name.clone(),
            };
            match (&rule.read, &found) {
                (Ok(read), None) => match read.conditions.check(seen) {
                    Ok(why) => found = Some((name, read, why)),
                    Err(why) => self.pass(name.to_string(), why),
                },
                (Err(why), None) => self.pass(name.to_string(), format!("it is skipped, since {why}")),
                (Ok(read), Some(_)) if read.conditions.check(seen).is_ok() => self.also.push(name),
                (_, Some(_)) => {}
            }
        }
        found
    }

    fn by_rule(&mut self, name: &RuleName, rule: &ReadRule, why: &str, seen: &Seen<'_>) -> Decision {
        self.rule = Some(name.clone());
        let because = format!("{name}: {why}");
        let class = rule.agent_class.clone();
        // What was written beyond the text is needed to find this rule again.
        let written = seen.command.as_ref().map(|command| format!("/{command} {}", seen.text));
        match (rule.mode, &self.situation.session) {
            (RuleMode::Ignore, _) => Mode::Ignore.because(because),
            (RuleMode::Deny, _) => {
                let text = rule.reply.clone().unwrap_or_else(|| words::denied(&name.rule));
                reply(text, because)
            }
            (RuleMode::Task, _) => match (&seen.command, seen.text) {
                (Some(command), "") => reply(words::nothing_to_do(command), because),
                (_, text) => self.task(text, class, &because),
            },
            (RuleMode::Session | RuleMode::ToActiveSession, Some(session)) => {
                self.to_session(session, seen.text, false, written, &because)
            }
            (RuleMode::Session | RuleMode::ToActiveSession, None) => self.start(seen.text, class, &because),
        }
    }

    fn beside_session(&mut self, seen: &Seen<'_>) -> Option<Decision> {
        let Some(session) = &self.situation.session else {
            self.pass("session", "no session is active");
            return None;
        };
        Some(match &self.router.beside {
            Some(_) if self.message.file => {
                let why = format!("session {} is active, and a file comes with the message", session.name);
                self.to_session(session, seen.text, false, None, &why)
            }
            Some((mode @ (WhileSessionActive::QueueTask | WhileSessionActive::RunTask), policy)) => {
                let why = format!(
                    "session {} is active, and policy {policy} has whileSessionActive: {mode:?}",
                    session.name
                );
                self.task(seen.text, None, &why)
            }
            Some((WhileSessionActive::ToSession, _)) | None => self.to_session(
                session,
                seen.text,
                false,
                None,
                &format!("session {} is active", session.name),
            ),
        })
    }

    fn plain(&mut self, seen: &Seen<'_>) -> Decision {
        match &self.router.heuristics {
            None => self.pass("heuristics", "no policy has any"),
            Some(scoring) => {
                let score = scoring.score(seen.text, &seen.folded, self.message.file);
                let why = format!("heuristics of policy {}: {}", scoring.policy, score.told);
                if score.enough {
                    return self.start(seen.text, None, &why);
                }
                self.pass("heuristics", why);
            }
        }
        self.task(seen.text, None, "no session is active, and nothing else applies")
    }

    pub(crate) fn task(&self, prompt: &str, agent_class: Option<String>, why: &str) -> Decision {
        if self.message.file {
            return reply(
                words::FILE_NEEDS_SESSION,
                format!("{why}; but a task cannot be given a file"),
            );
        }
        let prompt = prompt.to_owned();
        let beside = matches!(self.router.beside, Some((WhileSessionActive::RunTask, _)));
        let session = self.situation.session.as_ref();
        let read_only = beside && session.is_some_and(|session| !session.asleep);
        let why = match session {
            Some(session) if read_only => {
                format!(
                    "{why}; it runs beside session {} and only reads the workspace",
                    session.name
                )
            }
            Some(session) => format!(
                "{why}; it starts when session {} has ended or is suspended",
                session.name
            ),
            None => why.to_owned(),
        };
        let (escalation, _) = self.router.wishes.of_task(session);
        let mode = Mode::Task {
            prompt,
            agent_class,
            escalation,
            read_only,
        };
        self.with_topic(mode, why)
    }

    pub(crate) fn start(&self, prompt: &str, agent_class: Option<String>, why: &str) -> Decision {
        self.start_instead(prompt, agent_class, None, why.to_owned())
    }

    pub(crate) fn start_instead(
        &self,
        prompt: &str,
        agent_class: Option<String>,
        instead_of: Option<String>,
        why: String,
    ) -> Decision {
        let mode = Mode::StartSession {
            prompt: (!prompt.is_empty()).then(|| prompt.to_owned()),
            agent_class,
            instead_of,
        };
        self.with_topic(mode, why)
    }

    fn with_topic(&self, mode: Mode, why: String) -> Decision {
        match self.situation.topic {
            TopicState::Missing => {
                let missing = "no Topic is bound to this chat, and the bot may not make one";
                reply(words::NO_TOPIC, format!("{why}; but {missing}"))
            }
            TopicState::Bound(_) | TopicState::Creatable(_) => mode.because(why),
        }
    }

    /// A message to a session that is there already; with neither text nor file, the session is woken if it sleeps.
    pub(crate) fn to_session(
        &self,
        session: &ActiveSession,
        text: &str,
        deep: bool,
        written: Option<String>,
        why: &str,
    ) -> Decision {
        let name = session.name.clone();
        match (text, session.asleep) {
            ("", true) if !self.message.file => Mode::WakeSession { session: name }
                .because(format!("{why} without text, and the active session sleeps")),
            ("", false) if !self.message.file => reply(
                words::ALREADY_DEEP,
                format!("{why} without text, and a session is active already"),
            ),
            (text, _) => {
                let why = match deep {
                    true => format!("{why}, and a session is active already, so it goes there"),
                    false => why.to_owned(),
                };
                Mode::ToSession {
                    session: name,
                    text: text.to_owned(),
                    deep,
                    written,
                }
                .because(why)
            }
        }
    }
}

#[cfg(test)]
#[path = "today_tests.rs"]
mod tests;
