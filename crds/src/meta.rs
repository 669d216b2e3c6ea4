//! Labels, annotations, finalizers and field managers.

/// Label on every child: who made it.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "longshore");
/// Label on every child: name of the Topic.
pub const TOPIC_LABEL: &str = "longshore.dev/topic";
/// Annotation on a Topic that the bot made: `policy/template` of the template by which it was made.
pub const TOPIC_TEMPLATE: &str = "longshore.dev/topic-template";
/// Label on agent pods: UID of the Topic that they were made for, from which the tokens of their runner come.
pub const TOPIC_UID_LABEL: &str = "longshore.dev/topic-uid";
/// Label on agent pods, StatefulSets and Jobs: `session` or `task`.
pub const KIND_LABEL: &str = "longshore.dev/kind";
/// Label on agent pods, StatefulSets and Jobs: name of the PersistentSession or ContainerTask.
pub const OWNER_LABEL: &str = "longshore.dev/owner";
/// Label on agent pods, StatefulSets and Jobs: UID of the PersistentSession or ContainerTask, so that pods of an object that is
/// already gone are still found.
pub const UID_LABEL: &str = "longshore.dev/uid";
/// Label on agent pods: name of the AgentClass, which the class's NetworkPolicy selects.
pub const CLASS_LABEL: &str = "longshore.dev/class";
/// Label of the Job and the pod of a task that only reads the workspace; its value is `true`.
pub const READ_ONLY_LABEL: &str = "longshore.dev/read-only";
/// Annotation on children: hash of the part of the spec that Longshore sets. Nothing is sent when it matches.
pub const SPEC_HASH: &str = "longshore.dev/spec-hash";
/// Annotation on a PersistentSession, set by the bot or a person: end it. The value says why, for people.
pub const END: &str = "longshore.dev/end";
/// Annotation on a PersistentSession, set by the bot, a schedule or a person: wake it from its suspension. Any value that differs from
/// `status.observedWake` is a new wish; `desiredState: Suspended` and `Ended` beat it.
pub const WAKE: &str = "longshore.dev/wake";
/// Finalizer on a PersistentSession that may have had a pod: its deletion waits, bounded, until its outcomes are summarised.
pub const SUMMARY_FINALIZER: &str = "longshore.dev/summary";
/// Annotation on a ContainerTask, set by the bot: its answer stands in the chat since this time, RFC 3339.
pub const DELIVERED: &str = "longshore.dev/delivered";
/// Label on a ContainerTask that is a run of a ScheduledTask: name of that.
pub const SCHEDULE_LABEL: &str = "longshore.dev/schedule";
/// Annotation on a ContainerTask that is a run of a ScheduledTask: the time that it was scheduled for, RFC 3339 with the offset of
/// the schedule's time zone.
pub const SCHEDULED_FOR: &str = "longshore.dev/scheduled-for";
/// Annotation on the Secret `longshore-access`: when its keys were rotated last, RFC 3339.
pub const ROTATED: &str = "longshore.dev/rotated";
/// Field manager of the operator.
pub const OPERATOR: &str = "longshore-operator";
/// Field manager of the bot.
pub const BOT: &str = "longshore-bot";
