//! Starting and ending Chromium with its driver, and the few things a test does with it.
//!
//! Waits are polls with a deadline, since what a page does is told to nobody. Fails with what was waited for.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;

const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";
/// Debian's Chromium as root, without a window, and without anything that calls home.
const SWITCHES: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];
/// How long a page may take for anything. The machine may be busy with a whole cluster.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// How large the page is, and whether in dark colours.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// As the system of the person says.
    pub dark: bool,
}

/// One browser with one page.
pub struct Browser {
    driver: Option<WebDriver>,
    // In this order: nobody uses the files any more when they are removed.
    process: Driver,
    folder: TempDir,
}

impl Browser {
    /// Starts a browser that knows nothing.
    ///
    /// # Errors
    /// When Chromium or its driver is missing or does not start.
    pub async fn start() -> Result<Self> {
        for program in [CHROMIUM, DRIVER] {
            ensure!(Path::new(program).exists(), "{program} is missing: run scripts/setup");
        }
        let folder = tempfile::tempdir()?;
        let (process, port) = Driver::start(folder.path())?;
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(CHROMIUM)?;
        for switch in SWITCHES {
            capabilities.add_arg(switch)?;
        }
        let profile = folder.path().join("profile");
        capabilities.add_arg(&format!("--user-data-dir={}", profile.display()))?;
        capabilities.set_logging_prefs("browser", LoggingPrefsLogLevel::All)?;
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await?;
        let browser = Self {
            driver: Some(driver),
            process,
            folder,
        };
        fs::create_dir(browser.downloads())?;
        let saves = json!({"behavior": "allow", "downloadPath": browser.downloads()});
        browser.devtools("Browser.setDownloadBehavior", saves).await?;
        Ok(browser)
    }

    fn driver(&self) -> Result<&WebDriver> {
        self.driver.as_ref().context("the browser has ended")
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<()> {
        self.driver()?.cdp().send_raw(command, parameters).await?;
        Ok(())
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn open(&self, url: &str) -> Result<()> {
        Ok(self.driver()?.goto(url).await?)
    }

    /// Sets size and colours of the page. Narrower than 500 it is a phone.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn look(&self, look: Look) -> Result<()> {
        let is_phone = look.width < 500;
        let size = json!({
            "width": look.width, "height": look.height, "deviceScaleFactor": if is_phone { 2 } else { 1 }, "mobile": is_phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = if look.dark { "dark" } else { "light" };
        let colours = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", colours).await
    }

    /// The value of a script, which says `return`; `arguments` are those given here.
    ///
    /// # Errors
    /// Those that the script throws.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.driver()?.execute(script, arguments).await?.json().clone())
    }

    /// The value of a script as soon as it is something: not null, false, 0 or empty.
    ///
    /// # Errors
    /// When it is nothing for too long; says what was waited for and what the page shows.
    pub async fn until(&self, what: &str, script: &str, arguments: Vec<Value>) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.script(script, arguments.clone()).await?;
            let is_nothing = value.is_null() || value == false || value == 0 || value == "" || value == json!([]);
            if !is_nothing {
                return Ok(value);
            }
            if Instant::now() > end {
                let text = self.script("return document.body.innerText", Vec::new()).await?;
                bail!(
                    "the page never had {what}; it shows:\n{}",
                    text.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The first element of this selector, once it is there.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn element(&self, selector: &str) -> Result<WebElement> {
        let found = "return document.querySelector(arguments[0]) !== null";
        self.until(selector, found, vec![json!(selector)]).await?;
        Ok(self.driver()?.find(By::Css(selector)).await?)
    }

    /// Presses an element as a mouse does, in its middle, where nothing may lie over it.
    ///
    /// # Errors
    /// As [`Self::until`], and when something lies over it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector).await?;
        element.scroll_into_view().await?;
        Ok(element.click().await?)
    }

    /// Types into an element.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn write(&self, selector: &str, keys: impl Into<TypingData>) -> Result<()> {
        Ok(self.element(selector).await?.send_keys(keys).await?)
    }

    /// The content of a file that the page lets people save, once it is whole.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn saved(&self, name: &str) -> Result<Vec<u8>> {
        let (path, end) = (self.downloads().join(name), Instant::now() + PATIENCE);
        // Until it is whole it has another name.
        while !path.exists() {
            ensure!(Instant::now() < end, "{name} was never saved");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(fs::read(path)?)
    }

    fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// A new file that a test can give to the page.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Writes what the page shows now to a PNG file.
    ///
    /// # Errors
    /// When the browser has ended, or the file cannot be written.
    pub async fn picture(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, self.driver()?.screenshot_as_png().await?)?)
    }

    /// Errors of the page's scripts since the last call.
    pub async fn complaints(&self) -> Vec<String> {
        let log = match self.driver() {
            Ok(driver) => driver.browser_log().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE");
        severe.map(|entry| entry.message).collect()
    }

    /// Ends it. Dropping does the same less gently.
    ///
    /// # Errors
    /// When the driver does not answer any more; it is ended all the same.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(driver) = self.driver.take() {
            driver.quit().await?;
        }
        self.process.end();
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own drop would wait two minutes for an answer of the driver, whose end is the session's end anyway.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

/// The process of the driver.
struct Driver {
    child: Child,
    /// Part of the command line of every process of the browser, and of nobody else's.
    mark: String,
}

impl Driver {
    /// Starts it on a free port of its own choice, which it tells.
    fn start(folder: &Path) -> Result<(Self, u16)> {
        let child = Command::new(DRIVER)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver does not start")?;
        let mut driver = Self {
            child,
            mark: format!("--user-data-dir={}", folder.display()),
        };
        let output = driver.child.stdout.take().context("chromedriver says nothing")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                let port = port.trim_end_matches('.').parse().context(line.clone())?;
                return Ok((driver, port));
            }
        }
        bail!("chromedriver ended before it was ready");
    }

    /// Ends the driver, and the browser's processes if any are left.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(&self.mark) {
                let id = process.file_name();
                let _ = Command::new("kill").arg("-KILL").arg(id).stderr(Stdio::null()).status();
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}
