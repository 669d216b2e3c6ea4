//! What is to be said about policies: which rules can decide, which cannot, and why.

use std::collections::BTreeSet;

use longshore_crds::conditions::reasons;
use longshore_crds::{RuleState, RuleStatus};

use crate::router::Router;
use crate::template;

/// Longest message about a rule, in characters: the bound of the status.
const MESSAGE_CHARS: usize = 1024;

/// What is to be said about one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Name of the RoutingPolicy.
    pub policy: String,
    /// Its rules, in their order.
    pub rules: Vec<RuleStatus>,
    /// Its templates of Topics, in their order.
    pub topic_templates: Vec<RuleStatus>,
    /// Whether all of it is in force.
    pub ready: bool,
    /// Reason of the condition `Ready`.
    pub reason: &'static str,
    /// The first problem, the worst kind first.
    pub problem: Option<String>,
}

impl Router {
    /// What is to be said about each policy, in the order in which they count. With the names of the AgentClasses that exist, rules
    /// that name others are found, too.
    pub fn findings(&self, classes: Option<&BTreeSet<String>>) -> Vec<Findings> {
        self.policies
            .iter()
            .enumerate()
            .map(|(at, policy)| {
                let rules = policy.rules.iter().enumerate();
                let rules = rules
                    .map(|(number, rule)| {
                        let (state, message) = self.state((at, number), classes);
                        let message = message.map(|message| message.chars().take(MESSAGE_CHARS).collect());
                        RuleStatus {
                            name: rule.name.clone(),
                            state,
                            message,
                        }
                    })
                    .collect::<Vec<_>>();
                let topic_templates = self.template_states(at, classes).into_iter().map(|mut found| {
                    let bounded = |message: String| message.chars().take(MESSAGE_CHARS).collect();
                    found.message = found.message.map(bounded);
                    found
                });
                let topic_templates = topic_templates.collect::<Vec<_>>();
                let problems = self.problems(at, &rules, &topic_templates, classes);
                let worst = problems.into_iter().min_by_key(|(severity, ..)| *severity);
                Findings {
                    policy: policy.name.clone(),
                    rules,
                    topic_templates,
                    ready: worst.is_none(),
                    reason: worst.as_ref().map_or(reasons::IN_FORCE, |(_, reason, _)| reason),
                    problem: worst.map(|(.., problem)| problem.chars().take(MESSAGE_CHARS).collect()),
                }
            })
            .collect()
    }

    /// What is not right with a policy: how bad, the reason, and the words.
    fn problems(
        &self,
        at: usize,
        rules: &[RuleStatus],
        templates: &[RuleStatus],
        classes: Option<&BTreeSet<String>>,
    ) -> Vec<(usize, &'static str, String)> {
        let policy = &self.policies[at];
        let mut problems = Vec::new();
        if let Some(Err(why)) = &policy.access {
            let told = format!("{why}; this policy lets nobody in");
            problems.push((0, reasons::ACCESS_UNREADABLE, told));
        }
        problems.extend(
            policy
                .problems
                .iter()
                .map(|why| (1, reasons::PARTLY_UNREADABLE, why.clone())),
        );
        for rule in rules {
            let (severity, reason) = match rule.state {
                RuleState::Resolved => continue,
                RuleState::Invalid => (2, reasons::RULE_INVALID),
                RuleState::Conflict => (3, reasons::RULE_CONFLICT),
                RuleState::BrokenReference => (4, reasons::BROKEN_REFERENCE),
                RuleState::Shadowed => (5, reasons::RULE_SHADOWED),
            };
            let told = format!("rule {}: {}", rule.name, rule.message.as_deref().unwrap_or_default());
            problems.push((severity, reason, told));
        }
        for found in templates {
            if let Some((severity, reason)) = template::severity(found.state) {
                let why = found.message.as_deref().unwrap_or_default();
                problems.push((severity, reason, format!("topic template {}: {why}", found.name)));
            }
        }
        let class = policy
            .escalation
            .as_ref()
            .and_then(|says| says.agent_class_name.as_ref());
        if let Some(class) = class.filter(|class| classes.is_some_and(|classes| !classes.contains(*class))) {
            let told = format!(
                "escalation.agentClassName: there is no AgentClass {class} in this namespace; such sessions wait for it"
            );
            problems.push((4, reasons::BROKEN_REFERENCE, told));
        }
        let earlier = &self.policies[..at];
        for (part, says) in [
            (
                "heuristics",
                (|policy| policy.heuristics.is_some()) as fn(&crate::read::Policy) -> bool,
            ),
            ("whileSessionActive", |policy| policy.while_session_active.is_some()),
            ("escalation", |policy| policy.escalation.is_some()),
        ] {
            if let Some(first) = earlier.iter().find(|first| says(policy) && says(first)) {
                let told = format!(
                    "{part} has no effect, since policy {} comes first with its own",
                    first.name
                );
                problems.push((6, reasons::OVERRIDDEN, told));
            }
        }
        problems
    }

    fn state(&self, rule: (usize, usize), classes: Option<&BTreeSet<String>>) -> (RuleState, Option<String>) {
        let read = match &self.policies[rule.0].rules[rule.1].read {
            Ok(read) => read,
            Err(why) => return (RuleState::Invalid, Some(why.clone())),
        };
        for earlier in self.order().take_while(|earlier| *earlier != rule) {
            let Ok(other) = &self.policies[earlier.0].rules[earlier.1].read else {
                continue;
            };
            let Some(obstacle) = crate::shadow::obstacle(other, read) else {
                continue;
            };
            let name = self.number_and_name(earlier, rule.0);
            return match obstacle {
                crate::shadow::Obstacle::Shadow => {
                    let told = format!(
                        "shadowed by {name}, which matches all that this rule matches; move this rule up, or remove it"
                    );
                    (RuleState::Shadowed, Some(told))
                }
                crate::shadow::Obstacle::Conflict => {
                    let told =
                        format!("in conflict with {name}, which matches the same and comes first; remove one of them");
                    (RuleState::Conflict, Some(told))
                }
            };
        }
        let missing = read
            .agent_class
            .as_ref()
            .filter(|class| classes.is_some_and(|classes| !classes.contains(*class)));
        match missing {
            Some(class) => {
                let told = format!(
                    "action.agentClassName: there is no AgentClass {class} in this namespace; what this rule starts waits for it"
                );
                (RuleState::BrokenReference, Some(told))
            }
            None => (RuleState::Resolved, None),
        }
    }

    /// `rule 2 (name)`, with the policy where it is another.
    fn number_and_name(&self, rule: (usize, usize), seen_from: usize) -> String {
        let policy = &self.policies[rule.0];
        let of = match rule.0 == seen_from {
            true => String::new(),
            false => format!(" of policy {}", policy.name),
        };
        format!("rule {} ({}){of}", rule.1 + 1, policy.rules[rule.1].name)
    }
}
