//! How the end of a session can be undone: what is shown, and how the button is read. Pure.

use super::prompt::button;
use crate::render::Rich;
use crate::store::posts::Content;

/// Keeps the session going.
pub const KEEP_GOING: &str = "▶ Keep going";

/// What stands under the word that ends the session, a message with this row.
pub fn offer(row: i64, word: &str, seconds: u64) -> Content {
    let seconds = match seconds {
        1 => "1 second".to_owned(),
        many => format!("{many} seconds"),
    };
    Content {
        rich: Rich::plain(format!(
            "The session ends in {seconds}. Was “{word}” meant for claude? Then keep it going."
        )),
        buttons: vec![vec![button(KEEP_GOING, format!("kg:{row}"))]],
        ..Content::default()
    }
}

/// Row of the message whose button this is.
pub fn read_data(data: &str) -> Option<i64> {
    data.strip_prefix("kg:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_button_is_read_back_and_others_are_not() {
        let shown = offer(i64::MAX, "Done!", 30);
        assert_eq!(
            shown.rich.text,
            "The session ends in 30 seconds. Was “Done!” meant for claude? Then keep it going."
        );
        assert_eq!(read_data(&shown.buttons[0][0].callback_data), Some(i64::MAX));
        for data in ["kg:", "kg:x", "md:1:2", "7", ""] {
            assert_eq!(read_data(data), None, "{data}");
        }
    }
}
