//! `when` of tasks and schedules, by the rules that the API server runs.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use kube::core::cel::validate_cel;
use longshore_crds::{ContainerTask, ScheduledTask};
use serde_json::{Value, json};

fn said(kind: &str, when: &Value, more: &Value) -> String {
    let mut spec = json!({ "topicRef": { "name": "t" }, "prompt": "p", "when": when });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let object =
        json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": { "name": "a" }, "spec": spec });
    let outcome = match kind {
        "ContainerTask" => validate_cel(&serde_json::from_value::<ContainerTask>(object).unwrap()),
        _ => validate_cel(&serde_json::from_value::<ScheduledTask>(object).unwrap()),
    };
    outcome.err().map(|errors| errors.to_string()).unwrap_or_default()
}

fn check(when: &Value, more: &Value, refused: Option<&str>) {
    let mut scheduled = more.clone();
    scheduled["schedule"] = json!("@daily");
    for (kind, more) in [("ContainerTask", more), ("ScheduledTask", &scheduled)] {
        let said = said(kind, when, more);
        match refused {
            Some(piece) => assert!(said.contains(piece), "{kind} {when} {more}: {said}"),
            None => assert_eq!(said, "", "{kind} {when} {more}"),
        }
    }
}

#[test]
fn a_command_names_a_program_and_has_less_time_than_the_task() {
    let look = json!({ "command": ["sh", "-c", "exit 1", ""] });
    check(&look, &json!({}), None);
    check(&look, &json!({ "timeoutSeconds": 61 }), None);
    let late = Some("when.timeoutSeconds (60 if left out) must be less than timeoutSeconds");
    check(&look, &json!({ "timeoutSeconds": 60 }), late);
    let patient = json!({ "command": ["look"], "timeoutSeconds": 900 });
    check(&patient, &json!({ "timeoutSeconds": 901 }), None);
    check(&patient, &json!({ "timeoutSeconds": 900 }), late);
    check(
        &json!({ "command": ["", "x"] }),
        &json!({}),
        Some("the first entry names the program"),
    );
}

#[test]
fn a_prompt_that_goes_to_a_session_is_not_checked_so_that_is_refused() {
    let look = json!({ "command": ["look"] });
    let more = |mode: &str| json!({ "schedule": "@daily", "whileSessionActive": mode });
    let told = said("ScheduledTask", &look, &more("ToSession"));
    assert!(told.contains("write whileSessionActive: QueueTask or Skip"), "{told}");
    for mode in ["QueueTask", "Skip"] {
        assert_eq!(said("ScheduledTask", &look, &more(mode)), "");
    }
}
