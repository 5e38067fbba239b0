//! Processes of the binary, each started again whenever it ends, as a supervisor would.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, sync::mpsc, task::JoinHandle};

use crate::process::{odograph, signal};

/// Between the end of a process and its next start.
const PAUSE: Duration = Duration::from_millis(300);
/// For a process that is asked to stop.
const STOPPING: Duration = Duration::from_secs(60);

/// What one may do to a process.
enum Order {
    Kill,
    Stop,
}

/// One process, whichever incarnation of it runs.
pub struct Member {
    pub name: String,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<ExitStatus>>,
    log: PathBuf,
    /// How often it ended without being told to.
    gave_up: Arc<AtomicU32>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Member {
    pub fn start(name: &str, arguments: &[&str], environment: &[(&'static str, String)], folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let (orders, given) = mpsc::channel(1);
        let gave_up = Arc::new(AtomicU32::new(0));
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let task = tokio::spawn(supervise(
            (arguments, environment.to_vec()),
            log.clone(),
            given,
            gave_up.clone(),
        ));
        Self {
            name: name.to_owned(),
            orders,
            task,
            log,
            gave_up,
        }
    }

    /// Kills what runs now, if something does; it is started again.
    pub async fn kill(&self) {
        let _ = self.orders.send(Order::Kill).await;
    }

    /// Asks it to stop, for good. What it said, and whether it ended well.
    pub async fn stop(self) -> Result<()> {
        let _ = self.orders.send(Order::Stop).await;
        let status = self.task.await.context("a supervisor")??;
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(!said.contains("panicked"), "{} panicked:\n{}", self.name, end_of(&said));
        ensure!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            end_of(&said)
        );
        Ok(())
    }

    pub fn gave_up(&self) -> u32 {
        self.gave_up.load(Ordering::Relaxed)
    }

    /// The last lines it wrote.
    pub fn said(&self) -> String {
        end_of(&std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

fn end_of(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

async fn supervise(
    (arguments, environment): (Vec<String>, Vec<(&'static str, String)>),
    log: PathBuf,
    mut orders: mpsc::Receiver<Order>,
    gave_up: Arc<AtomicU32>,
) -> Result<ExitStatus> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    loop {
        let mut child = command(&arguments, &environment, &log)?
            .spawn()
            .context("a process of odograph")?;
        tokio::select! {
            ended = child.wait() => {
                ended?;
                gave_up.fetch_add(1, Ordering::Relaxed);
            }
            order = orders.recv() => match order {
                Some(Order::Kill) => child.kill().await?,
                Some(Order::Stop) | None => {
                    signal(&child, "TERM").await;
                    return Ok(tokio::time::timeout(STOPPING, child.wait()).await.context("it does not stop")??);
                }
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn command(arguments: &[&str], environment: &[(&'static str, String)], log: &Path) -> Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = odograph(arguments);
    command
        .envs(environment.iter().cloned())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(command)
}
