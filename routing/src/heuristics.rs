//! When a message starts a session by itself: points for what speaks for it.

use longshore_crds::Heuristics;

use crate::text;

/// Heuristics that were read, with the policy that they stand in.
#[derive(Clone, Debug)]
pub(crate) struct Scoring {
    pub policy: String,
    heuristics: Heuristics,
    steps: Vec<String>,
}

/// What a text comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Score {
    pub enough: bool,
    /// The sum, and what it is made of, for people.
    pub told: String,
}

impl Scoring {
    pub(crate) fn new(policy: &str, heuristics: &Heuristics) -> Self {
        let mut heuristics = heuristics.clone();
        for keyword in &mut heuristics.keywords {
            keyword.word = text::folded(&keyword.word);
        }
        let named = heuristics
            .several_steps
            .as_ref()
            .map(|steps| steps.words.as_slice())
            .unwrap_or_default();
        let steps = match named {
            [] => text::STEP_WORDS.map(str::to_owned).to_vec(),
            words => words.iter().map(|word| text::folded(word)).collect(),
        };
        Self {
            policy: policy.to_owned(),
            heuristics,
            steps,
        }
    }

    /// Adds up what speaks for a session.
    pub(crate) fn score(&self, text: &str, folded: &str, file: bool) -> Score {
        let mut points = Vec::new();
        for keyword in &self.heuristics.keywords {
            if text::has_word(folded, &keyword.word) {
                points.push((format!("“{}”", keyword.word), keyword.weight));
            }
        }
        if let Some(length) = &self.heuristics.length {
            let long = usize::try_from(length.at_least).unwrap_or(usize::MAX);
            if text.chars().count() >= long {
                points.push((format!("at least {long} characters"), length.weight));
            }
        }
        if let (Some(weight), Some(_)) = (self.heuristics.repository_links, text::repository_link(text)) {
            points.push(("a link to a repository".to_owned(), weight));
        }
        if let Some(weight) = self.heuristics.attachments.filter(|_| file) {
            points.push(("a file".to_owned(), weight));
        }
        if let Some(steps) = &self.heuristics.several_steps
            && text::several_steps(text, folded, &self.steps)
        {
            points.push(("several steps".to_owned(), steps.weight));
        }
        let sum = points.iter().map(|(_, weight)| i64::from(*weight)).sum::<i64>();
        let threshold = i64::from(self.heuristics.threshold);
        let parts = points.iter().map(|(what, weight)| format!("{what} {weight:+}"));
        let parts = parts.collect::<Vec<_>>().join(", ");
        let parts = if parts.is_empty() {
            String::new()
        } else {
            format!(" ({parts})")
        };
        Score {
            enough: sum >= threshold,
            told: format!("{sum} of {threshold} points{parts}"),
        }
    }
}
