//! `kubectl get` as people see it, compared with files under `golden/`. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::install::Install;

/// Compares what `kubectl get` shows with `golden/<name>.txt`. Ages, times and the names given stand there as placeholders.
///
/// # Errors
/// When they differ.
pub async fn check(install: &Install, name: &str, names: &[(&str, &str)]) -> Result<()> {
    let kinds = "topics,containertasks,persistentsessions";
    let mut shown = plain(&install.kubectl(&["get", kinds]).await?);
    for (real, placeholder) in names {
        shown = shown.replace(real, placeholder);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().context("a file stands in a folder")?)?;
        std::fs::write(&path, &shown)?;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    ensure!(
        shown == expected,
        "golden/{name}.txt differs; it now is:\n{shown}\nand was:\n{expected}"
    );
    Ok(())
}

/// Columns two spaces apart, ages and times replaced.
fn plain(shown: &str) -> String {
    let is_age = |word: &str| {
        let digits = word.trim_end_matches(['s', 'm', 'h']);
        digits.len() < word.len() && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == 'm')
    };
    let line = |line: &str| {
        let words: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let words: Vec<&str> = words
            .into_iter()
            .map(|word| match word {
                age if is_age(age) => "<age>",
                time if time.parse::<jiff::Timestamp>().is_ok() => "<time>",
                other => other,
            })
            .collect();
        words.join("  ")
    };
    let lines: Vec<String> = shown.lines().map(line).collect();
    lines.join("\n") + "\n"
}
