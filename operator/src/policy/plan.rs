//! The status of a policy. Pure.

use jiff::Timestamp;
use kube::Resource;
use longshore_crds::conditions::types;
use longshore_crds::{RoutingPolicyStatus, RuleState};
use longshore_routing::Findings;

use super::StoredPolicy;
use crate::conditions::{merge, no, yes};

/// What is to be said about it.
pub fn status(policy: &StoredPolicy, findings: Findings, now: Timestamp) -> RoutingPolicyStatus {
    let ready = match &findings.problem {
        None => yes(types::READY, findings.reason, "All of it is in force"),
        Some(problem) => no(types::READY, findings.reason, problem.clone()),
    };
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let decides = |state: RuleState| matches!(state, RuleState::Resolved | RuleState::BrokenReference);
    let resolved = findings.rules.iter().filter(|rule| decides(rule.state)).count();
    let generation = policy.meta().generation;
    let old = policy.status.as_ref().map(|status| status.conditions.as_slice());
    RoutingPolicyStatus {
        observed_generation: generation,
        rule_count: count(findings.rules.len()),
        resolved_count: count(resolved),
        problem: findings.problem,
        rules: findings.rules,
        topic_templates: findings.topic_templates,
        conditions: merge(old.unwrap_or_default(), vec![ready], generation, now),
    }
}
