//! Updates of newer versions of the Bot API and broken ones, as data in `tests/updates`: each with what must be read from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::update::{self, Content, Update};

/// The corpus by file name.
fn corpus() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/updates");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = files.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let case = serde_json::from_slice(&std::fs::read(path).unwrap());
        (name.clone(), case.unwrap_or_else(|error| panic!("{name}: {error}")))
    });
    read.collect()
}

fn kind(update: &Update) -> &'static str {
    match update {
        Update::Message(message) => match &message.content {
            Content::Unsupported(_) => "unsupported",
            Content::Text(text) if text.trim().is_empty() => "empty",
            Content::Text(_) if message.user != 7777 => "stranger",
            Content::Text(_) => "message",
        },
        Update::Edited { .. } => "edit",
        Update::Press(_) => "press",
        Update::Membership { .. } => "membership",
        Update::Migrated { .. } => "migration",
        Update::Topic { .. } => "topic",
        Update::Other => "nothing",
    }
}

#[test]
fn no_update_of_a_newer_version_or_a_broken_one_loses_its_words() {
    let corpus = corpus();
    assert!(corpus.len() >= 40, "only {}", corpus.len());
    for (name, case) in corpus {
        let mut raw = case["update"].clone();
        raw["update_id"] = 1.into();
        let read = update::read(&raw);
        assert_eq!(kind(&read), case["reads"], "{name}: {read:?}");
        if let (Update::Message(message), Some(text)) = (&read, case["text"].as_str()) {
            assert_eq!(message.content, Content::Text(text.to_owned()), "{name}");
            assert_eq!(message.left_out, case["leftOut"].as_str(), "{name}");
        }
        assert_eq!(update::update_id(&raw), Some(1), "{name}: the stream goes on behind it");
    }
}

#[test]
fn reading_survives_any_field_of_any_other_type() {
    let wrong = [
        Value::Null,
        7.into(),
        "x".into(),
        serde_json::json!([]),
        serde_json::json!({}),
        true.into(),
    ];
    for (name, case) in corpus() {
        for (kind, content) in case["update"].as_object().unwrap() {
            for field in content.as_object().into_iter().flatten().map(|(field, _)| field) {
                for value in &wrong {
                    let mut raw = case["update"].clone();
                    raw[kind][field] = value.clone();
                    let read = update::read(&raw);
                    if let (Update::Message(message), Some(text)) = (&read, content["text"].as_str()) {
                        let kept = field == "text" || message.content == Content::Text(text.to_owned());
                        let also = matches!(&message.content, Content::Text(all) if all.starts_with(text));
                        assert!(kept || also, "{name}: {field} as {value} costs the text: {read:?}");
                    }
                }
            }
        }
    }
}
