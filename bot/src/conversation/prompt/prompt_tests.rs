//! How prompts look at every step, and when a decision counts once more.

use super::*;
use serde_json::json;

/// Ten o'clock, in Unix seconds.
const TEN: i64 = 1_767_261_600;

fn prompt(kind: ApprovalKind, tool: &str, input: serde_json::Value) -> Prompt {
    let approval = Approval {
        summary: "summary".into(),
        expires_at: Timestamp::from_second(TEN + 1800).unwrap(),
        rememberable: Some(vec!["Bash(ls:*)".into()]),
        ..Approval::new("req-1", kind, tool, input)
    };
    Prompt::new(9, approval, TEN)
}

fn bash() -> Prompt {
    prompt(
        ApprovalKind::Permission,
        "Bash",
        json!({"command": "rm -rf target && ls", "description": "Clean"}),
    )
}

fn pressed(verdict: Verdict, at: i64) -> Pressed {
    Pressed {
        decision: Decision {
            verdict,
            remember: false,
            message: None,
            answers: BTreeMap::new(),
            by: Some("Ada".into()),
        },
        word: None,
        at,
        how: How::Here,
    }
}

fn closed(outcome: ApprovalOutcome, by: Option<&str>) -> Option<Closed> {
    let by = by.map(str::to_owned);
    let at = TEN + 120;
    Some(Closed { outcome, by, at })
}

fn labels(content: &Content) -> Vec<Vec<&str>> {
    let rows = content.buttons.iter();
    rows.map(|row| row.iter().map(|button| button.text.as_str()).collect())
        .collect()
}

#[test]
fn a_permission_prompt_shows_the_whole_command_and_until_when_it_waits() {
    let mut bash = bash();
    bash.people = vec!["Ada".into(), "Bo\u{202e}b".into()];
    bash.approval.reason = Some("outside of the workspace".into());
    bash.approval.blocked_path = Some("/target".into());
    let shown = look(&bash);
    assert_eq!(
        shown.rich.text,
        "May claude use Bash?\n\nClean\n\nrm -rf target && ls\n\n\
         Why claude asks: outside of the workspace (/target)\n\n\
         For Ada and Bo\\u{202e}b. Waits until 10:30 UTC."
    );
    let code = &shown.rich.entities[1];
    assert_eq!(
        code.style,
        Style::Pre {
            language: Some("bash".into())
        }
    );
    assert_eq!(shown.buttons.len(), 2);
    bash.approval.expires_at = Timestamp::from_second(TEN + 3 * 86_400).unwrap();
    assert!(look(&bash).rich.text.ends_with("Waits until 2026-01-04 10:00 UTC."));
}

#[test]
fn of_what_does_not_fit_it_is_said_how_much_is_missing() {
    let text = (0..4000).map(|n| format!("line {n}\n")).collect::<String>();
    for kind in [ApprovalKind::Permission, ApprovalKind::Plan] {
        let long = prompt(kind, "Write", json!({"content": text, "plan": text}));
        let shown = look(&long).rich;
        assert!(shown.units() <= 4096, "{}", shown.units());
        assert!(shown.text.contains("lines with ") && shown.text.contains("characters more stand in the file below]"));
        assert!(shown.text.ends_with("Waits until 10:30 UTC."));
        let file = in_full(&long.approval).unwrap().file.unwrap();
        assert!(matches!(file.body, Body::Text(all) if all.contains("line 3999")));
    }
    assert!(in_full(&bash().approval).is_none());
    let endings = [ApprovalOutcome::Denied, ApprovalOutcome::Cancelled];
    for outcome in endings {
        let mut long = prompt(
            ApprovalKind::Permission,
            &"X".repeat(900),
            json!({"a": "é".repeat(100_000)}),
        );
        long.approval.reason = Some("r".repeat(512));
        long.approval.blocked_path = Some("/p".repeat(256));
        let mut word = pressed(Verdict::Deny, TEN);
        word.word = Some("w".repeat(9000));
        long.pressed = Some(word);
        long.closed = closed(outcome, Some(&"n".repeat(256)));
        let units = look(&long).rich.units();
        assert!(units <= 4096, "{units}");
    }
}

#[test]
fn how_a_permission_prompt_ended_stands_below_it() {
    let check = |change: &dyn Fn(&mut Prompt), expected: &str| {
        let mut bash = bash();
        change(&mut bash);
        let shown = look(&bash);
        let (_, ending) = shown.rich.text.split_once("&& ls\n\n").unwrap();
        assert_eq!(ending, expected);
        shown.buttons.len()
    };
    use ApprovalOutcome::{Allowed, Cancelled, Denied, Expired};
    assert_eq!(
        check(&|it| it.closed = closed(Allowed, Some("Ada")), "✅ Allowed by Ada."),
        0
    );
    check(&|it| it.closed = closed(Denied, None), "⛔ Denied.");
    check(
        &|it| {
            it.closed = closed(Denied, Some("Ada"));
            it.pressed = Some(Pressed {
                word: Some("not\non a Friday".into()),
                ..pressed(Verdict::Deny, TEN)
            });
        },
        "⛔ Denied by Ada: not on a Friday",
    );
    check(
        &|it| {
            it.closed = closed(Allowed, Some("Ada"));
            let mut session = pressed(Verdict::Allow, TEN);
            session.decision.remember = true;
            it.pressed = Some(session);
        },
        "✅ Allowed by Ada. For this session: Bash(ls:*).",
    );
    check(
        &|it| it.closed = closed(Expired, None),
        "⌛ Nobody answered until 10:30 UTC, so it was denied.",
    );
    check(&|it| it.closed = closed(Cancelled, None), "No longer needed.");
    check(
        &|it| {
            it.closed = closed(Cancelled, None);
            it.lost = true;
        },
        "claude was restarted; it asks again if it still needs to know.",
    );
    check(
        &|it| {
            it.closed = closed(Cancelled, None);
            it.lost = true;
            it.pressed = Some(pressed(Verdict::Allow, TEN + 180));
        },
        "claude was restarted; it asks again if it still needs to know. Ada allowed this at 10:03 UTC. That counts if it asks for \
         exactly the same within 5 minutes.",
    );
    assert_eq!(
        check(
            &|it| it.pressed = Some(pressed(Verdict::Deny, TEN + 180)),
            "⛔ Ada denied this at 10:03 UTC. The session gets it as soon as it answers.",
        ),
        0
    );
    for closed in [None, closed(Allowed, Some("Ada"))] {
        check(
            &|it| {
                it.closed = closed.clone();
                it.pressed = Some(Pressed {
                    how: How::Again,
                    ..pressed(Verdict::Allow, TEN + 180)
                });
            },
            "✅ Applied what Ada pressed at 10:03 UTC.",
        );
    }
}

#[test]
fn what_is_always_allowed_can_be_stopped_where_it_was_said() {
    let mut bash = bash();
    bash.closed = closed(ApprovalOutcome::Allowed, Some("Ada"));
    bash.granted = Some(Granted {
        by: "Ada".into(),
        over: None,
    });
    let shown = look(&bash);
    assert!(shown.rich.text.ends_with(
        "✅ Allowed by Ada.\n\nBash is always allowed in this topic from now on, whatever it is to do, as Ada said."
    ));
    assert_eq!(labels(&shown), [["↩️ Stop allowing"]]);
    assert_eq!(
        read_data(&shown.buttons[0][0].callback_data),
        Some((9, Choice::StopAllowing))
    );
    let ends = [
        (
            Over::Stopped {
                by: "Bob".into(),
                at: TEN,
            },
            "Ada had always allowed Bash in this topic, until Bob stopped that at 10:00 UTC.",
        ),
        (
            Over::NoApprover,
            "Ada had always allowed Bash in this topic. That is over, since Ada is no approver here any more.",
        ),
    ];
    for (over, expected) in ends {
        bash.granted.as_mut().unwrap().over = Some(over);
        let shown = look(&bash);
        assert!(
            shown.rich.text.ends_with(expected) && shown.buttons.is_empty(),
            "{shown:?}"
        );
    }
}

#[test]
fn who_denies_with_a_word_is_told_to_write_it_and_the_buttons_stay() {
    let mut bash = bash();
    bash.writer = Some(Writer {
        user: 5,
        name: "Ada".into(),
    });
    let shown = look(&bash);
    assert!(
        shown
            .rich
            .text
            .contains("💬 Ada, write why: your next message here goes to claude")
    );
    assert_eq!(shown.buttons.len(), 2);
}

#[test]
fn a_plan_can_be_approved_with_edits_and_turned_down_with_a_word() {
    let plan = prompt(
        ApprovalKind::Plan,
        "ExitPlanMode",
        json!({"plan": "1. **sail**\u{200b}"}),
    );
    let shown = look(&plan);
    assert_eq!(
        shown.rich.text,
        "claude's plan\n\n1. sail\\u{200b}\n\nWaits until 10:30 UTC."
    );
    assert_eq!(
        labels(&shown),
        [
            ["✅ Approve the plan", "✅ And accept edits"],
            ["✏️ Keep planning", "💬 Keep, say why"]
        ]
    );
    let silent = prompt(ApprovalKind::Plan, "ExitPlanMode", json!({}));
    assert!(look(&silent).rich.text.contains("claude has written above"));
}

#[test]
fn questions_are_asked_one_after_the_other() {
    let mut ask = prompt(
        ApprovalKind::Question,
        "AskUserQuestion",
        json!({"questions": [
            {"question": "Which database?", "header": "Store", "options": [{"label": "Postgres", "description": "big"}, {"label": "SQLite", "description": ""}]},
            {"question": "Which parts?", "options": [{"label": "docs"}, {"label": "tests"}], "multiSelect": true},
            {"question": "Which name?", "options": []},
        ]}),
    );
    let first = look(&ask);
    assert_eq!(
        first.rich.text,
        "❓ Store\n\nWhich database?\n\nPostgres: big\n\nPress one, or write another answer.\n\nWaits until 10:30 UTC."
    );
    assert_eq!(labels(&first), [["Postgres"], ["SQLite"], ["⏭ Skip"]]);
    ask.answers.insert("Which database?".to_owned(), "SQLite".to_owned());
    ask.chosen = vec![1];
    let second = look(&ask);
    assert!(second.rich.text.contains("Choose any number of them and press Done"));
    assert_eq!(
        labels(&second),
        [vec!["☐ docs"], vec!["☑ tests"], vec!["✅ Done", "⏭ Skip"]]
    );
    ask.answers.insert("Which parts?".to_owned(), "tests".to_owned());
    let third = look(&ask);
    assert!(third.rich.text.starts_with("Which name?\n\nWrite your answer."));
    assert_eq!(labels(&third), [["⏭ Skip"]]);
    ask.answers.insert("Which name?".to_owned(), "db".to_owned());
    assert_eq!(ask.next_question(), None);
    ask.closed = closed(ApprovalOutcome::Allowed, Some("Ada"));
    let shown = look(&ask).rich.text;
    assert!(shown.contains("Which parts?\n\ntests\n\n") && shown.ends_with("Answered by Ada."));
}

#[test]
fn who_presses_late_is_told_who_decided_and_what() {
    let mut late = bash();
    late.pressed = Some(pressed(Verdict::Allow, TEN + 180));
    assert_eq!(late.verdict_in_words(), "Ada allowed this at 10:03 UTC.");
    late.closed = closed(ApprovalOutcome::Denied, Some("Bob (terminal)"));
    assert_eq!(late.verdict_in_words(), "Bob (terminal) denied this at 10:02 UTC.");
    late.closed = closed(ApprovalOutcome::Expired, None);
    assert_eq!(
        late.verdict_in_words(),
        "Nobody answered until 10:30 UTC, so it was denied."
    );
}

/// A decision that was lost with claude, and the same prompt once more.
fn lost(outcome: ApprovalOutcome, verdict: Verdict) -> (Prompt, Approval) {
    let mut first = bash();
    first.lost = true;
    first.pressed = Some(pressed(verdict, TEN));
    first.closed = closed(outcome, Some("Ada"));
    let again = Approval {
        tool_use_id: Some("another".into()),
        ..Approval::new("req-2", ApprovalKind::Permission, "Bash", first.approval.input.clone())
    };
    (first, again)
}

#[test]
fn a_lost_decision_counts_for_exactly_the_same_within_five_minutes() {
    use ApprovalOutcome::{Allowed, Cancelled, Denied, Expired};
    for (outcome, verdict, expected) in [
        (Cancelled, Verdict::Allow, true),
        (Cancelled, Verdict::Deny, true),
        (Allowed, Verdict::Allow, true),
        (Denied, Verdict::Deny, true),
        // Somebody at a terminal was faster, and decided otherwise.
        (Denied, Verdict::Allow, false),
        (Allowed, Verdict::Deny, false),
        (Expired, Verdict::Allow, false),
    ] {
        let (first, again) = lost(outcome, verdict);
        assert_eq!(first.counts_for(&again, TEN + 1), expected, "{outcome:?} {verdict:?}");
    }
    let (first, again) = lost(Cancelled, Verdict::Allow);
    for (seconds, expected) in [(0, true), (300, true), (301, false), (86_400, false), (-1, false)] {
        assert_eq!(first.counts_for(&again, TEN + seconds), expected, "after {seconds} s");
    }
}

#[test]
fn a_decision_counts_for_nothing_else() {
    let (first, again) = lost(ApprovalOutcome::Cancelled, Verdict::Allow);
    let other = |change: &dyn Fn(&mut Prompt, &mut Approval)| {
        let (mut first, mut again) = (first.clone(), again.clone());
        change(&mut first, &mut again);
        assert!(!first.counts_for(&again, TEN + 1), "{again:?}");
    };
    other(&|_, again| again.input["command"] = json!("rm -rf target && ls "));
    other(&|_, again| again.input["timeout"] = json!(1));
    other(&|_, again| again.tool_name = "Write".into());
    other(&|_, again| again.kind = ApprovalKind::Plan);
    other(&|first, _| first.lost = false);
    other(&|first, _| first.pressed = None);
    other(&|first, _| first.closed = None);
    for how in [How::Again, How::Granted] {
        other(&|first, _| first.pressed.as_mut().unwrap().how = how);
    }
    // A plan that the prompt does not hold could be any.
    other(&|first, again| {
        first.approval.kind = ApprovalKind::Plan;
        again.kind = ApprovalKind::Plan;
    });
}
