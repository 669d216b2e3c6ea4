//! The kubectl plugin as people use it: as a program, with a kubeconfig, from a terminal or a pipe.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::install::{DEADLINE, Install};

/// What a run of the plugin printed.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; none when it was killed.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The plugin in the namespace of an installation.
pub struct Plugin<'a> {
    install: &'a Install,
    kubeconfig: Option<PathBuf>,
}

impl<'a> Plugin<'a> {
    /// With the rights of the cluster's own kubeconfig.
    pub fn of(install: &'a Install) -> Self {
        Self {
            install,
            kubeconfig: None,
        }
    }

    /// With another kubeconfig.
    #[must_use]
    pub fn with_kubeconfig(mut self, path: PathBuf) -> Self {
        self.kubeconfig = Some(path);
        self
    }

    fn command(&self, args: &[&str]) -> Result<Command> {
        let (what, rest) = args.split_first().context("no subcommand")?;
        let mut all = vec![*what, "--namespace", &self.install.namespace];
        all.extend(rest);
        let mut command = self.install.cluster.plugin(&all)?;
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        Ok(command)
    }

    /// Runs it to its end, with this on standard input.
    ///
    /// # Errors
    /// When it cannot be started, or does not end.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<Ran> {
        let mut child = self
            .command(args)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl longshore cannot be started")?;
        let mut stdin = child.stdin.take().context("it has a standard input")?;
        // A program that never reads is no failure of its writer.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
        let output = ended.with_context(|| format!("kubectl longshore {} does not end", args.join(" ")))??;
        Ok(Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same for what must work; standard output.
    ///
    /// # Errors
    /// When it fails, too.
    pub async fn ok(&self, args: &[&str], input: &str) -> Result<String> {
        let ran = self.run(args, input).await?;
        if ran.code != Some(0) {
            bail!("kubectl longshore {}: {ran:?}", args.join(" "));
        }
        Ok(ran.out)
    }

    /// Runs it in a terminal of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn terminal(&self, args: &[&str]) -> Result<Terminal> {
        let inner = self.command(args)?;
        let inner = inner.as_std();
        let words: Vec<_> = [inner.get_program()].into_iter().chain(inner.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("script, which makes a terminal, cannot be started")?;
        Ok(Terminal {
            typed: child.stdin.take().context("it has a standard input")?,
            shown: child.stdout.take().context("it has a standard output")?,
            text: String::new(),
            child,
        })
    }
}

/// A terminal in which the plugin runs.
pub struct Terminal {
    child: Child,
    typed: ChildStdin,
    shown: ChildStdout,
    /// All that was shown.
    pub text: String,
}

impl Terminal {
    /// Types a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn types(&mut self, line: &str) -> Result<()> {
        Ok(self.typed.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Reads on until this is shown.
    ///
    /// # Errors
    /// With all that was shown, when it is not.
    pub async fn until(&mut self, wanted: &str) -> Result<()> {
        let found = tokio::time::timeout(DEADLINE, async {
            while !self.text.contains(wanted) {
                if !self.more().await? {
                    break;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
        found.await.with_context(|| format!("never shown: {wanted}"))??;
        if !self.text.contains(wanted) {
            bail!("never shown: {wanted}\n{}", self.text);
        }
        Ok(())
    }

    /// Presses Ctrl-D and waits for the end; the exit status.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn leave(&mut self) -> Result<Option<i32>> {
        self.typed.write_all(b"\x04").await?;
        self.end().await
    }

    /// Waits for the end; the exit status.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&mut self) -> Result<Option<i32>> {
        let ended = tokio::time::timeout(DEADLINE, async {
            while self.more().await? {}
            Ok::<_, anyhow::Error>(self.child.wait().await?.code())
        });
        ended
            .await
            .with_context(|| format!("it does not end:\n{}", self.text))?
    }

    async fn more(&mut self) -> Result<bool> {
        let mut bytes = [0; 4096];
        let count = self.shown.read(&mut bytes).await?;
        self.text
            .push_str(&String::from_utf8_lossy(&bytes[..count]).replace('\r', ""));
        Ok(count > 0)
    }
}
