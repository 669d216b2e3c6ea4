//! How `/model` and `/mode` offer what can be chosen, and how their buttons are read. Pure.

use longshore_routing::{PermissionMode, Setting};
use longshore_wire::api::ModelChoice;

use super::prompt::button;
use super::standing::mode_in_words;
use crate::render::Rich;
use crate::store::posts::Content;

/// Longest label of a button that reads well.
const LABEL_CHARS: usize = 48;

/// Something to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choosable {
    /// What it stands for.
    pub setting: Setting,
    /// What the button says.
    label: String,
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// What is said above the buttons.
    text: String,
    /// One per button.
    pub options: Vec<Choosable>,
}

impl Offered {
    /// Models. `current` is the one that claude uses, as far as it has said so; `chosen` the one that waits for it.
    pub fn models(mut models: Vec<ModelChoice>, current: Option<String>, chosen: Option<String>) -> Self {
        for other in [&chosen, &current].into_iter().flatten() {
            if !models.iter().any(|model| model.value == *other) {
                let (value, name) = (other.clone(), other.clone());
                models.insert(0, ModelChoice { value, name });
            }
        }
        let marked = chosen.as_ref().or(current.as_ref());
        let options = models.iter().map(|model| Choosable {
            setting: Setting::Model(Some(model.value.clone())),
            label: label(&model.name, marked == Some(&model.value)),
        });
        let options = options.collect();
        let now = current.map_or(
            "Which model the session uses it has not said yet.".to_owned(),
            |model| format!("The session uses the model {model}."),
        );
        let then = chosen.map(|model| format!(" From the next message on it is {model}."));
        Self {
            text: format!(
                "{now}{} Press another one, or write its name after /model.",
                then.unwrap_or_default()
            ),
            options,
        }
    }

    /// Permission modes, the same way.
    pub fn modes(current: Option<String>, chosen: Option<PermissionMode>) -> Self {
        let marked = chosen.or_else(|| PermissionMode::read(current.as_deref()?));
        let options = PermissionMode::ALL.map(|mode| Choosable {
            setting: Setting::Permissions(Some(mode)),
            label: label(mode.word(), marked == Some(mode)),
        });
        let now = current.map_or(
            "Which mode the session is in it does not say right now.".to_owned(),
            |mode| format!("The session is in this mode: {}.", mode_in_words(&mode)),
        );
        let then = chosen.map(|mode| format!(" From the next message on it is {}.", mode.word()));
        let meanings = PermissionMode::ALL.map(|mode| format!("{} – claude {}.", mode.word(), mode.meaning()));
        Self {
            text: format!("{now}{}\n\n{}", then.unwrap_or_default(), meanings.join("\n")),
            options: options.to_vec(),
        }
    }
}

fn label(name: &str, marked: bool) -> String {
    let name = name.chars().take(LABEL_CHARS).collect::<String>();
    match marked {
        true => format!("✓ {name}"),
        false => name,
    }
}

/// The message that offers it, under the message in this row.
pub fn content(row: i64, offered: &Offered) -> Content {
    let buttons = offered.options.iter().enumerate();
    Content {
        rich: Rich::plain(offered.text.clone()),
        buttons: buttons
            .map(|(number, option)| vec![button(&option.label, data(row, number))])
            .collect(),
        ..Content::default()
    }
}

/// `md:<row>:<number>`.
fn data(row: i64, number: usize) -> String {
    format!("md:{row}:{number}")
}

/// The reverse: the row of the message, and the number of the button from 0.
pub fn read_data(data: &str) -> Option<(i64, usize)> {
    let (row, number) = data.strip_prefix("md:")?.split_once(':')?;
    Some((row.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(content: &Content) -> Vec<&str> {
        let buttons = content.buttons.iter().flatten();
        buttons.map(|button| button.text.as_str()).collect()
    }

    #[test]
    fn the_model_in_use_is_marked_and_offered_even_if_claude_does_not_list_it() {
        let models = ["opus", "haiku"].map(|value| ModelChoice {
            value: value.into(),
            name: value.to_uppercase(),
        });
        let offered = Offered::models(models.to_vec(), Some("haiku".into()), None);
        let shown = content(7, &offered);
        assert_eq!(labels(&shown), ["OPUS", "✓ HAIKU"]);
        assert!(shown.rich.text.starts_with("The session uses the model haiku."));
        assert_eq!(read_data(&shown.buttons[1][0].callback_data), Some((7, 1)));
        assert_eq!(offered.options[1].setting, Setting::Model(Some("haiku".into())));
        let own = Offered::models(models.to_vec(), Some("own-model".into()), Some("opus".into()));
        assert_eq!(labels(&content(7, &own)), ["own-model", "✓ OPUS", "HAIKU"]);
        assert!(own.text.contains("From the next message on it is opus."));
    }

    #[test]
    fn modes_are_offered_in_words_and_the_one_that_asks_nobody_is_not() {
        let offered = Offered::modes(Some("default".into()), None);
        let shown = content(i64::MAX, &offered);
        assert_eq!(labels(&shown), ["✓ ask", "edits", "plan", "dontask"]);
        assert!(shown.rich.text.contains("plan – claude reads and makes plans"));
        assert!(
            shown
                .buttons
                .iter()
                .flatten()
                .all(|button| button.callback_data.len() <= 64)
        );
        let bypass = Offered::modes(Some("bypassPermissions".into()), Some(PermissionMode::Plan));
        assert_eq!(labels(&content(1, &bypass)), ["ask", "edits", "✓ plan", "dontask"]);
    }

    #[test]
    fn other_buttons_are_not_taken_for_those_of_a_menu() {
        for data in ["ap:1:y", "md:", "md:1", "md:x:1", "md:1:-1", ""] {
            assert_eq!(read_data(data), None, "{data}");
        }
    }
}
