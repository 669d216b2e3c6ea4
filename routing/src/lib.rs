//! The mode router: what becomes of a message, and why.
//!
//! Pure: no IO, no clock, no environment, no client. [`Router::compile`] reads the RoutingPolicies of a namespace part by part,
//! [`Router::decide`] takes what was written, what is known about the place and the time, and returns an [`Explanation`]: the
//! decision, the rule behind it, and why everything before it passed. The order is fixed:
//!
//! access, `/stop` and answers to a pending question, commands of the bot, rules, the active session, heuristics, a task.
//!
//! [`Router::topic_template`] says what a Topic looks like that the bot makes.
//!
//! Nothing here fails. A rule that cannot be read or carried out is skipped, access that cannot be read grants nobody, and
//! [`Router::findings`] says so. The bot, `kubectl longshore explain`, the operator's status and the tests all call this one.
#![deny(missing_docs)]

mod access;
mod chats;
mod command;
mod decision;
mod escalation;
mod findings;
mod guest;
mod heuristics;
mod own;
mod place;
mod read;
mod router;
mod rule;
mod setting;
mod shadow;
mod template;
mod text;
mod window;
pub mod words;

pub use access::Standing;
pub use command::{COMMANDS, Command};
pub use decision::{Decision, Explanation, Mode, Passed, RuleName, StopTarget};
pub use escalation::Escalation;
pub use findings::Findings;
pub use guest::{Guest, Welcome};
pub use place::{ActiveSession, Message, Situation, TopicState};
pub use read::PolicySource;
pub use router::{MAX_PROMPT_CHARS, Router, Settings};
pub use setting::{PermissionMode, Setting};
pub use template::{NewTopic, TemplateName};
