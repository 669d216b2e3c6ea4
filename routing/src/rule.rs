//! The conditions of a rule.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_crds::{Role, RuleMatch, RuleMode};
use regex::{Regex, RegexBuilder};

use crate::place::{Message, Situation};
use crate::text::{folded, has_word};
use crate::window::Window;

/// Memory that one compiled expression may take, in bytes. Generous for what fits into its 512 characters, unless it repeats large
/// repetitions.
const REGEX_BYTES: usize = 1 << 20;

/// A message as rules see it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub message: &'a Message<'a>,
    pub role: Role,
    /// Command of a policy with which the message begins.
    pub command: Option<String>,
    /// What is handed on: the text without that command.
    pub text: &'a str,
    /// The same for comparing words.
    pub folded: String,
    pub situation: &'a Situation,
    pub now: Timestamp,
}

/// The conditions of a rule. Empty lists and none mean that anything goes.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub chats: BTreeSet<i64>,
    pub threads: BTreeSet<i64>,
    pub users: BTreeSet<i64>,
    /// Roles for which the rule decides; never empty.
    pub roles: BTreeSet<Role>,
    /// Whether admins are left out because the rule would hold them up.
    pub passes_admins: bool,
    pub commands: BTreeSet<String>,
    pub keywords: Vec<String>,
    pub regex: Option<Regex>,
    pub min_length: usize,
    pub has_attachment: Option<bool>,
    pub session_active: Option<bool>,
    pub window: Option<Window>,
}

const ROLES: [Role; 3] = [Role::User, Role::Approver, Role::Admin];

impl Conditions {
    /// Reads conditions, or says what is wrong with them. A mode may bring conditions of its own.
    pub(crate) fn read(matches: &RuleMatch, mode: RuleMode) -> Result<Self, String> {
        let mut roles = match matches.roles.as_slice() {
            [] => BTreeSet::from(ROLES),
            named => named.iter().copied().collect(),
        };
        let holds_up = matches!(mode, RuleMode::Deny | RuleMode::Ignore);
        let passes_admins = holds_up && roles.remove(&Role::Admin);
        if roles.is_empty() {
            return Err(
                "match.roles: Deny and Ignore pass admins by, so this rule matches nobody; remove it".to_owned(),
            );
        }
        let regex = matches.regex.as_deref().map(regex).transpose()?;
        let keywords = matches.keywords.iter().map(|word| folded(word)).collect::<Vec<_>>();
        if keywords.iter().any(String::is_empty) {
            return Err("match.keywords: one is empty; write a word, or remove it".to_owned());
        }
        let needs_session = (mode == RuleMode::ToActiveSession).then_some(true);
        Ok(Self {
            chats: matches.chats.iter().copied().collect(),
            threads: matches.threads.iter().copied().collect(),
            users: matches.users.iter().copied().collect(),
            roles,
            passes_admins,
            commands: matches.commands.iter().cloned().collect(),
            keywords,
            regex,
            min_length: usize::try_from(matches.min_length.unwrap_or(0)).unwrap_or(0),
            has_attachment: matches.has_attachment,
            session_active: matches.session_active.or(needs_session),
            window: matches.time_window.as_ref().map(Window::read).transpose()?,
        })
    }

    /// Why a message does not match, or else what about it matched.
    pub(crate) fn check(&self, seen: &Seen<'_>) -> Result<String, String> {
        let mut matched = Vec::new();
        self.check_place(seen, &mut matched)?;
        self.check_text(seen, &mut matched)?;
        if let Some(wanted) = self.session_active {
            let told = ["no session is active", "a session is active"];
            matched.push(just_so(wanted, seen.situation.session.is_some(), told)?);
        }
        if let Some(window) = &self.window {
            let local = window.local(seen.now);
            if !window.contains(seen.now) {
                return Err(format!("{local} is outside its time window"));
            }
            matched.push(format!("{local} is in its time window"));
        }
        Ok(match matched.is_empty() {
            true => "it matches every message".to_owned(),
            false => matched.join(", "),
        })
    }

    fn check_place(&self, seen: &Seen<'_>, matched: &mut Vec<String>) -> Result<(), String> {
        let message = seen.message;
        let thread = message.thread.unwrap_or(0);
        for (name, ids, id) in [
            ("chat", &self.chats, message.chat),
            ("thread", &self.threads, thread),
            ("user", &self.users, message.user),
        ] {
            if ids.is_empty() {
                continue;
            }
            if !ids.contains(&id) {
                return Err(format!("{name} {id} is not among its {name}s"));
            }
            matched.push(format!("{name} {id}"));
        }
        let role = seen.role;
        if role == Role::Admin && self.passes_admins {
            return Err("it would hold the message up, and admins are passed by".to_owned());
        }
        if !self.roles.contains(&role) {
            return Err(format!("role {} is not among its roles", role.as_ref()));
        }
        if self.roles.len() + usize::from(self.passes_admins) < ROLES.len() {
            matched.push(format!("role {}", role.as_ref()));
        }
        Ok(())
    }

    fn check_text(&self, seen: &Seen<'_>, matched: &mut Vec<String>) -> Result<(), String> {
        if !self.commands.is_empty() {
            match &seen.command {
                Some(command) if self.commands.contains(command) => matched.push(format!("command /{command}")),
                Some(command) => return Err(format!("/{command} is not among its commands")),
                None => return Err("the message does not begin with one of its commands".to_owned()),
            }
        }
        if let Some(wanted) = self.has_attachment {
            let attached = seen.message.file || seen.message.content.is_err();
            let told = ["nothing is attached", "something is attached"];
            matched.push(just_so(wanted, attached, told)?);
        }
        if self.min_length > 0 {
            let length = seen.text.chars().count();
            if length < self.min_length {
                return Err(format!("{length} characters are fewer than {}", self.min_length));
            }
            matched.push(format!("at least {} characters", self.min_length));
        }
        if !self.keywords.is_empty() {
            let found = self.keywords.iter().find(|word| has_word(&seen.folded, word));
            let word = found.ok_or_else(|| "none of its keywords is in the text".to_owned())?;
            matched.push(format!("keyword “{word}”"));
        }
        if let Some(regex) = &self.regex {
            if !regex.is_match(seen.text) {
                return Err(format!("/{regex}/ is not found in the text"));
            }
            matched.push(format!("/{regex}/ is found in the text"));
        }
        Ok(())
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| {
            // The last line of a syntax error names it; the lines before it draw a picture.
            let told = error.to_string();
            let last = told
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .trim_start_matches("error: ")
                .to_owned();
            format!("match.regex cannot be read: {last}")
        })
}

/// What is found, in the words for no and for yes: a match when that is what is wanted, else why not.
fn just_so(wanted: bool, found: bool, [no, yes]: [&str; 2]) -> Result<String, String> {
    let told = if found { yes } else { no }.to_owned();
    if wanted == found { Ok(told) } else { Err(told) }
}
