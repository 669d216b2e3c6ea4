//! Reading policies part by part.
//!
//! A policy comes as the API server stores it. What it holds may be newer than this program, or written past the rules of
//! admission (`explain --file`), so every rule, the access and the heuristics are read and checked by themselves: one that is
//! not understood completely is not used at all.

use std::collections::BTreeSet;

use longshore_crds::{
    Access, EscalationPolicy, Heuristics, OWN_COMMANDS, RoutingPolicy, RoutingRule, RuleMode, WhileSessionActive,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rule::Conditions;
use crate::template::{self, Template};

/// A RoutingPolicy as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySource {
    /// Name of the object.
    pub name: String,
    /// Its `spec`.
    pub spec: Value,
}

impl PolicySource {
    /// Of an object with this name and these fields.
    pub fn stored(name: String, object: &Value) -> Self {
        Self {
            name,
            spec: object["spec"].clone(),
        }
    }
}

impl From<&RoutingPolicy> for PolicySource {
    fn from(policy: &RoutingPolicy) -> Self {
        Self {
            name: policy.metadata.name.clone().unwrap_or_default(),
            // A spec is plain data. If it could not be written as JSON it would be one that cannot be read: nobody has access.
            spec: serde_json::to_value(&policy.spec).unwrap_or_default(),
        }
    }
}

/// A policy that was read.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub name: String,
    pub order: i64,
    /// None when it says nothing about access; an error grants nobody.
    pub access: Option<Result<Access, String>>,
    pub rules: Vec<Rule>,
    pub heuristics: Option<Heuristics>,
    pub while_session_active: Option<WhileSessionActive>,
    pub templates: Vec<Template>,
    pub escalation: Option<EscalationPolicy>,
    /// What is not right besides access and rules.
    pub problems: Vec<String>,
}

/// A rule that was read.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub name: String,
    pub read: Result<ReadRule, String>,
}

/// A rule that can be carried out.
#[derive(Clone, Debug)]
pub(crate) struct ReadRule {
    pub conditions: Conditions,
    pub mode: RuleMode,
    pub agent_class: Option<String>,
    pub reply: Option<String>,
}

/// Reads a policy.
pub(crate) fn policy(source: &PolicySource) -> Policy {
    let field = |name: &str| source.spec.get(name).filter(|value| !value.is_null());
    let mut problems = Vec::new();
    if !source.spec.is_object() {
        problems.push("spec cannot be read".to_owned());
    }
    let order = field("order").map_or(Some(0), Value::as_i64).unwrap_or_else(|| {
        problems.push("order is no whole number, so this policy is taken to have order 0".to_owned());
        0
    });
    let part = |name: &str| field(name).map(|value| (name.to_owned(), value.clone()));
    let heuristics = part("heuristics");
    let beside = part("whileSessionActive");
    let templates = part("topicTemplates");
    let escalation = part("escalation");
    Policy {
        name: source.name.clone(),
        order,
        access: field("access").map(|value| strict(value, "access")),
        rules: match field("rules") {
            None => Vec::new(),
            Some(Value::Array(entries)) => rules(entries),
            Some(_) => {
                problems.push("rules is no list, so there are none".to_owned());
                Vec::new()
            }
        },
        heuristics: optional(heuristics, &mut problems),
        while_session_active: optional(beside, &mut problems),
        templates: match templates {
            None => Vec::new(),
            Some((_, Value::Array(entries))) => template::templates(&entries),
            Some(_) => {
                problems.push("topicTemplates is no list, so there are none".to_owned());
                Vec::new()
            }
        },
        escalation: optional(escalation, &mut problems),
        problems,
    }
}

fn optional<T: DeserializeOwned + Serialize>(part: Option<(String, Value)>, problems: &mut Vec<String>) -> Option<T> {
    let (name, value) = part?;
    strict(&value, &name)
        .inspect_err(|why| problems.push(format!("{why}; it is not used")))
        .ok()
}

/// Reads a value and refuses what the type does not know: a condition that is not understood would make a rule match more, and a
/// limit that is not understood would let more people in.
pub(crate) fn strict<T: DeserializeOwned + Serialize>(value: &Value, path: &str) -> Result<T, String> {
    let read = serde_json::from_value::<T>(value.clone()).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let known = serde_json::to_value(&read).map_err(|error| format!("{path} cannot be read: {error}"))?;
    match stranger(value, &known, path) {
        Some(why) => Err(why),
        None => Ok(read),
    }
}

/// The first thing in a value that did not survive being read.
fn stranger(value: &Value, known: &Value, path: &str) -> Option<String> {
    match (value, known) {
        (Value::Object(fields), Value::Object(known)) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            match known.get(name) {
                // An empty list under `access` says the same as none: nobody. Elsewhere it says nothing that can be meant.
                None if empty && matches!(path.as_str(), "access.users" | "access.chats") && !value.is_null() => None,
                None if empty => Some(format!("{path} is empty; remove it, or write what is meant")),
                None => Some(format!("{path} is not known")),
                Some(known) => stranger(value, known, &path),
            }
        }),
        (Value::Array(values), Value::Array(known)) => values
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(at, (value, known))| stranger(value, known, &format!("{path}[{at}]"))),
        // A list in the place of an object would be read field by field.
        (Value::Array(_) | Value::Object(_), _) => Some(format!("{path} is of the wrong kind")),
        _ => None,
    }
}

fn rules(entries: &[Value]) -> Vec<Rule> {
    let all = named(entries, "rule", rule);
    all.into_iter().map(|(name, read)| Rule { name, read }).collect()
}

/// Reads the entries of a list one by one, each under its name, or its number where it has none. Of two with one name the first counts.
pub(crate) fn named<T>(
    entries: &[Value],
    kind: &str,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Vec<(String, Result<T, String>)> {
    let mut names = BTreeSet::new();
    let named = entries.iter().enumerate().map(|(at, entry)| {
        let name = entry
            .get("name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("#{}", at + 1), |name| name.chars().take(63).collect());
        let read = match names.insert(name.clone()) {
            true => read(entry),
            false => Err(format!(
                "name: an earlier {kind} of this policy has the same name; give each a name of its own"
            )),
        };
        (name, read)
    });
    named.collect()
}

fn rule(entry: &Value) -> Result<ReadRule, String> {
    let rule = strict::<RoutingRule>(entry, "rule")?;
    let matches = rule.matches.clone().unwrap_or_default();
    let action = rule.action;
    let starts = matches!(action.mode, RuleMode::Task | RuleMode::Session);
    if action.agent_class_name.is_some() && !starts {
        return Err("action.agentClassName: only Task and Session start an agent; remove it".to_owned());
    }
    if action.reply.is_some() && action.mode != RuleMode::Deny {
        return Err("action.reply: only Deny answers with words of yours; remove it".to_owned());
    }
    if action.mode == RuleMode::ToActiveSession && matches.session_active == Some(false) {
        return Err("match.sessionActive: ToActiveSession needs a session; remove sessionActive: false".to_owned());
    }
    if matches.has_attachment == Some(true) && action.mode == RuleMode::Task {
        return Err(
            "match.hasAttachment: a task cannot be given a file; use Session, ToActiveSession, Deny or Ignore, or remove it"
                .to_owned(),
        );
    }
    if let Some(own) = matches
        .commands
        .iter()
        .find(|name| OWN_COMMANDS.contains(&name.as_str()))
    {
        return Err(format!(
            "match.commands: /{own} is the bot's own and decides before any rule; take another name"
        ));
    }
    if matches.commands.iter().any(|name| !crate::command::is_name(name)) {
        return Err("match.commands: use lower-case letters, digits and '_', and leave '/' out".to_owned());
    }
    Ok(ReadRule {
        conditions: Conditions::read(&matches, action.mode)?,
        mode: action.mode,
        agent_class: action.agent_class_name,
        reply: action.reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: Value) -> Policy {
        policy(&PolicySource { name: "a".into(), spec })
    }

    #[test]
    fn one_broken_rule_leaves_the_others() {
        let task = json!({ "mode": "Task" });
        let policy = read(json!({ "rules": [
            { "name": "good", "action": task },
            { "name": "regex", "match": { "regex": "(" }, "action": task },
            { "name": "zone", "match": { "timeWindow": { "timeZone": "Moon/Sea", "from": "08:00", "to": "09:00" } }, "action": task },
            { "name": "newer", "match": { "language": "de" }, "action": task },
            { "name": "empty", "match": { "users": [] }, "action": task },
            { "name": "mode", "action": { "mode": "Think" } },
            { "name": "own", "match": { "commands": ["deep"] }, "action": task },
            { "name": "class", "action": { "mode": "Deny", "agentClassName": "a" } },
            { "name": "words", "action": { "mode": "Task", "reply": "a" } },
            { "name": "file", "match": { "hasAttachment": true }, "action": task },
            { "name": "good", "action": task },
            17,
        ] }));
        let said = policy
            .rules
            .iter()
            .map(|rule| (rule.name.as_str(), rule.read.as_ref().err()));
        let expected = [
            ("good", ""),
            ("regex", "match.regex cannot be read"),
            ("zone", "there is no time zone"),
            ("newer", "rule.match.language is not known"),
            ("empty", "rule.match.users is empty"),
            ("mode", "unknown variant `Think`"),
            ("own", "/deep is the bot's own"),
            ("class", "only Task and Session"),
            ("words", "only Deny answers"),
            ("file", "a task cannot be given a file"),
            ("good", "has the same name"),
            ("#12", "cannot be read"),
        ];
        for ((name, why), (expected, piece)) in said.zip(expected) {
            assert_eq!(name, expected);
            assert_eq!(why.is_some(), !piece.is_empty(), "{name}: {why:?}");
            assert!(why.is_none_or(|why| why.contains(piece)), "{name}: {why:?}");
        }
        assert_eq!(policy.rules.len(), expected.len());
    }

    #[test]
    fn access_that_is_not_understood_completely_is_not_used() {
        for broken in [
            json!("everybody"),
            json!({ "users": [{ "id": "5" }] }),
            json!({ "users": [{ "id": 5, "role": "Owner" }] }),
            json!({ "users": [{ "id": 5, "until": "2026-12-24" }] }),
            json!({ "users": [{ "id": 5, "chats": null }] }),
            json!({ "users": [5] }),
            json!({ "users": [[5]] }),
            json!([]),
            json!({ "users": null }),
            json!({ "everybody": true }),
        ] {
            let access = read(json!({ "access": broken })).access;
            assert!(matches!(access, Some(Err(_))), "{broken}: {access:?}");
        }
        let none = read(json!({ "access": { "users": [], "chats": [] } })).access;
        assert_eq!(none, Some(Ok(Access::default())));
        assert!(read(json!({})).access.is_none());
    }

    #[test]
    fn a_policy_of_nonsense_is_read_as_one_that_says_nothing() {
        for spec in [
            json!(null),
            json!(7),
            json!([]),
            json!({ "rules": 1, "order": "first", "heuristics": [], "whileSessionActive": "Never",
                "escalation": { "mode": "Always" } }),
        ] {
            let policy = read(spec.clone());
            assert!(
                policy.rules.is_empty() && policy.access.is_none() && policy.heuristics.is_none(),
                "{spec}"
            );
            assert!(policy.while_session_active.is_none() && policy.escalation.is_none() && policy.order == 0);
            assert!(!policy.problems.is_empty(), "{spec}");
        }
    }
}
