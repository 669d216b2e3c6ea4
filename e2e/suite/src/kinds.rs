//! Manifests as a person would write them for `kubectl apply`.

use serde_json::{Value, json};

/// A Topic without a chat.
pub fn topic(name: &str) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "Topic", "metadata": {"name": name},
        "spec": {"workspace": {"size": "1Gi", "reclaimPolicy": "Delete"}},
    })
}

/// A ContainerTask.
pub fn task(name: &str, topic: &str, prompt: &str) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "ContainerTask", "metadata": {"name": name},
        "spec": {"topicRef": {"name": topic}, "prompt": prompt},
    })
}

/// A PersistentSession.
pub fn session(name: &str, topic: &str, prompt: &str) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession", "metadata": {"name": name},
        "spec": {"topicRef": {"name": topic}, "prompt": prompt},
    })
}

/// A ScheduledTask in UTC.
pub fn schedule(name: &str, topic: &str, schedule: &str, prompt: &str) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "ScheduledTask", "metadata": {"name": name},
        "spec": {"topicRef": {"name": topic}, "schedule": schedule, "prompt": prompt},
    })
}

/// Several objects for one `kubectl apply`.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
