//! A person at a terminal.

use kubectl_longshore::chat::Before;
use kubectl_longshore::chat::standing::Standing;
use longshore_crds::SessionPhase;
use longshore_wire::api::Busy;

use crate::support::{PATIENCE, Rig};

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[tokio::test]
async fn a_typed_line_is_answered_as_the_text_comes_and_the_session_goes_on() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal.shown.wait("connected to one: idle").await;
    rig.until("busy with the terminal", |status| {
        status.busy.contains(&Busy::TerminalAttached)
    })
    .await;
    terminal
        .types("go [[slow 4 20 word ]] [[hold half]] [[say The end.]]")
        .await;
    rig.model.client().held_at("half", PATIENCE).await.unwrap();
    terminal.shown.wait("word").await;
    rig.model.client().open_gate("half").await.unwrap();
    terminal.shown.wait("The end.").await;
    rig.until("answered", |status| status.unfinished.is_empty()).await;
    let shown = terminal.leaves().await;
    assert_eq!(times(&shown, "The end."), 1, "{shown}");
    assert!(!shown.contains("ada>"), "what was typed is not repeated: {shown}");
    assert!(shown.ends_with("left; one goes on\n"), "{shown}");
    rig.until("alone", |status| !status.busy.contains(&Busy::TerminalAttached))
        .await;
    assert!(rig.status().await.claude_pid.is_some());
}

#[tokio::test]
async fn prompts_are_numbered_and_answered_by_number() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal
        .types("please [[bash touch one; echo $((1+1)) made]] [[say it said {{last_tool_result}}]]")
        .await;
    terminal
        .shown
        .wait("[1] May claude use Bash?\n    touch one; echo $((1+1)) made\n")
        .await;
    terminal.types("/allow 7").await;
    terminal.shown.wait("no prompt [7] waits").await;
    terminal.types("/allow 1").await;
    terminal.shown.wait("[1] allowed by ada").await;
    terminal.shown.wait("it said 2 made").await;
    terminal.types("again [[bash touch two]] [[say so be it]]").await;
    terminal.shown.wait("[2] May claude").await;
    terminal.types("/deny too loud").await;
    terminal.shown.wait("[2] denied by ada").await;
    terminal.shown.wait("so be it").await;
    terminal.leaves().await;
}

#[tokio::test]
async fn questions_are_answered_in_words_or_by_number() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    let question = r#"{"questions": [{"question": "Which colour?", "header": "Colour", "multiSelect": false,
        "options": [{"label": "red", "description": "warm"}, {"label": "blue", "description": "cool"}]}]}"#;
    let question = question.replace('\n', " ");
    terminal
        .types(&format!(
            "ask [[tool AskUserQuestion {question}]] [[say chosen: {{{{last_tool_result}}}}]]"
        ))
        .await;
    terminal.shown.wait("2. blue: cool").await;
    terminal.types("/answer 2").await;
    terminal.shown.wait("[1] answered by ada").await;
    terminal.shown.wait("chosen: ").await;
    let shown = terminal.leaves().await;
    assert!(shown.rsplit("chosen: ").next().unwrap().contains("blue"), "{shown}");
}

#[tokio::test]
async fn stop_ends_the_turn_and_not_the_session() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal
        .types("long [[say beginning]] [[hold never]] [[say end]]")
        .await;
    rig.model.client().held_at("never", PATIENCE).await.unwrap();
    terminal.types("/stop").await;
    terminal.shown.wait("-- stopped").await;
    terminal.shown.wait("The turn did not come to its end").await;
    terminal.types("and now [[say still here]]").await;
    terminal.shown.wait("still here").await;
    terminal.leaves().await;
}

#[tokio::test]
async fn a_replaced_pod_is_told_and_the_conversation_goes_on() {
    let mut rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal.types("first [[say heron]]").await;
    terminal.shown.wait("heron\n").await;
    rig.until("answered", |status| status.unfinished.is_empty()).await;
    rig.replace_pod().await;
    terminal.shown.wait("the pod was replaced").await;
    terminal.types("second [[say I saw {{all_users}}]]").await;
    terminal.shown.wait("I saw").await;
    let shown = terminal.leaves().await;
    assert_eq!(times(&shown, "-- connection lost"), 1, "{shown}");
    assert_eq!(times(&shown, "heron\n"), 1, "nothing is shown twice: {shown}");
    assert!(shown.contains("first"), "the new pod has the conversation: {shown}");
}

#[tokio::test]
async fn what_is_typed_while_the_pod_is_away_is_sent_once_it_is_back() {
    let mut rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal.types("first [[say heron]]").await;
    terminal.shown.wait("heron\n").await;
    rig.until("answered", |status| status.unfinished.is_empty()).await;
    let replacing = rig.replace_pod();
    let typing = async {
        terminal.shown.wait("-- connection lost").await;
        terminal.types("patience [[say rewarded]]").await;
    };
    tokio::join!(replacing, typing);
    terminal.shown.wait("rewarded").await;
    let shown = terminal.leaves().await;
    assert_eq!(times(&shown, "rewarded"), 1, "{shown}");
}

#[tokio::test]
async fn earlier_turns_are_shown_on_request() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    for (text, answer) in [("one", "uno"), ("two", "dos"), ("three", "tres")] {
        terminal.types(&format!("{text} [[say {answer}]]")).await;
        terminal.shown.wait(answer).await;
        rig.until("answered", |status| status.unfinished.is_empty()).await;
    }
    terminal.leaves().await;
    for (before, expected) in [
        (Before::All, vec!["uno", "dos", "tres"]),
        (Before::Turns(2), vec!["dos", "tres"]),
        (Before::Nothing, vec![]),
    ] {
        let terminal = rig.terminal(before);
        terminal.shown.wait("connected to one").await;
        for answer in &expected {
            terminal.shown.wait(&format!("\n{answer}\n")).await;
        }
        let shown = terminal.leaves().await;
        let found: Vec<_> = ["uno", "dos", "tres"]
            .into_iter()
            .filter(|one| shown.contains(&format!("\n{one}\n")))
            .collect();
        assert_eq!(found, expected, "{before:?}: {shown}");
        assert_eq!(shown.contains("ada> two"), expected.contains(&"dos"), "{shown}");
    }
}

#[tokio::test]
async fn a_prompt_that_waits_already_is_shown_to_who_comes() {
    let rig = Rig::start().await;
    let first = rig.terminal(Before::Nothing);
    first.types("please [[bash touch one]] [[say done]]").await;
    first.shown.wait("[1] May claude").await;
    for before in [Before::Nothing, Before::All] {
        let second = rig.terminal(before);
        second.shown.wait("[1] May claude use Bash?").await;
        let shown = second.leaves().await;
        assert_eq!(times(&shown, "May claude"), 1, "{shown}");
    }
    let third = rig.terminal(Before::Nothing);
    third.shown.wait("[1] May claude").await;
    third.types("/allow").await;
    first.shown.wait("done").await;
    third.leaves().await;
    first.leaves().await;
}

#[tokio::test]
async fn a_session_that_is_suspended_ends_the_conversation() {
    let rig = Rig::start().await;
    let terminal = rig.terminal(Before::Nothing);
    terminal.shown.wait("connected").await;
    let stands = |line: &str, phase, away| Standing {
        line: line.to_owned(),
        phase: Some(phase),
        away,
    };
    terminal
        .standing
        .send(stands("one Suspending: Requested", SessionPhase::Suspending, false))
        .unwrap();
    terminal.shown.wait("-- one Suspending: Requested").await;
    terminal
        .standing
        .send(stands("one Suspended: Requested", SessionPhase::Suspended, true))
        .unwrap();
    let shown = terminal.ends().await;
    assert!(shown.ends_with("-- one Suspended: Requested\n"), "{shown}");
}
