//! Single processes of pods, from outside: stopped as soon as they are there, let go on, killed.
//!
//! Sees them as root of the embedded cluster's node does, by the program's name and the host name of its container; nothing in the pod
//! takes part. On a foreign cluster nobody here gets at the processes, and every call fails.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::install::{DEADLINE, Install};

/// Sends a signal to the programs of one name in a pod as soon as there are some, and says which. Gives up after a while.
/// `/proc/<pid>/comm` has the first 15 bytes of a name; the kubelet writes the pod's name into its `/etc/hostname`.
const SIGNAL: &str = r#"
program=$(printf %.15s "$2") found= left=15000
echo watching
while [ -z "$found" ] && [ "$left" -gt 0 ]; do
    for comm in /proc/[0-9]*/comm; do
        read -r running 2> /dev/null < "$comm" && [ "$running" = "$program" ] || continue
        pid=${comm#/proc/} pid=${pid%/comm}
        read -r pod 2> /dev/null < "/proc/$pid/root/etc/hostname" && [ "$pod" = "$1" ] || continue
        if kill -s "$3" "$pid"; then found="$found $pid"; fi
    done
    left=$((left - 1))
    [ -n "$found" ] || sleep 0.005
done
echo "$found"
"#;

/// What is sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It ends at once and cannot help it.
    Kill,
    /// It is asked to end.
    Terminate,
    /// It does nothing more until it is told to go on. It can still be killed.
    Stop,
    /// It goes on.
    Continue,
}

/// Looks out for a program.
pub struct Lookout {
    what: String,
    said: Lines<BufReader<ChildStdout>>,
    _looking: Child,
}

impl Install {
    /// Begins to look out for a program in the pod of this name, to send it a signal the moment that it is there. Returns once it
    /// looks: what starts from now on is not missed.
    ///
    /// # Errors
    /// When the node cannot be used, as on a foreign cluster.
    pub async fn look_out(&self, pod: &str, program: &str, signal: Signal) -> Result<Lookout> {
        let name = match signal {
            Signal::Kill => "KILL",
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        let command = self
            .cluster
            .node_command(&["sh", "-c", SIGNAL, "sh", pod, program, name]);
        let mut command = command.context("only the embedded cluster lets its processes be signalled")?;
        let mut looking = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let said = looking.stdout.take().context("its output is piped")?;
        let mut lookout = Lookout {
            what: format!("{program} in {pod}"),
            said: BufReader::new(said).lines(),
            _looking: looking,
        };
        ensure!(lookout.line().await? == "watching");
        Ok(lookout)
    }

    /// Sends a signal to a program in the pod of this name. Waits until it runs.
    ///
    /// # Errors
    /// As [`Self::look_out`] and [`Lookout::hit`].
    pub async fn signal(&self, pod: &str, program: &str, signal: Signal) -> Result<()> {
        self.look_out(pod, program, signal).await?.hit().await
    }
}

impl Lookout {
    /// Waits until the program was there and has the signal.
    ///
    /// # Errors
    /// After [`DEADLINE`].
    pub async fn hit(mut self) -> Result<()> {
        let found = self.line().await?;
        ensure!(!found.is_empty(), "there is no {}", self.what);
        Ok(())
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(DEADLINE, self.said.next_line()).await;
        let line = line.with_context(|| format!("there is no {} after {DEADLINE:?}", self.what))??;
        line.with_context(|| format!("nobody looks out for {}", self.what))
    }
}
