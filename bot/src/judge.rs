//! What people decide about prompts: by a button, by a word, by an answer.
//!
//! Who may is checked here, at the time of the press and, for a denial with a word, once more when the word comes. The decision is
//! written down before anything else happens ([`handover`]); who presses late or twice is told who decided, and what.

use std::sync::Arc;

use longshore_crds::Role;
use longshore_wire::api::{ApprovalKind, Decision, Verdict};

use crate::bot::Bot;
use crate::conversation::prompt::{Choice, How, Over, Pressed, Prompt, Writer};
use crate::handover::{self, Handed};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Pressing};
use crate::store::messages::MessageRow;
use crate::telegram::update::Press;
use crate::{situation, words};

/// What a pressed button of a prompt came to, in a sentence.
pub async fn pressed(
    bot: &Arc<Bot>,
    press: &Press,
    role: Role,
    row: i64,
    choice: Choice,
) -> Result<String, StoreError> {
    let known = bot.store.approval(row).await?;
    let Some(known) = known.filter(|known| (known.place.chat, known.shown_as) == (press.chat, Some(press.message)))
    else {
        return Ok(words::TOO_LATE.to_owned());
    };
    let answers = known.prompt.approval.kind == ApprovalKind::Question;
    if !answers && role < Role::Approver {
        tracing::info!(
            user = press.user,
            chat = press.chat,
            "a permission was not decided, since only approvers may"
        );
        return Ok(words::NOT_AN_APPROVER.to_owned());
    }
    if choice == Choice::StopAllowing {
        return stop_allowing(bot, press, &known).await;
    }
    if !known.open || known.prompt.pressed.is_some() {
        return Ok(known.prompt.verdict_in_words());
    }
    let by = Writer {
        user: press.user,
        name: press.user_name.clone(),
    };
    match choice {
        Choice::DenyWithWord => begin_word(bot, row, by).await,
        Choice::Option { question, option } => choose(bot, &known, (question, option), by.name).await,
        Choice::Done { question } => done(bot, &known, question, by.name).await,
        Choice::Deny => decide(bot, row, deny(&by.name, answers, None), by, false).await,
        Choice::Allow | Choice::AllowSession | Choice::AllowAlways if answers => Ok(words::TOO_LATE.to_owned()),
        Choice::AllowAlways if known.prompt.approval.kind != ApprovalKind::Permission => Ok(words::TOO_LATE.to_owned()),
        Choice::Allow | Choice::AllowAlways => {
            decide(bot, row, allow(&by.name, false), by, choice == Choice::AllowAlways).await
        }
        Choice::AllowSession => decide(bot, row, allow(&by.name, true), by, false).await,
        Choice::StopAllowing => Ok(words::TOO_LATE.to_owned()),
    }
}

fn allow(by: &str, remember: bool) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        remember,
        message: None,
        answers: Default::default(),
        by: Some(by.to_owned()),
    }
}

fn deny(by: &str, question: bool, word: Option<&str>) -> Decision {
    let message = match (question, word) {
        (true, _) => format!("{by} gave no answer. Go on as you think best, or say what you need and stop."),
        (false, None) => format!("{by} denied it in the chat."),
        (false, Some(word)) => format!("{by} denied it in the chat and says: {word}"),
    };
    Decision {
        verdict: Verdict::Deny,
        remember: false,
        message: Some(message),
        answers: Default::default(),
        by: Some(by.to_owned()),
    }
}

async fn decide(bot: &Arc<Bot>, row: i64, decision: Decision, by: Writer, always: bool) -> Result<String, StoreError> {
    let pressed = Pressed {
        decision,
        word: None,
        at: bot.now(),
        how: How::Here,
    };
    match bot.store.press(row, pressed, always.then_some(by)).await? {
        Pressing::Decides(decided) => {
            log(&decided, always);
            if always {
                // Other prompts of the tool are decided by it as well.
                bot.spawn("decisions", handover::run(bot.clone(), decided.session.clone()));
            }
            hand(bot, &decided, always).await
        }
        Pressing::Late(known) => Ok(known.prompt.verdict_in_words()),
        Pressing::Writes(_) | Pressing::Nothing => Ok(words::TOO_LATE.to_owned()),
    }
}

fn log(decided: &ApprovalRow, always: bool) {
    let pressed = decided.prompt.pressed.as_ref();
    tracing::info!(
        chat = decided.place.chat,
        thread = decided.place.thread,
        tool = decided.prompt.approval.tool_name,
        verdict = ?pressed.map(|pressed| pressed.decision.verdict),
        always,
        "somebody decided about a prompt"
    );
}

/// Hands a decision on, and says what came of it.
async fn hand(bot: &Arc<Bot>, decided: &ApprovalRow, always: bool) -> Result<String, StoreError> {
    Ok(match handover::now(bot, decided).await? {
        Handed::Taken => taken(&decided.prompt, always),
        Handed::Later => words::DECISION_KEPT.to_owned(),
        Handed::Other(sentence) => sentence,
        Handed::Gone => match bot.store.approval(decided.prompt.row).await? {
            // Somebody else has handed it on, as when the session is heard again.
            Some(known) if known.reached == crate::store::approvals::Reached::Yes => taken(&decided.prompt, always),
            Some(known) if !known.open => known.prompt.verdict_in_words(),
            _ => words::DECISION_TOO_LATE.to_owned(),
        },
    })
}

fn taken(prompt: &Prompt, always: bool) -> String {
    let decision = prompt.pressed.as_ref().map(|pressed| &pressed.decision);
    let allowed = decision.is_some_and(|decision| decision.verdict == Verdict::Allow);
    let remember = decision.is_some_and(|decision| decision.remember);
    match (prompt.approval.kind, allowed, remember) {
        (ApprovalKind::Question, true, _) => words::ANSWER_TAKEN.to_owned(),
        (ApprovalKind::Question, false, _) => "Skipped.".to_owned(),
        (_, true, _) if always => words::ALWAYS_ALLOWED.to_owned(),
        (ApprovalKind::Permission, true, true) => "Allowed for this session.".to_owned(),
        (_, true, _) => "Allowed.".to_owned(),
        (_, false, _) => "Denied.".to_owned(),
    }
}

async fn stop_allowing(bot: &Bot, press: &Press, known: &ApprovalRow) -> Result<String, StoreError> {
    let over = Over::Stopped {
        by: press.user_name.clone(),
        at: bot.now(),
    };
    if !bot.store.end_grant(known.prompt.row, over).await? {
        return Ok(words::TOO_LATE.to_owned());
    }
    tracing::info!(
        chat = press.chat,
        user = press.user,
        tool = known.prompt.approval.tool_name,
        "a tool is not always allowed any more, since an approver stopped it"
    );
    Ok(words::NOT_ALWAYS_ALLOWED.to_owned())
}

async fn begin_word(bot: &Bot, row: i64, by: Writer) -> Result<String, StoreError> {
    Ok(match bot.store.begin_word(row, by).await? {
        Pressing::Decides(_) => words::WRITE_WHY.to_owned(),
        Pressing::Writes(other) => words::writes_why(&other.name),
        Pressing::Late(known) => known.prompt.verdict_in_words(),
        Pressing::Nothing => words::TOO_LATE.to_owned(),
    })
}

async fn choose(
    bot: &Arc<Bot>,
    known: &ApprovalRow,
    (question, option): (usize, usize),
    by: String,
) -> Result<String, StoreError> {
    let asked = known.prompt.next_question().filter(|(number, _)| *number == question);
    let Some((_, asked)) = asked else {
        return Ok(words::TOO_LATE.to_owned());
    };
    let Some((label, _)) = asked.options.get(option) else {
        return Ok(words::TOO_LATE.to_owned());
    };
    if !asked.several {
        return give_answer(bot, known.prompt.row, asked.text.clone(), label.clone(), by).await;
    }
    Ok(match bot.store.toggle(known.prompt.row, question, option).await? {
        Some(true) => words::chosen(label),
        Some(false) => words::not_chosen(label),
        None => words::TOO_LATE.to_owned(),
    })
}

async fn done(bot: &Arc<Bot>, known: &ApprovalRow, question: usize, by: String) -> Result<String, StoreError> {
    let asked = known.prompt.next_question().filter(|(number, _)| *number == question);
    let Some((_, asked)) = asked else {
        return Ok(words::TOO_LATE.to_owned());
    };
    let labels: Vec<&str> = known
        .prompt
        .chosen
        .iter()
        .filter_map(|option| asked.options.get(*option))
        .map(|(label, _)| label.as_str())
        .collect();
    if labels.is_empty() {
        return Ok(words::NOTHING_CHOSEN.to_owned());
    }
    give_answer(bot, known.prompt.row, asked.text.clone(), labels.join(", "), by).await
}

/// Keeps the answer to one question, and hands all of them on once the last one is there.
async fn give_answer(
    bot: &Arc<Bot>,
    row: i64,
    question: String,
    text: String,
    by: String,
) -> Result<String, StoreError> {
    let Some(known) = bot.store.keep_answer(row, question, text, (by, bot.now())).await? else {
        return Ok(words::TOO_LATE.to_owned());
    };
    if known.prompt.pressed.is_none() {
        return Ok(words::ANSWER_TAKEN.to_owned());
    }
    Ok(match handover::now(bot, &known).await? {
        Handed::Later => words::ANSWER_KEPT.to_owned(),
        Handed::Taken => words::ANSWER_TAKEN.to_owned(),
        Handed::Other(sentence) => sentence,
        Handed::Gone => words::TOO_LATE.to_owned(),
    })
}

/// What was written is an answer, or why something is denied. None when nobody waits for these words any more.
pub async fn words_for(
    bot: &Arc<Bot>,
    message: &MessageRow,
    row: i64,
    text: &str,
) -> Result<Option<String>, StoreError> {
    let Some(known) = bot.store.approval(row).await? else {
        return Ok(None);
    };
    if !known.open || known.prompt.pressed.is_some() {
        // The bot may have died between taking these words and saying so.
        return Ok(took(&known.prompt, text).then(|| words::ANSWER_TAKEN.to_owned()));
    }
    let writes = known
        .prompt
        .writer
        .as_ref()
        .filter(|writer| writer.user == message.user);
    if let Some(by) = writes {
        return deny_with_word(bot, message, row, by.clone(), text).await.map(Some);
    }
    let Some((_, asked)) = known.prompt.next_question() else {
        return Ok(None);
    };
    give_answer(bot, row, asked.text, text.to_owned(), message.user_name.clone())
        .await
        .map(Some)
}

/// Whether these words have decided about the prompt already.
fn took(prompt: &Prompt, text: &str) -> bool {
    let word = prompt.pressed.as_ref().and_then(|pressed| pressed.word.as_deref());
    word == Some(text) || prompt.answers.values().any(|answer| answer == text)
}

async fn deny_with_word(
    bot: &Arc<Bot>,
    message: &MessageRow,
    row: i64,
    by: Writer,
    text: &str,
) -> Result<String, StoreError> {
    let router = bot.policies.router().await;
    let standing = router.standing(message.user, situation::known_as(bot, &router, message.place.chat));
    if standing.is_none_or(|standing| standing.role < Role::Approver) {
        return Ok(words::NOT_AN_APPROVER.to_owned());
    }
    let pressed = Pressed {
        decision: deny(&by.name, false, Some(text)),
        word: Some(text.to_owned()),
        at: bot.now(),
        how: How::Here,
    };
    match bot.store.press(row, pressed, None).await? {
        Pressing::Decides(decided) => {
            log(&decided, false);
            hand(bot, &decided, false).await
        }
        Pressing::Late(known) => Ok(known.prompt.verdict_in_words()),
        Pressing::Writes(_) | Pressing::Nothing => Ok(words::TOO_LATE.to_owned()),
    }
}
