//! Which cluster the tests use, and the commands of a user: `kubectl` and `helm`.
//!
//! Without settings it is the embedded one (`make cluster-up`); with `E2E_CONTEXT` it is that context of the user's own
//! kubeconfig.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Longest that one `kubectl` or `helm` command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(240);

/// A cluster and the programs to talk to it.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of the kubeconfig's user.
    pub client: kube::Client,
    /// Root of the checkout.
    pub root: PathBuf,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    bin: PathBuf,
    state: PathBuf,
}

impl Cluster {
    /// Connects to the cluster of this run.
    ///
    /// # Errors
    /// When there is none; the message says which command makes one.
    pub async fn connect() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("the crate stands two folders below the root")?
            .to_owned();
        let state = std::env::var_os("LONGSHORE_CLUSTER").map_or_else(|| root.join("target/cluster"), PathBuf::from);
        let context = std::env::var("E2E_CONTEXT").ok().filter(|name| !name.is_empty());
        let (kubeconfig, config) = match &context {
            Some(name) => {
                let options = KubeConfigOptions {
                    context: Some(name.clone()),
                    ..Default::default()
                };
                (None, kube::Config::from_kubeconfig(&options).await?)
            }
            None => {
                let path = state.join("kubeconfig");
                let file = Kubeconfig::read_from(&path)
                    .with_context(|| format!("no cluster at {}: run `make cluster-up`", state.display()))?;
                (
                    Some(path),
                    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?,
                )
            }
        };
        let bin = state.join("bin");
        Ok(Self {
            client: kube::Client::try_from(config)?,
            root,
            kubeconfig,
            context,
            bin,
            state,
        })
    }

    /// State folder of the embedded cluster; none on a foreign one.
    pub fn embedded_state(&self) -> Option<&Path> {
        self.kubeconfig.is_some().then_some(self.state.as_path())
    }

    /// Where the API server writes its audit log; none on a foreign cluster.
    pub fn audit_log(&self) -> Option<PathBuf> {
        Some(self.embedded_state()?.join("audit.log"))
    }

    /// Runs `kubectl` and returns what it printed on standard output.
    ///
    /// # Errors
    /// With what it printed on standard error when it fails or takes too long.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run("kubectl", "--context", args, None).await
    }

    /// Runs `kubectl` with text on its standard input.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        self.run("kubectl", "--context", args, Some(input)).await
    }

    /// `kubectl longshore <args>`, not started yet. kubectl finds the plugin on `PATH`, as it does for everybody.
    ///
    /// # Errors
    /// When the plugin was not built.
    pub fn plugin(&self, args: &[&str]) -> Result<Command> {
        let plugin = self.plugin_binary()?;
        let mut folders = vec![
            plugin.parent().context("a file stands in a folder")?.to_owned(),
            self.bin.clone(),
        ];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new("kubectl");
        command
            .env("PATH", std::env::join_paths(folders)?)
            .arg("longshore")
            .args(args)
            .kill_on_drop(true);
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        Ok(command)
    }

    /// The plugin as it is shipped, or the one that `LONGSHORE_PLUGIN` names.
    fn plugin_binary(&self) -> Result<PathBuf> {
        let shipped = self
            .root
            .join("target/static/x86_64-unknown-linux-gnu/release/kubectl-longshore");
        let path = std::env::var_os("LONGSHORE_PLUGIN").map_or(shipped, PathBuf::from);
        if !path.is_file() {
            bail!(
                "no plugin at {}: run `make binaries`, or set LONGSHORE_PLUGIN",
                path.display()
            );
        }
        Ok(path)
    }

    /// Runs `helm`.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        self.run("helm", "--kube-context", args, None).await
    }

    /// Runs `helm` with text on its standard input.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub async fn helm_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        self.run("helm", "--kube-context", args, Some(input)).await
    }

    /// Runs a program as root of the embedded cluster's node, among its processes; none on a foreign cluster.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub async fn on_node(&self, args: &[&str]) -> Result<Option<String>> {
        let Some(state) = self.embedded_state().map(Path::to_string_lossy) else {
            return Ok(None);
        };
        let mut all = vec!["exec", "--state", &state, "--"];
        all.extend(args);
        self.run("cluster", "", &all, None).await.map(Some)
    }

    /// The same, not started yet.
    pub fn node_command(&self, args: &[&str]) -> Option<Command> {
        let state = self.embedded_state()?;
        let mut command = Command::new(self.bin.join("cluster"));
        command
            .arg("exec")
            .arg("--state")
            .arg(state)
            .arg("--")
            .args(args)
            .kill_on_drop(true);
        Some(command)
    }

    async fn run(&self, program: &str, context_flag: &str, args: &[&str], input: Option<&str>) -> Result<String> {
        let embedded = self.bin.join(program);
        let mut command = Command::new(if embedded.exists() {
            embedded
        } else {
            PathBuf::from(program)
        });
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        if let Some(context) = &self.context {
            command.args([context_flag, context]);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).await?;
        }
        let output = tokio::time::timeout(COMMAND_DEADLINE, child.wait_with_output())
            .await
            .with_context(|| format!("{program} {} took more than {COMMAND_DEADLINE:?}", args.join(" ")))??;
        if !output.status.success() {
            bail!(
                "{program} {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
