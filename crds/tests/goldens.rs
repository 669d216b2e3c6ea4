//! The generated manifests are checked in twice, under `manifests/crds` and in the chart; both must match the types.

use std::path::{Path, PathBuf};

use longshore_crds::{all_crds, to_yaml};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
        .to_owned()
}

#[test]
fn manifests_and_chart_hold_the_generated_crds_byte_for_byte() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for crd in all_crds() {
        let name = format!("{}.yaml", crd.metadata.name.as_deref().expect("every CRD has a name"));
        let expected = to_yaml(&crd).expect("a CRD can be written as YAML");
        for folder in ["manifests/crds", "charts/longshore/crds"] {
            let path = root().join(folder).join(&name);
            if update {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &expected).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == expected,
                "{folder}/{name} is stale: UPDATE_GOLDEN=1 cargo test -p longshore-crds"
            );
        }
    }
}

#[test]
fn every_field_of_our_own_has_a_description() {
    fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) else {
            return;
        };
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            if property.get("description").is_none() {
                missing.push(path.clone());
            }
            walk(&path, property, missing);
            if let Some(items) = property.get("items") {
                walk(&path, items, missing);
            }
        }
    }
    let mut missing = Vec::new();
    for crd in all_crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone();
        walk(&crd.spec.names.kind, &schema["properties"]["spec"], &mut missing);
        walk(&crd.spec.names.kind, &schema["properties"]["status"], &mut missing);
    }
    assert!(missing.is_empty(), "no description: {missing:#?}");
}

#[test]
fn every_string_and_list_of_our_own_specs_is_bounded() {
    // Kubernetes' own types (affinity, env, resources, ...) are bounded by the API server's request limit alone.
    const FOREIGN: [&str; 5] = ["resources", "tolerations", "affinity", "env", "egress"];
    fn walk(path: &str, schema: &serde_json::Value, unbounded: &mut Vec<String>) {
        match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_none() && schema.get("maxLength").is_none() => {
                unbounded.push(path.to_owned());
            }
            Some("array") if schema.get("maxItems").is_none() => unbounded.push(path.to_owned()),
            _ => {}
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if !FOREIGN.contains(&name.as_str()) {
                walk(&format!("{path}.{name}"), property, unbounded);
            }
        }
        if let Some(items) = schema.get("items") {
            walk(&format!("{path}[]"), items, unbounded);
        }
    }
    let mut unbounded = Vec::new();
    for crd in all_crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone();
        walk(&crd.spec.names.kind, &schema["properties"]["spec"], &mut unbounded);
    }
    assert!(unbounded.is_empty(), "not bounded: {unbounded:#?}");
}
