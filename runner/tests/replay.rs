//! Recorded transcripts of the CLI go through the codec and the turn machine without a loss.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "this is a test")]

use std::path::{Path, PathBuf};

use longshore_runner::replay::replay;

fn here(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn check(folder: &Path) -> usize {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    for file in &files {
        let report = replay(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
        let name = file.display();
        assert!(report.lost.is_empty(), "{name}: {report}");
        assert!(report.unknown.is_empty(), "{name}: {report}");
    }
    files.len()
}

#[test]
fn the_stored_transcripts_are_lossless() {
    assert!(check(&here("tests/transcripts")) >= 12);
}

/// A larger collection, when there is one: `LONGSHORE_TRANSCRIPTS`, or beside the checkout.
#[test]
fn all_transcripts_at_hand_are_lossless() {
    let folder = std::env::var_os("LONGSHORE_TRANSCRIPTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| here("../../shared/claude-transcripts"));
    if folder.is_dir() {
        assert!(check(&folder) > 0, "{} holds no transcript", folder.display());
    }
}

#[test]
fn what_happened_is_told() {
    let text = std::fs::read_to_string(here("tests/transcripts/permission-allowed.jsonl")).unwrap();
    insta::assert_snapshot!(replay(&text).to_string());
}

#[test]
fn losses_and_unknown_kinds_are_named() {
    let lines = [
        r#"{"type":"system","subtype":"init"}"#,
        r#"{"type":"system","subtype":"brand_new"}"#,
        r#"{"type":"hologram"}"#,
        r#"{"type":"result","is_error":false,"num_turns":1,"terminal_reason":"completed"}"#,
        r#"{"type":"result","is_error":false,"num_turns":1,"terminal_reason":"completed"}"#,
        "not json",
    ];
    let report = replay(&lines.join("\n"));
    assert_eq!(report.lost, ["result completed"], "the second result ends no turn");
    let unknown: Vec<&str> = report.unknown.keys().map(String::as_str).collect();
    assert_eq!(
        unknown,
        [
            "a line that is not JSON",
            "unknown kind hologram",
            "unknown kind system/brand_new"
        ]
    );
}
