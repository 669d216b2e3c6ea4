//! The manifests under `manifests/samples` and `manifests/gitops` are such as the API server takes, by schema and by rules, and
//! those for Git stay as they are written when defaults are filled in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::path::{Path, PathBuf};

use kube::core::cel::validate_cel;
use longshore_crds::{AgentClass, ContainerTask, PersistentSession, RoutingPolicy, ScheduledTask, Topic, all_crds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn manifests() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate stands in the workspace").join("manifests")
}

/// All YAML files of a folder and those below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let read = |text: &str| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.split("\n---\n").map(read).collect()
}

/// What a schema has against a value. `written` asks for defaults inside of lists, too.
fn violations(path: &str, schema: &Value, value: &Value, in_list: bool, found: &mut Vec<String>) {
    if schema["x-kubernetes-int-or-string"] == true || schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    let is = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !is {
        return found.push(format!("{path}: {value} is no {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{path}: {value} is none of {allowed:?}"));
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
        Value::Array(items) => Some((items.len(), "minItems", "maxItems")),
        _ => None,
    };
    let bounds = match size {
        Some((size, least, most)) => (size as f64, &schema[least], &schema[most]),
        None => (
            value.as_f64().unwrap_or_default(),
            &schema["minimum"],
            &schema["maximum"],
        ),
    };
    if bounds.1.as_f64().is_some_and(|least| bounds.0 < least) || bounds.2.as_f64().is_some_and(|most| bounds.0 > most)
    {
        found.push(format!("{path}: {value} is out of bounds"));
    }
    for item in value.as_array().into_iter().flatten() {
        violations(&format!("{path}[]"), &schema["items"], item, true, found);
    }
    let Some(fields) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            found.push(format!("{path}: {required} is missing"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if in_list && property.get("default").is_some() && !fields.contains_key(name) {
            found.push(format!(
                "{path}.{name}: its default would be filled in inside of a list"
            ));
        }
    }
    for (name, field) in fields {
        let known = schema["properties"].get(name).or(schema.get("additionalProperties"));
        match known {
            Some(known) => violations(&format!("{path}.{name}"), known, field, in_list, found),
            None => found.push(format!("{path}.{name} is not known")),
        }
    }
}

fn refused<K>(manifest: &Value) -> Option<String>
where
    K: DeserializeOwned + Serialize + kube::CustomResourceExt,
{
    let object: K = serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{manifest}: {error}"));
    validate_cel(&object).err().map(|errors| errors.to_string())
}

/// What is wrong with a manifest of one of our kinds.
fn wrong(manifest: &Value) -> Vec<String> {
    let kind = manifest["kind"].as_str().unwrap();
    let crd = all_crds().into_iter().find(|crd| crd.spec.names.kind == kind);
    let crd = crd.unwrap_or_else(|| panic!("{kind} is no kind of ours"));
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone();
    let mut found = Vec::new();
    violations(
        "spec",
        &schema["properties"]["spec"],
        &manifest["spec"],
        false,
        &mut found,
    );
    found.extend(match kind {
        "AgentClass" => refused::<AgentClass>(manifest),
        "Topic" => refused::<Topic>(manifest),
        "ContainerTask" => refused::<ContainerTask>(manifest),
        "PersistentSession" => refused::<PersistentSession>(manifest),
        "RoutingPolicy" => refused::<RoutingPolicy>(manifest),
        "ScheduledTask" => refused::<ScheduledTask>(manifest),
        other => panic!("{other}"),
    });
    found
}

#[test]
fn every_sample_and_every_example_for_git_is_accepted_and_stays_as_it_is_written() {
    let mut kinds = Vec::new();
    for folder in ["samples", "gitops"] {
        for file in files(&manifests().join(folder)) {
            for mut manifest in documents(&file) {
                if manifest["kind"] == "Kustomization" {
                    continue;
                }
                kinds.push(manifest["kind"].as_str().unwrap().to_owned());
                if manifest["metadata"].get("generateName").is_some() {
                    manifest["metadata"]["name"] = "generated".into();
                }
                assert_eq!(wrong(&manifest), Vec::<String>::new(), "{}", file.display());
            }
        }
    }
    for crd in all_crds() {
        assert!(
            kinds.contains(&crd.spec.names.kind),
            "no example of {}",
            crd.spec.names.kind
        );
    }
}

#[test]
fn what_the_api_server_would_refuse_or_fill_in_is_found() {
    let policy = |spec: Value| {
        wrong(
            &serde_json::json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy",
            "metadata": { "name": "a" }, "spec": spec }),
        )
    };
    for (spec, expected) in [
        (
            serde_json::json!({ "access": {}, "colour": "red" }),
            "spec.colour is not known",
        ),
        (serde_json::json!({ "access": {}, "order": 5000 }), "out of bounds"),
        (
            serde_json::json!({ "access": { "users": [{ "id": 5 }] } }),
            "users[].role: its default would be filled in",
        ),
        (serde_json::json!({}), "this policy says nothing"),
    ] {
        let found = policy(spec);
        assert!(
            found.iter().any(|found| found.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn every_file_for_git_is_part_of_its_kustomization() {
    let gitops = manifests().join("gitops");
    let folders: Vec<PathBuf> = files(&gitops)
        .iter()
        .map(|file| file.parent().unwrap().to_owned())
        .collect();
    for folder in folders {
        let [kustomization] = &documents(&folder.join("kustomization.yaml"))[..] else {
            panic!("{} has one kustomization", folder.display())
        };
        let resources = kustomization["resources"].as_array().unwrap();
        let resources: Vec<&str> = resources.iter().map(|resource| resource.as_str().unwrap()).collect();
        for resource in &resources {
            assert!(folder.join(resource).exists(), "{}: {resource}", folder.display());
        }
        let beside = std::fs::read_dir(&folder).unwrap();
        for file in beside.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            let named = resources.contains(&file.as_str()) || file == "kustomization.yaml";
            assert!(named, "{}: nothing names {file}", folder.display());
        }
    }
}
