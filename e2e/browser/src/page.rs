//! The chat page as a person meets it: things are found by what they are called, as a screen reader finds them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::Browser;

/// The page, open in a place.
pub struct Page<'a> {
    /// Where it is open.
    pub browser: &'a Browser,
}

/// The texts of bubbles that contain something, without their names and times.
const TEXTS: &str = "return [...document.querySelectorAll('#messages .text')].map(node => node.innerText)
    .filter(text => text.includes(arguments[0]))";

impl<'a> Page<'a> {
    /// Opens the page of an emulator as this person, in a chat and a topic; 0 is none.
    ///
    /// # Errors
    /// When the page does not come up.
    pub async fn open(browser: &'a Browser, url: &str, user: i64, chat: i64, thread: i64) -> Result<Self> {
        browser.open(&format!("{url}/#{user}/{chat}/{thread}")).await?;
        let page = Self { browser };
        browser.element("#write:not([hidden]) #text").await?;
        Ok(page)
    }

    /// Writes and sends a message.
    ///
    /// # Errors
    /// When there is nothing to write into.
    pub async fn say(&self, text: &str) -> Result<()> {
        self.browser.write("[aria-label=Message]", text).await?;
        self.browser.click("[aria-label=Send]").await
    }

    /// Sends files with a text below them.
    ///
    /// # Errors
    /// When there is nowhere to put them.
    pub async fn send_files(&self, files: &[std::path::PathBuf], text: &str) -> Result<()> {
        let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        self.browser.write("[aria-label=Files]", paths.join("\n")).await?;
        self.browser.element("#pending:not([hidden]) li").await?;
        if !text.is_empty() {
            self.browser.write("[aria-label=Message]", text).await?;
        }
        self.browser.click("[aria-label=Send]").await
    }

    /// The text of the first bubble that contains this, once there is one.
    ///
    /// # Errors
    /// When none comes.
    pub async fn text(&self, part: &str) -> Result<String> {
        let found = self
            .browser
            .until(&format!("the text {part:?}"), TEXTS, vec![json!(part)])
            .await?;
        Ok(found[0].as_str().unwrap_or_default().to_owned())
    }

    /// Presses the last button below a message with this label, once it is there. A sign in front of the label may be left out.
    ///
    /// # Errors
    /// When there is none with this label.
    pub async fn press(&self, label: &str) -> Result<()> {
        let script = "const key = [...document.querySelectorAll('#messages .key')]
                .findLast(key => key.textContent === arguments[0] || key.textContent.endsWith(` ${arguments[0]}`));
            if (key) { key.scrollIntoView({ block: 'center' }); key.click(); }
            return Boolean(key)";
        self.browser
            .until(&format!("the button {label:?}"), script, vec![json!(label)])
            .await?;
        Ok(())
    }

    /// Chooses from the menu of the last message that contains this.
    ///
    /// # Errors
    /// When there is no such message or entry.
    pub async fn act(&self, part: &str, entry: &str) -> Result<()> {
        let open = "const text = [...document.querySelectorAll('#messages .message')]
                .findLast(node => node.querySelector('.text')?.innerText.includes(arguments[0]));
            text?.querySelector('[data-act=actions]').click();
            return Boolean(text)";
        self.browser
            .until(&format!("the text {part:?}"), open, vec![json!(part)])
            .await?;
        let choose = "const entry = [...document.querySelectorAll('[role=menuitem]')].find(entry => entry.textContent === arguments[0]);
            entry?.click();
            return Boolean(entry)";
        self.browser
            .until(&format!("the entry {entry:?}"), choose, vec![json!(entry)])
            .await?;
        Ok(())
    }

    /// The short notice that the page shows, once it contains this.
    ///
    /// # Errors
    /// When it never does.
    pub async fn notice(&self, part: &str) -> Result<()> {
        let script = "return document.querySelector('#toast').textContent.includes(arguments[0])";
        self.browser
            .until(&format!("the notice {part:?}"), script, vec![json!(part)])
            .await?;
        Ok(())
    }

    /// Code blocks as pairs of language and code.
    ///
    /// # Errors
    /// When the page is gone.
    pub async fn code(&self) -> Result<Vec<(String, String)>> {
        let script = "return [...document.querySelectorAll('#messages .code')]
            .map(block => [block.querySelector('.language').textContent, block.querySelector('code').textContent])";
        let blocks = self.browser.script(script, Vec::new()).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let blocks = blocks.as_array().into_iter().flatten();
        Ok(blocks.map(|block| (text(&block[0]), text(&block[1]))).collect())
    }

    /// Saves a file that somebody sent; its content.
    ///
    /// # Errors
    /// When it is not there or does not come.
    pub async fn download(&self, name: &str) -> Result<Vec<u8>> {
        self.browser.click(&format!("[aria-label='Download {name}']")).await?;
        self.browser.saved(name).await
    }

    /// Counts how often the text of the last bubble grows from here on; what it has seen is told by [`Self::grown`]
    ///
    /// # Errors
    /// When the page is gone.
    pub async fn watch(&self) -> Result<()> {
        let script = "window.seen = [];
            new MutationObserver(() => {
                const text = [...document.querySelectorAll('#messages .message:not(.own) .text')].at(-1)?.textContent ?? '';
                if (text !== window.seen.at(-1)) window.seen.push(text);
            }).observe(document.querySelector('#messages'), { subtree: true, childList: true, characterData: true });";
        self.browser.script(script, Vec::new()).await.map(drop)
    }

    /// The texts that the last bubble of somebody else has had since [`Self::watch`]
    ///
    /// # Errors
    /// When the page is gone.
    pub async fn grown(&self) -> Result<Vec<String>> {
        let seen = self.browser.script("return window.seen", Vec::new()).await?;
        let seen = seen.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(seen.map(str::to_owned).collect())
    }
}
