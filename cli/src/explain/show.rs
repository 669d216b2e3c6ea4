//! An explanation for people.

use std::io::{Result, Write};

use longshore_routing::{Explanation, Mode, Router};

use crate::plain::{indent, plain};

/// Writes the decision, what came before it, what else matched, and what is wrong with the policies.
pub fn write(out: &mut impl Write, found: &Explanation, router: &Router, notes: &[String]) -> Result<()> {
    let mode = &found.decision.mode;
    writeln!(out, "Decision  {}", plain(&mode.in_words()))?;
    writeln!(out, "Because   {}", plain(&found.decision.reason))?;
    if let Some(topic) = &found.new_topic {
        let by = topic.template.as_ref().map_or_else(
            || "the bot's own settings, since no template matches".to_owned(),
            ToString::to_string,
        );
        writeln!(out, "Topic     {} is made, by {}", plain(&topic.name), plain(&by))?;
    }
    match mode {
        Mode::Reply { text } => writeln!(out, "It says:\n{}", indent(&plain(text), "  "))?,
        Mode::Task { prompt, .. }
        | Mode::StartSession {
            prompt: Some(prompt), ..
        }
        | Mode::ToSession { text: prompt, .. } => {
            writeln!(out, "claude is given:\n{}", indent(&plain(prompt), "  "))?;
        }
        _ => {}
    }
    if let Some(escalation) = &found.escalation {
        writeln!(out, "And {}.", plain(escalation))?;
    }
    if !found.passed.is_empty() {
        writeln!(out, "\nBefore that, in this order:")?;
        for passed in &found.passed {
            writeln!(out, "  {}: {}", plain(&passed.step), plain(&passed.why))?;
        }
    }
    if !found.also.is_empty() {
        writeln!(out, "\nLater rules that match, too:")?;
        for rule in &found.also {
            writeln!(out, "  {}", plain(&rule.to_string()))?;
        }
    }
    let problems = router
        .findings(None)
        .into_iter()
        .filter_map(|findings| Some((findings.policy, findings.problem?)));
    let problems = problems.collect::<Vec<_>>();
    if !problems.is_empty() {
        writeln!(out, "\nNot right:")?;
        for (policy, problem) in problems {
            writeln!(out, "  policy {}: {}", plain(&policy), plain(&problem))?;
        }
    }
    if *mode == Mode::Offer {
        let note = "whom approvers have let in by a button only the bot knows; --let-in-by says it";
        writeln!(out, "\nNote: {note}")?;
    }
    for note in notes {
        writeln!(out, "\nNote: {note}")?;
    }
    Ok(())
}
