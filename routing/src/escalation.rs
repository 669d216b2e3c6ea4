//! What becomes of it when the agent of a task asks for a session. Decided with the message, so that the agent can be told.

use longshore_crds::{EscalationMode, EscalationPolicy, TaskEscalation};
use serde::{Deserialize, Serialize};

use crate::place::ActiveSession;
use crate::read::Policy;

/// What becomes of a task's wish for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// Whether a session takes over by itself, or people are asked.
    pub mode: TaskEscalation,
    /// AgentClass of the session; none for the Topic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_class: Option<String>,
}

/// What the policies say together: the first that says anything counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    says: Option<(EscalationPolicy, String)>,
}

impl Wishes {
    pub fn new(policies: &[Policy]) -> Self {
        let mut says = policies
            .iter()
            .filter_map(|policy| Some((policy.escalation.clone()?, policy.name.clone())));
        Self { says: says.next() }
    }

    /// For a task beside this session, if there is one; none when its agent cannot ask. With the reason in a sentence.
    pub fn of_task(&self, session: Option<&ActiveSession>) -> (Option<Escalation>, String) {
        if let Some(session) = session {
            let why = format!(
                "its agent cannot ask for a session, since the topic has session {}",
                session.name
            );
            return (None, why);
        }
        let (policy, by) = match &self.says {
            Some((policy, name)) => (policy.clone(), format!("policy {name}")),
            None => (EscalationPolicy::default(), "default".to_owned()),
        };
        let class = policy.agent_class_name.clone();
        let of_class = class
            .as_ref()
            .map(|class| format!(" of class {class}"))
            .unwrap_or_default();
        let (mode, then) = match policy.mode {
            EscalationMode::Never => return (None, format!("its agent cannot ask for a session, by {by}")),
            EscalationMode::Start => (
                TaskEscalation::Start,
                format!("a session{of_class} takes over by itself"),
            ),
            EscalationMode::Ask => (
                TaskEscalation::Ask,
                format!("people are asked about a session{of_class}"),
            ),
        };
        let escalation = Escalation {
            mode,
            agent_class: class,
        };
        (
            Some(escalation),
            format!("if its agent asks for a session, {then}, by {by}"),
        )
    }
}
