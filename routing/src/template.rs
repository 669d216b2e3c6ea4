//! Templates of Topics: which one counts in a place.
//!
//! Only for a Topic that the bot makes: one that is there belongs to its author. The first template that matches counts, in the
//! order of the policies and then of the templates. One that cannot be read is skipped.

use std::collections::BTreeSet;
use std::fmt;

use longshore_crds::conditions::reasons;
use longshore_crds::{RuleState, RuleStatus, TemplateMatch, TopicDefaults, TopicTemplate};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::read::{named, strict};
use crate::router::Router;

/// A template of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateName {
    /// Name of the RoutingPolicy.
    pub policy: String,
    /// Name of the template.
    pub template: String,
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {} of policy {}", self.template, self.policy)
    }
}

/// The Topic that would be made in a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// The template by which it is made; none when the bot's own settings alone count.
    pub template: Option<TemplateName>,
}

/// A template that was read.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub name: String,
    pub read: Result<ReadTemplate, String>,
}

/// A template that can count.
#[derive(Clone, Debug)]
pub(crate) struct ReadTemplate {
    chats: BTreeSet<i64>,
    threads: BTreeSet<i64>,
    topic: TopicDefaults,
}

/// Reads the templates of a policy, one by one.
pub(crate) fn templates(entries: &[Value]) -> Vec<Template> {
    let all = named(entries, "template", template);
    all.into_iter().map(|(name, read)| Template { name, read }).collect()
}

fn template(entry: &Value) -> Result<ReadTemplate, String> {
    let template = strict::<TopicTemplate>(entry, "topicTemplate")?;
    let TemplateMatch { chats, threads } = template.matches.unwrap_or_default();
    let topic = template.topic;
    if let Some(repository) = &topic.repository {
        let (scheme, rest) = repository.url.split_once("://").unwrap_or_default();
        if !matches!(scheme, "https" | "http") {
            return Err("topic.repository.url: write an address that begins with https://".to_owned());
        }
        if rest.split('/').next().is_some_and(|server| server.contains('@')) {
            return Err(
                "topic.repository.url: take user and password out of it, and name a Secret with them".to_owned(),
            );
        }
        if repository.secret_ref.is_some() && scheme != "https" {
            return Err("topic.repository.secretRef: a credential goes over https only".to_owned());
        }
    }
    if let Some(told) = &topic.instructions
        && told.inline.is_some() == told.config_map_ref.is_some()
    {
        return Err("topic.instructions: write either inline or configMapRef".to_owned());
    }
    Ok(ReadTemplate {
        chats: chats.into_iter().collect(),
        threads: threads.into_iter().collect(),
        topic,
    })
}

impl ReadTemplate {
    fn matches(&self, chat: i64, thread: Option<i64>) -> bool {
        let fits = |ids: &BTreeSet<i64>, id| ids.is_empty() || ids.contains(&id);
        fits(&self.chats, chat) && fits(&self.threads, thread.unwrap_or(0))
    }

    /// Whether it counts wherever a later one would.
    fn covers(&self, later: &Self) -> bool {
        let list = |earlier: &BTreeSet<i64>, later: &BTreeSet<i64>| {
            earlier.is_empty() || (!later.is_empty() && later.is_subset(earlier))
        };
        list(&self.chats, &later.chats) && list(&self.threads, &later.threads)
    }
}

impl Router {
    /// The template for a Topic that is made in a place, if there is one. `thread` is none in the General topic, in plain groups and
    /// in private chats.
    pub fn topic_template(&self, chat: i64, thread: Option<i64>) -> Option<(TemplateName, &TopicDefaults)> {
        self.readable_templates().find_map(|(_, name, template)| {
            let matches = template.matches(chat, thread);
            matches.then_some((name, &template.topic))
        })
    }

    fn readable_templates(&self) -> impl Iterator<Item = ((usize, usize), TemplateName, &ReadTemplate)> {
        self.policies.iter().enumerate().flat_map(|(at, policy)| {
            let templates = policy.templates.iter().enumerate();
            templates.filter_map(move |(number, template)| {
                let name = TemplateName {
                    policy: policy.name.clone(),
                    template: template.name.clone(),
                };
                Some(((at, number), name, template.read.as_ref().ok()?))
            })
        })
    }

    /// What is to be said about each template of a policy, in their order.
    pub(crate) fn template_states(&self, policy: usize, classes: Option<&BTreeSet<String>>) -> Vec<RuleStatus> {
        let templates = self.policies[policy].templates.iter().enumerate();
        let states = templates.map(|(number, template)| {
            let (state, message) = match &template.read {
                Err(why) => (RuleState::Invalid, Some(why.clone())),
                Ok(read) => self.template_state((policy, number), read, classes),
            };
            RuleStatus {
                name: template.name.clone(),
                state,
                message,
            }
        });
        states.collect()
    }

    fn template_state(
        &self,
        at: (usize, usize),
        read: &ReadTemplate,
        classes: Option<&BTreeSet<String>>,
    ) -> (RuleState, Option<String>) {
        let mut earlier = self.readable_templates().take_while(|(place, ..)| *place < at);
        if let Some((_, name, _)) = earlier.find(|(.., earlier)| earlier.covers(read)) {
            let told =
                format!("never used, since {name} comes first wherever it matches; move this one up, or remove it");
            return (RuleState::Shadowed, Some(told));
        }
        let class = read.topic.agent_class_name.as_ref();
        match class.filter(|class| classes.is_some_and(|classes| !classes.contains(*class))) {
            Some(class) => {
                let told = format!(
                    "topic.agentClassName: there is no AgentClass {class} in this namespace; what is started in such a topic waits for it"
                );
                (RuleState::BrokenReference, Some(told))
            }
            None => (RuleState::Resolved, None),
        }
    }
}

/// How bad the state of a template is, among all problems of a policy, and the reason for it.
pub(crate) fn severity(state: RuleState) -> Option<(usize, &'static str)> {
    match state {
        RuleState::Resolved => None,
        RuleState::Invalid => Some((2, reasons::TOPIC_TEMPLATE_INVALID)),
        RuleState::BrokenReference => Some((4, reasons::BROKEN_REFERENCE)),
        RuleState::Shadowed | RuleState::Conflict => Some((5, reasons::TOPIC_TEMPLATE_SHADOWED)),
    }
}
