//! One readable line about a tool call.

use longshore_wire::api::ApprovalKind;
use serde_json::Value;

/// Longest summary of a tool call, in characters.
const TOOL: usize = 256;
/// Longest summary of a prompt, in characters.
const APPROVAL: usize = 512;
/// Most rules that are told of a prompt.
const RULES: usize = 8;

/// What a tool is about to do.
pub fn tool(name: &str, input: &Value) -> String {
    one_line(subject(name, input), TOOL)
}

/// What a person is asked for.
pub fn approval(kind: ApprovalKind, name: &str, input: &Value, description: Option<&str>) -> String {
    let text = match kind {
        ApprovalKind::Question => input["questions"]
            .as_array()
            .map(|questions| {
                let texts: Vec<&str> = questions
                    .iter()
                    .filter_map(|question| question["question"].as_str())
                    .collect();
                texts.join(" ")
            })
            .unwrap_or_default(),
        ApprovalKind::Plan => "Is this plan good?".to_owned(),
        ApprovalKind::Permission => {
            let subject = subject(name, input);
            if subject.is_empty() {
                description.unwrap_or(name).to_owned()
            } else {
                format!("{name}: {subject}")
            }
        }
    };
    one_line(text, APPROVAL)
}

/// What claude says about a prompt, in one bounded line.
pub fn of_prompt(text: String) -> String {
    one_line(text, APPROVAL)
}

/// What rules allow, a line each. Rules beyond the first [`RULES`] are counted.
pub fn rules(updates: &[Value]) -> Vec<String> {
    let strings = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let mut lines = Vec::new();
    for update in updates {
        match update["type"].as_str() {
            Some("addRules") => {
                let rules = update["rules"].as_array().into_iter().flatten();
                lines.extend(rules.map(|rule| {
                    let tool = rule["toolName"].as_str().unwrap_or_default();
                    match rule["ruleContent"].as_str() {
                        Some(content) => format!("{tool}({content})"),
                        None => tool.to_owned(),
                    }
                }));
            }
            Some("addDirectories") => {
                let folders = strings(&update["directories"]).into_iter();
                lines.extend(folders.map(|folder| format!("files below {folder}")));
            }
            Some("setMode") => lines.push(format!("mode {}", update["mode"].as_str().unwrap_or_default())),
            other => lines.push(other.unwrap_or("something that Longshore does not know").to_owned()),
        }
    }
    let more = lines.len().saturating_sub(RULES);
    lines.truncate(RULES);
    let mut lines: Vec<String> = lines.into_iter().map(|line| one_line(line, TOOL)).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn subject(name: &str, input: &Value) -> String {
    let keys: &[&str] = match name {
        "Bash" => &["command"],
        "Task" | "Agent" => &["description", "prompt"],
        "Grep" | "Glob" => &["pattern"],
        "WebFetch" => &["url"],
        "WebSearch" | "ToolSearch" => &["query"],
        _ => &[
            "file_path",
            "notebook_path",
            "path",
            "command",
            "description",
            "query",
            "url",
            "name",
        ],
    };
    keys.iter()
        .find_map(|key| input[key].as_str())
        .map(str::to_owned)
        .unwrap_or_default()
}

fn one_line(text: String, limit: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(limit) {
        None => flat,
        Some(_) => flat.chars().take(limit - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn summaries_are_one_bounded_line() {
        assert_eq!(tool("Bash", &json!({"command": "ls\n -la"})), "ls -la");
        assert_eq!(tool("Write", &json!({"file_path": "/a/b", "content": "x"})), "/a/b");
        assert_eq!(tool("Mystery", &json!({"n": 1})), "");
        assert_eq!(tool("Bash", &json!({"command": "é".repeat(999)})).chars().count(), TOOL);
        let text = approval(ApprovalKind::Permission, "Bash", &json!({"command": "touch x"}), None);
        assert_eq!(text, "Bash: touch x");
        let text = approval(ApprovalKind::Permission, "mcp__x__y", &json!({}), Some("do y"));
        assert_eq!(text, "do y");
    }
}
