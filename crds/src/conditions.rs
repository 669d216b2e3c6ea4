//! Condition types and reasons. Each reason is a constant with its meaning; `docs/` lists what to do about each.

/// Condition types.
pub mod types {
    /// A Topic has its volume claim; a session's runner accepts messages; a task's runner works; a ScheduledTask starts runs.
    pub const READY: &str = "Ready";
    /// The topic's claim is bound to a volume. False before the first pod is normal with WaitForFirstConsumer.
    pub const WORKSPACE_BOUND: &str = "WorkspaceBound";
    /// The bot can post in the topic's chat.
    pub const CHAT_REACHABLE: &str = "ChatReachable";
    /// It holds what it needs to have a pod.
    pub const ADMITTED: &str = "Admitted";
    /// A turn runs or waits for a person.
    pub const ACTIVE: &str = "Active";
    /// The pod is gone on purpose, the workspace kept.
    pub const SUSPENDED: &str = "Suspended";
    /// The agent uses more memory than `memory.warnPercent` of its limit.
    pub const MEMORY_PRESSURE: &str = "MemoryPressure";
    /// Little is free on the topic's volume.
    pub const DISK_PRESSURE: &str = "DiskPressure";
    /// The outcomes of all turns so far are in the topic's state files.
    pub const SUMMARIZED: &str = "Summarized";
    /// The session is over.
    pub const ENDED: &str = "Ended";
    /// The task has a result.
    pub const COMPLETE: &str = "Complete";
    /// The task will have no result.
    pub const FAILED: &str = "Failed";
}

/// Reasons.
pub mod reasons {
    /// It holds a slot, or the class has no limit.
    pub const ADMITTED: &str = "Admitted";
    /// It waits for a slot; the message has the position.
    pub const QUEUED: &str = "Queued";
    /// Another session of the topic lives.
    pub const TOPIC_BUSY: &str = "TopicBusy";
    /// Slot freed, topic still held.
    pub const SUSPENDED: &str = "Suspended";
    /// The class has no room and its queue is full, or `whenFull: Reject` says not to wait.
    pub const REJECTED: &str = "Rejected";
    /// It waited for a slot longer than `limits.queueTimeoutSeconds`.
    pub const QUEUE_TIMEOUT: &str = "QueueTimeout";
    /// Nobody did anything for `idleTimeoutSeconds`.
    pub const IDLE_TIMEOUT: &str = "IdleTimeout";
    /// Its slot was needed by another session (`whenFull: SuspendIdle`).
    pub const SLOT_RECLAIMED: &str = "SlotReclaimed";
    /// It was not Ready again within `startTimeoutSeconds`; the message says what was in the way.
    pub const RESUME_FAILED: &str = "ResumeFailed";
    /// It was never Ready within `startTimeoutSeconds`; the message says what was in the way.
    pub const FAILED: &str = "Failed";
    /// It lived for `maxDurationSeconds`.
    pub const MAX_DURATION: &str = "MaxDuration";
    /// It was suspended for `suspendedTtlSeconds` and nobody came back.
    pub const SUSPENDED_TOO_LONG: &str = "SuspendedTooLong";
    /// Its node does not answer. The pod is replaced when the Node object is gone or tainted `node.kubernetes.io/out-of-service`.
    pub const NODE_LOST: &str = "NodeLost";
    /// The agent uses less memory than `memory.warnPercent` of its limit.
    pub const BELOW_THRESHOLD: &str = "BelowThreshold";
    /// The agent uses more memory than `memory.warnPercent` of its limit.
    pub const NEAR_LIMIT: &str = "NearLimit";
    /// claude was restarted with its conversation, because memory ran short.
    pub const RECYCLED: &str = "Recycled";
    /// There is room on the topic's volume.
    pub const ENOUGH_SPACE: &str = "EnoughSpace";
    /// The topic's volume is nearly full.
    pub const NEARLY_FULL: &str = "NearlyFull";
    /// The summary stands in the state files.
    pub const WRITTEN: &str = "Written";
    /// There was nothing to summarise since the last summary.
    pub const NOTHING_NEW: &str = "NothingNew";
    /// The summary could not be made; the topic's next pod makes it first.
    pub const SUMMARY_FAILED: &str = "SummaryFailed";
    /// The AgentClass does not exist.
    pub const CLASS_NOT_FOUND: &str = "ClassNotFound";
    /// The Topic does not exist or is not Ready.
    pub const TOPIC_NOT_FOUND: &str = "TopicNotFound";
    /// Everything is there.
    pub const READY: &str = "Ready";
    /// The topic is being made ready, the pod is on the way, or claude is.
    pub const STARTING: &str = "Starting";
    /// The pod of a session that has run before is on the way, with its conversation.
    pub const RESUMING: &str = "Resuming";
    /// A task of the topic runs; the session starts when it has finished.
    pub const WAITING_FOR_TASK: &str = "WaitingForTask";
    /// The topic's session lives; the task starts when it has ended or is suspended.
    pub const WAITING_FOR_SESSION: &str = "WaitingForSession";
    /// The pod's image cannot be pulled.
    pub const IMAGE_PULL: &str = "ImagePull";
    /// No node takes the pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// The runner or claude exits again and again.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// The agent was killed for using more memory than its limit.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// claude has no valid credentials.
    pub const AGENT_NOT_LOGGED_IN: &str = "AgentNotLoggedIn";
    /// A ConfigMap that the AgentClass or the Topic names is not there.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// The Topic's repository cannot be cloned into its workspace; the message has what git said.
    pub const REPOSITORY_CLONE_FAILED: &str = "RepositoryCloneFailed";
    /// A directory of the volume cannot be written.
    pub const VOLUME_NOT_WRITABLE: &str = "VolumeNotWritable";
    /// An object with a name that Longshore needs belongs to somebody else.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// The session is over.
    pub const ENDED: &str = "Ended";
    /// A turn runs.
    pub const TURN_RUNNING: &str = "TurnRunning";
    /// A permission prompt or plan waits for a person.
    pub const WAITING_FOR_APPROVAL: &str = "WaitingForApproval";
    /// A question of claude's waits for a person.
    pub const WAITING_FOR_ANSWER: &str = "WaitingForAnswer";
    /// Nothing runs.
    pub const IDLE: &str = "Idle";
    /// Nobody has asked the runner.
    pub const UNKNOWN: &str = "Unknown";
    /// Somebody asked for it.
    pub const REQUESTED: &str = "Requested";
    /// It is not suspended.
    pub const NOT_SUSPENDED: &str = "NotSuspended";
    /// A person ended it: `/end`, "done", `desiredState: Ended`.
    pub const USER_ENDED: &str = "UserEnded";
    /// The object is being deleted.
    pub const DELETED: &str = "Deleted";
    /// It is not over.
    pub const NOT_ENDED: &str = "NotEnded";
    /// The task has a result.
    pub const COMPLETED: &str = "Completed";
    /// The command of `when` has found that claude need not be asked; it was not.
    pub const NOT_NEEDED: &str = "NotNeeded";
    /// The command of `when` could not be run to its end, so claude was not asked; the message says why and what to do.
    pub const WHEN_FAILED: &str = "WhenFailed";
    /// The task is not over.
    pub const NOT_FINISHED: &str = "NotFinished";
    /// The task ran longer than it may.
    pub const TIMEOUT: &str = "Timeout";
    /// Its pods were lost more often than `retries` allows.
    pub const POD_LOST: &str = "PodLost";
    /// The claim was made.
    pub const CLAIM_CREATED: &str = "ClaimCreated";
    /// The named claim does not exist.
    pub const CLAIM_NOT_FOUND: &str = "ClaimNotFound";
    /// The claim is bound.
    pub const BOUND: &str = "Bound";
    /// The claim waits for its first pod, or for a volume.
    pub const PENDING: &str = "Pending";
    /// Its volume was lost.
    pub const LOST: &str = "Lost";
    /// An older Topic has the same chat binding.
    pub const DUPLICATE_BINDING: &str = "DuplicateBinding";
    /// It runs by its schedule.
    pub const SCHEDULED: &str = "Scheduled";
    /// The schedule cannot be read, or never comes true; the message says what to write.
    pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
    /// The time zone is not known; the message says what to write.
    pub const INVALID_TIME_ZONE: &str = "InvalidTimeZone";
    /// A run is due and its task cannot be made; the message says why. It is tried again.
    pub const CANNOT_START: &str = "CannotStart";
    /// The last run would have started later than `startingDeadlineSeconds` allows, and was left out.
    pub const MISSED_DEADLINE: &str = "MissedDeadline";
    /// Several runs were due at once, as after a downtime; only the latest was started.
    pub const LATER_RUN_DUE: &str = "LaterRunDue";
    /// The last run was left out because an earlier one was not over (`concurrencyPolicy: Forbid`).
    pub const PREVIOUS_RUN_ACTIVE: &str = "PreviousRunActive";
    /// The last run was left out because a session of the topic had a pod (`whileSessionActive: Skip`).
    pub const SESSION_ACTIVE: &str = "SessionActive";
    /// A run waits for the topic's session to take it (`whileSessionActive: ToSession`).
    pub const HANDING_OVER: &str = "HandingOver";
    /// The last run was left out because `desiredState: Suspended` keeps the topic's session asleep (`whileSessionActive: ToSession`).
    pub const SESSION_SUSPENDED: &str = "SessionSuspended";
    /// The topic's session went away while the last run was given to it, and may or may not have taken it.
    pub const HAND_OVER_UNCERTAIN: &str = "HandOverUncertain";
    /// The bot can post in the topic's chat.
    pub const REACHABLE: &str = "Reachable";
    /// The person has blocked the bot, or never wrote to it.
    pub const BOT_BLOCKED: &str = "BotBlocked";
    /// The bot is no longer a member of the chat.
    pub const BOT_REMOVED: &str = "BotRemoved";
    /// The bot may not write in the chat.
    pub const NO_RIGHTS: &str = "NoRights";
    /// The chat does not exist, or has another id now.
    pub const CHAT_NOT_FOUND: &str = "ChatNotFound";
    /// The forum topic was closed.
    pub const TOPIC_CLOSED: &str = "TopicClosed";
    /// The forum topic was deleted.
    pub const TOPIC_DELETED: &str = "TopicDeleted";
    /// Access is in force, and every rule of the policy can decide about messages.
    pub const IN_FORCE: &str = "InForce";
    /// `access` of the policy cannot be read, so it lets nobody in.
    pub const ACCESS_UNREADABLE: &str = "AccessUnreadable";
    /// A part of the policy other than access and rules cannot be read.
    pub const PARTLY_UNREADABLE: &str = "PartlyUnreadable";
    /// A rule cannot be read or carried out, so it is skipped.
    pub const RULE_INVALID: &str = "RuleInvalid";
    /// A template of Topics cannot be read, so it is skipped.
    pub const TOPIC_TEMPLATE_INVALID: &str = "TopicTemplateInvalid";
    /// A template of Topics never counts, since an earlier one matches wherever it does.
    pub const TOPIC_TEMPLATE_SHADOWED: &str = "TopicTemplateShadowed";
    /// A rule matches the same as an earlier one and does something else.
    pub const RULE_CONFLICT: &str = "RuleConflict";
    /// A rule or a template of Topics names an AgentClass that does not exist.
    pub const BROKEN_REFERENCE: &str = "BrokenReference";
    /// A rule never decides, since an earlier one matches all that it matches.
    pub const RULE_SHADOWED: &str = "RuleShadowed";
    /// Heuristics or `whileSessionActive` of an earlier policy count instead.
    pub const OVERRIDDEN: &str = "Overridden";
}
