//! A program at standard input.

use jiff::tz::TimeZone;
use kubectl_longshore::chat::lines::Line;
use kubectl_longshore::chat::standing::Standing;
use kubectl_longshore::chat::{Before, ChatError, Desk, play};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::support::{PATIENCE, Rig, Shown};

/// Plays lines; the outcome, standard output, and what is beside it.
async fn plays(
    rig: &Rig,
    lines: &[&str],
    standing: watch::Receiver<Standing>,
) -> (Result<bool, ChatError>, String, String) {
    let (sender, typed) = mpsc::channel(64);
    for line in lines {
        sender.send(Line::Text((*line).to_owned())).await.unwrap();
    }
    sender.send(Line::End).await.unwrap();
    let (mut out, mut notes) = (Shown::default(), Shown::default());
    let (shown, beside) = (out.clone(), notes.clone());
    let desk = Desk {
        runner: rig.runner(),
        uid: rig.uid.to_string(),
        name: "one".to_owned(),
        by: None,
        zone: TimeZone::UTC,
        out: &mut out,
    };
    let played = tokio::time::timeout(PATIENCE, play(desk, &mut notes, typed, standing)).await;
    (played.expect("the script does not end"), shown.text(), beside.text())
}

#[tokio::test]
async fn each_line_gets_its_own_answer_on_standard_output() {
    let rig = Rig::start().await;
    let (_keep, standing) = watch::channel(Standing::default());
    let lines = [
        "/stop is text here [[say first answer]]",
        "",
        "more [[say second answer]]",
    ];
    let (outcome, out, beside) = plays(&rig, &lines, standing).await;
    assert!(outcome.unwrap());
    assert_eq!(out, "first answer\nsecond answer\n", "{beside}");
}

#[tokio::test]
async fn a_failed_turn_makes_the_script_fail_but_the_rest_is_played() {
    let rig = Rig::start().await;
    let (_keep, standing) = watch::channel(Standing::default());
    let fails = json!({"match": {"user": "^bad$"}, "steps": [{"error": {"status": 400, "times": 99}}]});
    rig.model.client().add_rules(&fails).await.unwrap();
    let lines = ["bad", "good [[say well]]"];
    let (outcome, out, beside) = plays(&rig, &lines, standing).await;
    assert!(!outcome.unwrap());
    assert!(out.ends_with("well\n"), "{out}{beside}");
    assert!(beside.contains("The turn did not come to its end"), "{beside}");
}

#[tokio::test]
async fn a_prompt_that_a_script_meets_is_answered_elsewhere() {
    let rig = Rig::start().await;
    let (_keep, standing) = watch::channel(Standing::default());
    let terminal = rig.terminal(Before::Nothing);
    let answering = async {
        terminal.shown.wait("[1] May claude use Bash?").await;
        terminal.types("/allow").await;
    };
    let (played, ()) = tokio::join!(plays(&rig, &["do [[bash touch it]] [[say done]]"], standing), answering);
    let (outcome, out, beside) = played;
    assert!(outcome.unwrap() && out == "done\n", "{out}{beside}");
    assert!(
        beside.contains("a script cannot answer") && !beside.contains("/allow 1"),
        "{beside}"
    );
    terminal.leaves().await;
}

#[tokio::test]
async fn a_session_that_leaves_leaves_the_line_unanswered() {
    let rig = Rig::start().await;
    let (sender, standing) = watch::channel(Standing::default());
    let gone = async {
        rig.model.client().held_at("never", PATIENCE).await.unwrap();
        let away = Standing {
            line: "one Ended: by ada".to_owned(),
            phase: None,
            away: true,
        };
        sender.send(away).unwrap();
    };
    let ((outcome, out, _), ()) = tokio::join!(plays(&rig, &["long [[hold never]]"], standing), gone);
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the last line has no answer: one Ended: by ada"
    );
    assert_eq!(out, "");
}
