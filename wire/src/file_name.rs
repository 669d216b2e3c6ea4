//! Names of files that are safe to use.
//!
//! A name that a person or an agent gave may be anything. What comes out of here is one name without a path, in every file
//! system and in every chat: it hides nothing, leads nowhere, and reads as it is written.

/// What is left when nothing of a name is.
const NAMELESS: &str = "file";
/// Longest ending that outlives the cutting of a long name, in bytes, with its dot.
const ENDING: usize = 16;
/// Names that mean devices on Windows, whatever ending they have.
/// <https://learn.microsoft.com/windows/win32/fileio/naming-a-file>
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The name, without a path, control characters, signs that change the direction of writing or cannot be seen, what Windows
/// forbids, leading dots and spaces at its ends; at most `bytes` bytes (at least 32), of which a short ending is kept.
pub fn sanitised(name: &str, bytes: usize) -> String {
    let plain: String = name.chars().map(|c| if is_harmless(c) { c } else { '_' }).collect();
    let plain = plain.trim_start_matches(is_no_end);
    let plain = shortened(plain, bytes);
    let stem = plain
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase();
    match (plain.is_empty(), RESERVED.contains(&stem.as_str())) {
        (true, _) => NAMELESS.to_owned(),
        (false, true) => shortened(&format!("_{plain}"), bytes),
        (false, false) => plain,
    }
}

fn is_harmless(c: char) -> bool {
    !(c.is_control() || is_unseen(c) || "/\\:*?\"<>|".contains(c))
}

/// Characters of Unicode's `Bidi_Control`, and others that are not to be seen.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The name within so many bytes, with its ending if that is short.
fn shortened(name: &str, bytes: usize) -> String {
    let name = name.trim_end_matches(is_no_end);
    if name.len() <= bytes {
        return name.to_owned();
    }
    let ending = name
        .rfind('.')
        .map(|dot| &name[dot..])
        .filter(|ending| ending.len() <= ENDING);
    let ending = ending.unwrap_or_default();
    let room = bytes.saturating_sub(ending.len());
    let whole = format!("{}{ending}", &name[..name.floor_char_boundary(room)]);
    whole.trim_end_matches(is_no_end).to_owned()
}

fn is_no_end(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_what_is_dangerous_and_keep_what_people_call_them_by() {
        for (given, safe) in [
            ("plan.pdf", "plan.pdf"),
            ("Übersicht Pier 7.xlsx", "Übersicht Pier 7.xlsx"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..", "file"),
            ("", "file"),
            (" .\u{202e}", "_"),
            (".bashrc", "bashrc"),
            ("a\nb\0c.txt", "a_b_c.txt"),
            ("C:\\x", "C__x"),
            ("invoice\u{202e}fdp.exe", "invoice_fdp.exe"),
            ("zero\u{200b}width", "zero_width"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("console.txt", "console.txt"),
            ("ends with dots. . ", "ends with dots"),
        ] {
            assert_eq!(sanitised(given, 100), safe, "{given:?}");
        }
        let long = format!("{}.tar.gz", "é".repeat(200));
        let cut = sanitised(&long, 100);
        assert!(cut.len() <= 100 && cut.ends_with("é.gz"), "{cut}");
    }

    proptest! {
        #[test]
        fn every_name_is_one_harmless_name(name in "\\PC*|[./\\\\ \u{202a}-\u{202e}\u{0}-\u{1f}conCON1é😀]*", bytes in 32_usize..200) {
            let safe = sanitised(&name, bytes);
            prop_assert!(!safe.is_empty() && safe.len() <= bytes);
            prop_assert!(safe.chars().all(is_harmless), "{safe:?}");
            prop_assert!(!safe.starts_with('.') && safe.trim() == safe && !safe.ends_with('.'));
            let stem = safe.split('.').next().unwrap_or_default().to_ascii_lowercase();
            prop_assert!(!RESERVED.contains(&stem.as_str()), "{safe:?}");
            let path = std::path::Path::new("folder").join(&safe);
            prop_assert_eq!(path.components().count(), 2);
            prop_assert_eq!(sanitised(&safe, bytes), safe, "it is safe already");
        }
    }
}
