//! Names of everything that is derived. All are deterministic, so a repeated create is a harmless 409.

/// StatefulSet of a topic's session; its pod is `ls-<topic>-0`. At most 52 characters, since topics have at most 49.
pub fn stateful_set(topic: &str) -> String {
    format!("ls-{topic}")
}

/// The one pod of a topic's StatefulSet.
pub fn session_pod(topic: &str) -> String {
    format!("ls-{topic}-0")
}

/// PersistentVolumeClaim of a topic.
pub fn claim(topic: &str) -> String {
    format!("ls-{topic}")
}

/// Headless Service that all StatefulSets of a namespace share.
pub const AGENT_SERVICE: &str = "longshore-agents";

/// The AgentClass that limits a whole namespace: nobody runs by it, but its limits hold for the agents of all classes together, and
/// its ledger has their slots.
pub const NAMESPACE_CLASS: &str = "namespace";

/// Job of a task. Attempt 0 is the first; a lost pod is replaced by a Job with the next number.
pub fn job(task: &str, attempt: i32) -> String {
    if attempt == 0 {
        task.to_owned()
    } else {
        format!("{task}-{attempt}")
    }
}

/// Topic that the bot makes for a chat: `tg-<abs chatId><g|p>-<thread or 0>`. Groups have negative ids.
pub fn telegram_topic(chat_id: i64, thread_id: Option<i64>) -> String {
    let kind = if chat_id < 0 { 'g' } else { 'p' };
    format!("tg-{}{kind}-{}", chat_id.unsigned_abs(), thread_id.unwrap_or(0))
}

/// Task or session that the bot makes for a message.
pub fn for_message(topic: &str, message_id: i64) -> String {
    format!("{topic}-{message_id}")
}

/// The same for a message of a supergroup that was a group before: its messages are numbered anew, and the Topic has known others under
/// these numbers.
pub fn for_message_since_upgrade(topic: &str, message_id: i64) -> String {
    format!("{topic}-u{message_id:x}")
}

/// Session that takes over from the task of a message.
pub fn for_escalation(task: &str) -> String {
    format!("{task}-s")
}

/// Task of a ScheduledTask's run. `minute` counts from the Unix epoch, so both of two equal times of day on the night when clocks
/// go back have a name of their own.
pub fn for_run(schedule: &str, minute: i64) -> String {
    format!("{schedule}-{minute}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_stay_within_the_limits_of_kubernetes() {
        let topic = telegram_topic(i64::MIN + 1, Some(i64::from(i32::MAX)));
        assert!(topic.len() <= 49, "{topic}");
        let longest = "t".repeat(49);
        assert!(stateful_set(&longest).len() <= 52);
        assert!(for_run(&"s".repeat(50), 999_999_999).len() <= 60);
        assert!(job(&for_message_since_upgrade(&longest, i64::from(i32::MAX)), 10).len() <= 63);
        assert!(job(&for_message(&longest, i64::from(i32::MAX)), 10).len() <= 63);
    }

    #[test]
    fn the_general_topic_a_group_and_a_person_get_names_of_their_own() {
        assert_eq!(telegram_topic(-1001234, None), "tg-1001234g-0");
        assert_eq!(telegram_topic(-1001234, Some(7)), "tg-1001234g-7");
        assert_eq!(telegram_topic(1001234, None), "tg-1001234p-0");
        assert_eq!(telegram_topic(1001234, Some(7)), "tg-1001234p-7");
    }
}
