//! How claude is set and what it does right now, for people who ask.

use longshore_wire::api::{ClaudeStatus, ModelChoice, RunningTool};
use serde_json::Value;

use super::Machine;

/// Most models that are told, and the longest name of one: they become buttons in a chat.
const MODELS: usize = 16;
const NAME_BYTES: usize = 128;

/// What claude's process has said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Model of the last turn.
    pub model: Option<String>,
    /// Permission mode of the last turn; it may change it by itself, as when a plan is approved.
    pub permission_mode: Option<String>,
    /// Models that it offers.
    pub models: Vec<ModelChoice>,
}

/// The models in claude's answer to `initialize`.
pub fn models(reply: &Value) -> Vec<ModelChoice> {
    let listed = reply["models"].as_array().into_iter().flatten();
    let models = listed.filter_map(|model| {
        let value = model["value"].as_str().filter(|value| !value.is_empty())?;
        let name = model["displayName"].as_str().unwrap_or(value);
        let fits = value.len() <= NAME_BYTES && name.len() <= NAME_BYTES;
        fits.then(|| ModelChoice {
            value: value.to_owned(),
            name: name.to_owned(),
        })
    });
    models.take(MODELS).collect()
}

impl Machine {
    /// How claude is set and what it does. What the class says is not known here.
    pub fn now(&self) -> ClaudeStatus {
        let (set, found) = (&self.settings, &self.found);
        let mut running: Vec<RunningTool> = self
            .turn
            .iter()
            .flat_map(|turn| turn.tools.values())
            .map(|tool| RunningTool {
                name: tool.name.clone(),
                summary: tool.summary.clone(),
                since: tool.since,
            })
            .collect();
        running.sort_by_key(|tool| tool.since);
        ClaudeStatus {
            model: set.model.clone().or_else(|| found.model.clone()),
            permission_mode: found.permission_mode.clone().or_else(|| set.permission_mode.clone()),
            models: found.models.clone(),
            turn_since: self.turn.as_ref().and_then(|turn| turn.since),
            running,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_models_that_claude_offers_are_read_and_what_is_odd_is_left_out() {
        let reply = json!({"models": [
            {"value": "default", "displayName": "Default (recommended)", "description": "d"},
            {"value": "haiku"},
            {"value": "x".repeat(129)}, {"value": ""}, {"displayName": "nameless"}, 7,
        ]});
        let found: Vec<(String, String)> = models(&reply)
            .into_iter()
            .map(|model| (model.value, model.name))
            .collect();
        let expected = [("default", "Default (recommended)"), ("haiku", "haiku")];
        assert_eq!(found, expected.map(|(value, name)| (value.to_owned(), name.to_owned())));
        assert!(models(&json!({})).is_empty());
    }
}
