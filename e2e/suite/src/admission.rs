//! Manifests that must be refused: one file each under `refused/`, with the expected message in its first line.

use std::path::Path;

use anyhow::{Context as _, Result};

/// A manifest and what the API server must say about it.
pub struct Refused {
    /// File name.
    pub name: String,
    /// Piece of the message that a person must read.
    pub expect: String,
    /// The manifest. Several documents are applied one after the other; only the last must be refused.
    pub documents: Vec<String>,
}

/// Reads all of `refused/*.yaml`, in the order of their names.
///
/// # Errors
/// When a file cannot be read or does not say what it expects.
pub fn refused() -> Result<Vec<Refused>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("refused");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (first, body) = text.split_once('\n').with_context(|| format!("{name} is empty"))?;
        let expect = first
            .strip_prefix("# refused: ")
            .with_context(|| format!("{name}: no `# refused: ` line"))?;
        let documents = body.split("\n---\n").map(str::to_owned).collect();
        cases.push(Refused {
            name,
            expect: expect.trim().to_owned(),
            documents,
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}
