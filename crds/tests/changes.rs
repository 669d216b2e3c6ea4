//! What may be changed in an object that exists, by the rules that the API server runs.

use kube::CustomResourceExt;
use kube::core::cel::validate_cel_update;
use longshore_crds::{ContainerTask, PersistentSession, Topic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<K: DeserializeOwned + CustomResourceExt>(spec: Value) -> K {
    let crd = K::crd();
    let manifest = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": crd.spec.names.kind,
        "metadata": { "name": "a" }, "spec": spec });
    serde_json::from_value(manifest).expect("the manifest is of this kind")
}

/// `refused` is the beginning of the message.
fn check<K: DeserializeOwned + CustomResourceExt + Serialize>(old: &Value, new: &Value, refused: Option<&str>) {
    let outcome = validate_cel_update::<K>(&object(new.clone()), &object(old.clone()));
    let said = outcome.err().map(|errors| errors.to_string()).unwrap_or_default();
    match refused {
        Some(beginning) => assert!(said.contains(beginning), "{old} -> {new}: {said}"),
        None => assert_eq!(said, "", "{old} -> {new}"),
    }
}

#[test]
fn the_volume_of_a_topic_stays_its_own() {
    let fixed = Some("workspace.existingClaim cannot be changed");
    let claim = |name: &str| json!({ "workspace": { "existingClaim": name } });
    check::<Topic>(&claim("a"), &claim("b"), fixed);
    check::<Topic>(&json!({}), &claim("b"), fixed);
    check::<Topic>(&claim("a"), &json!({}), fixed);
    check::<Topic>(
        &claim("a"),
        &json!({ "displayName": "x", "workspace": { "existingClaim": "a" } }),
        None,
    );
    check::<Topic>(&json!({}), &json!({ "workspace": { "size": "20Gi" } }), None);
    let class = |name: &str| json!({ "workspace": { "storageClassName": name } });
    let moved = Some("workspace.storageClassName cannot be changed");
    check::<Topic>(&class("slow"), &class("fast"), moved);
    check::<Topic>(&json!({}), &class("fast"), moved);
    check::<Topic>(&class("slow"), &class("slow"), None);
    let modes = |mode: &str| json!({ "workspace": { "accessModes": [mode] } });
    let opened = Some("workspace.accessModes of a volume cannot be changed");
    check::<Topic>(&modes("ReadWriteOnce"), &modes("ReadWriteMany"), opened);
    check::<Topic>(&modes("ReadWriteOnce"), &modes("ReadWriteOnce"), None);
}

#[test]
fn the_message_behind_a_prompt_stays_the_same() {
    let spec = |message: Option<i64>| {
        let mut spec = json!({ "topicRef": { "name": "t" }, "prompt": "p" });
        if let Some(id) = message {
            spec["origin"] = json!({ "telegram": { "chatId": -1, "messageId": id, "userId": 7 } });
        }
        spec
    };
    for (old, new) in [(Some(1), Some(2)), (Some(1), None), (None, Some(1))] {
        check::<ContainerTask>(&spec(old), &spec(new), Some("origin cannot be changed"));
        check::<PersistentSession>(&spec(old), &spec(new), Some("origin cannot be changed"));
    }
    let mut suspended = spec(Some(1));
    suspended["desiredState"] = json!("Suspended");
    check::<PersistentSession>(&spec(Some(1)), &suspended, None);
    let mut asking = spec(Some(1));
    asking["escalation"] = json!("Ask");
    check::<ContainerTask>(&spec(Some(1)), &asking, Some("escalation cannot be changed"));
    check::<ContainerTask>(&asking, &asking, None);
    let mut reading = spec(Some(1));
    reading["readOnly"] = json!(true);
    check::<ContainerTask>(&spec(Some(1)), &reading, Some("readOnly cannot be changed"));
    check::<ContainerTask>(&reading, &reading, None);
    let mut checked = spec(Some(1));
    checked["when"] = json!({ "command": ["./look"], "timeoutSeconds": 60 });
    check::<ContainerTask>(&spec(Some(1)), &checked, Some("when cannot be changed"));
    check::<ContainerTask>(&checked, &checked, None);
    let mut longer = spec(Some(1));
    longer["ttlSecondsAfterFinished"] = json!(9);
    check::<ContainerTask>(&spec(Some(1)), &longer, None);
}
