//! Journals, and the keys that open them.

use jiff::tz::TimeZone;
use kubectl_longshore::chat::Before;
use kubectl_longshore::chat::standing::Standing;
use kubectl_longshore::logs::{Reading, read_on, read_out};
use kubectl_longshore::runner::RunnerError;
use longshore_wire::api::Busy;
use tokio::sync::watch;

use crate::support::{PATIENCE, Rig, Shown};

fn reading<'a>(rig: &Rig, since: u64, out: &'a mut Shown) -> Reading<'a> {
    Reading {
        runner: rig.runner(),
        uid: rig.uid.to_string(),
        name: "one".to_owned(),
        since,
        zone: TimeZone::UTC,
        out,
    }
}

async fn read(rig: &Rig, since: u64) -> String {
    let mut out = Shown::default();
    let reading = read_out(reading(rig, since, &mut out));
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the journal has no end")
        .unwrap();
    out.text()
}

async fn say(rig: &Rig, text: &str, answer: &str) {
    let terminal = rig.terminal(Before::Nothing);
    terminal.types(text).await;
    terminal.shown.wait(answer).await;
    rig.until("answered", |status| status.unfinished.is_empty()).await;
    terminal.leaves().await;
}

#[tokio::test]
async fn the_journal_reads_as_a_conversation_and_stays_as_it_is() {
    let rig = Rig::start().await;
    assert_eq!(read(&rig, 0).await, "");
    say(&rig, "hello [[say good day]]", "good day").await;
    let (seq, text) = (rig.status().await.seq, read(&rig, 0).await);
    let lines: Vec<_> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(lines, ["ada: hello [[say good day]]", "claude: good day"], "{text}");
    say(&rig, "more [[say good night]]", "good night").await;
    let text = read(&rig, seq).await;
    assert!(text.contains("good night") && !text.contains("good day"), "{text}");
    assert_eq!(rig.status().await.acked, 0, "reading takes nothing from the bot");
}

#[tokio::test]
async fn a_journal_that_is_followed_keeps_no_session_awake() {
    let rig = Rig::start().await;
    let (mut out, mut notes) = (Shown::default(), Shown::default());
    let shown = out.clone();
    let (sender, standing) = watch::channel(Standing::default());
    let following = read_on(reading(&rig, 0, &mut out), &mut notes, standing);
    let acting = async {
        say(&rig, "hello [[say good day]]", "good day").await;
        shown.wait("claude: good day").await;
        rig.until("alone", |status| !status.busy.contains(&Busy::TerminalAttached))
            .await;
        assert_eq!(rig.status().await.busy, []);
        let away = Standing {
            line: "one Suspended: IdleTimeout".to_owned(),
            phase: None,
            away: true,
        };
        sender.send(away).unwrap();
    };
    let (followed, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(following, acting) })
        .await
        .unwrap();
    followed.unwrap();
    assert_eq!(notes.text(), "-- one Suspended: IdleTimeout\n");
}

#[tokio::test]
async fn rotated_keys_are_read_anew_and_wrong_ones_are_told() {
    let rig = Rig::start().await;
    let rotated = rig.runner_with(&[&["old", "older"], &["new", "the-token"]]);
    assert!(
        matches!(rotated.status().await, Err(RunnerError::Unauthorized)),
        "the first look at the keys was too early"
    );
    rotated.status().await.unwrap();
    rotated.status().await.unwrap();
    let wrong = rig.runner_with(&[&["wrong"]]);
    assert!(
        wrong
            .status()
            .await
            .unwrap_err()
            .to_string()
            .contains("accepts none of the namespace's keys")
    );
}
