//! The chat page that the demo leads to, in a real browser: what a person does all day, with the real claude CLI behind it.

use anyhow::{Result, ensure};
use longshore_browser::{page::Page, with_browser};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Options, with_install};
use serde_json::{Value, json};

const CODE: &str = "fn main() {\n    println!(\"pier {}\", 7);\n}";
const REPORT: &str = "pier 7 is rotten\npier 8 holds\n";

/// What the model says. The command that writes the report is the one that nobody has allowed beforehand.
fn script() -> Value {
    let write = format!("printf '{}' > report.txt", REPORT.replace('\n', "\\n"));
    let look =
        "I look at the piers one after the other, and write down which of them are rotten and which of them hold.";
    let answer = format!("It is done:\n\n```rust\n{CODE}\n```\n\nThe report is on its way.");
    json!([
        {"name": "page: report", "match": {"user": "Inspect the piers"}, "steps": [
            {"text": {"text": look, "chunk": 4, "delay_ms": 200}},
            {"tool": {"name": "Bash", "input": {"command": write, "description": "Write the report"}}},
            {"tool": {"name": "mcp__longshore__send_file", "input": {"path": "report.txt", "caption": "All piers"}}},
            {"text": answer},
        ]},
        {"name": "page: planks", "match": {"user": "Count these planks"}, "steps": [
            {"tool": {"name": "Bash", "input": {"command": "cat inbox/*planks.txt", "description": "Read"}}},
            {"text": "They say: {{last_tool_result}}"},
        ]},
    ])
}

async fn play(page: &Page<'_>) -> Result<()> {
    page.watch().await?;
    page.say("/deep Inspect the piers").await?;
    page.press("Allow").await?;
    page.notice("Allowed").await?;
    page.text("The report is on its way.").await?;
    let grown = page.grown().await?;
    let steps = grown.iter().filter(|text| text.starts_with("I look at")).count();
    ensure!(steps > 1, "the answer did not grow: {grown:?}");
    let code = page.code().await?;
    ensure!(
        code.iter().any(|(language, code)| language == "rust" && code == CODE),
        "{code:?}"
    );
    ensure!(
        page.download("report.txt").await? == REPORT.as_bytes(),
        "the report is another"
    );

    let planks = page.browser.file("planks.txt", b"forty-two of oak\n")?;
    page.send_files(&[planks], "Count these planks").await?;
    page.text("They say: forty-two of oak").await?;
    page.say("/end").await?;
    page.text("has ended").await?;
    ensure!(page.browser.complaints().await.is_empty(), "the page complained");
    Ok(())
}

#[tokio::test]
async fn the_chat_page_shows_a_stream_buttons_code_and_files_in_a_browser() -> Result<()> {
    let options =
        Options::named("page").with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash(cat:*)"]}}}));
    with_install(options, async |install| {
        let chat = Chat::open(install, "piers").await?;
        install.model()?.add_rules(&script()).await?;
        let url = install.telegram_url()?;
        with_browser("suite-page", async |browser| {
            let page = Page::open(browser, &url, ALICE, chat.forum, chat.thread).await?;
            play(&page).await
        })
        .await
    })
    .await
}
