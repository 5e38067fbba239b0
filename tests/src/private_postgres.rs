//! A PostgreSQL server of a test's own, to be killed, filled up and brought back: what the shared one must not suffer.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long a server may take to answer, also after a crash from which it has to recover.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running server with a cluster of its own. It syncs to disk: what it says is committed survives a kill.
#[derive(Debug)]
pub struct PrivatePostgres {
    bin: PathBuf,
    /// Socket and log; the data too, unless a folder was given for it.
    folder: TempDir,
    data: PathBuf,
    port: u16,
    /// Whom the server runs as: it refuses root.
    owner: Option<Owner>,
    settings: Vec<String>,
    running: Option<Child>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl PrivatePostgres {
    /// `None`, said so, where no server is installed.
    pub async fn start() -> Option<Self> {
        Self::start_in(None, &[]).await
    }

    /// With its data in an empty folder, such as a small file system of its own, and with settings such as
    /// `max_connections=40`.
    pub async fn start_in(data: Option<&Path>, settings: &[&str]) -> Option<Self> {
        let Some(bin) = binaries() else {
            println!("skipped: there is no PostgreSQL server installed that a test could start");
            return None;
        };
        let started = Self::make(bin, data, settings).await;
        Some(started.unwrap_or_else(|error| panic!("a private PostgreSQL: {error:#}")))
    }

    async fn make(bin: PathBuf, data: Option<&Path>, settings: &[&str]) -> Result<Self> {
        let folder = TempDir::with_prefix("odograph-postgres-")?;
        let owner = owner().await?;
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        std::fs::create_dir_all(&data)?;
        let mut server = Self {
            bin,
            data,
            port: free_port()?,
            owner,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            folder,
            running: None,
        };
        if let Some(Owner { uid, gid }) = server.owner {
            for path in [server.folder.path(), &server.data] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
            }
        }
        let data = server.data.display().to_string();
        let made = server
            .command("initdb")
            .args([
                "-D",
                &data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .output()
            .await?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.restart().await?;
        Ok(server)
    }

    /// A superuser's URL of this database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database; its URL.
    pub async fn database(&self, name: &str) -> Result<String> {
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        Ok(self.url(name))
    }

    /// Ends the postmaster and every backend at once, as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        let Some(mut postmaster) = self.running.take() else {
            return Ok(());
        };
        let id = postmaster.id().context("the postmaster has ended by itself")?;
        let mut all = children(id);
        all.insert(0, id);
        let ids: Vec<String> = all.iter().map(u32::to_string).collect();
        // Some may end between being listed and being told to.
        let _ = Command::new("kill")
            .arg("-9")
            .args(&ids)
            .stderr(Stdio::null())
            .status()
            .await?;
        postmaster.wait().await?;
        Ok(())
    }

    /// Ends whatever runs and does not answer any more by itself; then starts again, and returns once it answers.
    pub async fn restart(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if self.answers().await {
                return Ok(());
            }
            if let Some(running) = &mut self.running
                && running.try_wait()?.is_some()
            {
                // Such as for what a killed one's last backend still held.
                self.running = None;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            if self.running.is_none() {
                self.running = Some(self.spawn()?);
            }
            if began.elapsed() > PATIENCE {
                bail!("it does not answer after {PATIENCE:?}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it in order, as for maintenance: sessions are ended, and new ones refused.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut postmaster) = self.running.take() else {
            return Ok(());
        };
        let id = postmaster.id().context("the postmaster has ended by itself")?;
        Command::new("kill").args(["-INT", &id.to_string()]).status().await?;
        postmaster.wait().await?;
        Ok(())
    }

    fn spawn(&self) -> Result<Child> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=on"])
            .args(["-c", "max_connections=100", "-c", "shared_buffers=64MB"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    async fn answers(&self) -> bool {
        let asking = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            sqlx::query("SELECT 1").execute(&mut connection).await?;
            connection.close().await
        };
        tokio::time::timeout(Duration::from_secs(5), asking)
            .await
            .is_ok_and(|answered| answered.is_ok())
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // Its own folder: the caller's may be closed to the user that it runs as.
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_remove("PGDATA")
            .kill_on_drop(true);
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Its backends end with it, and before the folder goes.
        let Some(id) = self.running.as_ref().and_then(Child::id) else {
            return;
        };
        let mut ids: Vec<String> = children(id).iter().map(u32::to_string).collect();
        ids.insert(0, id.to_string());
        let _ = std::process::Command::new("kill")
            .arg("-9")
            .args(ids)
            .stderr(Stdio::null())
            .status();
    }
}

/// The folder of the newest server installed.
fn binaries() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for folder in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = folder.file_name().to_string_lossy().parse().unwrap_or(0);
        found.push((version, folder.path().join("bin")));
    }
    found.retain(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists());
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// The user the server runs as, where we are root.
async fn owner() -> Result<Option<Owner>> {
    let id = async |arguments: &[&str]| -> Result<u32> {
        let told = Command::new("id").args(arguments).output().await?;
        ensure!(
            told.status.success(),
            "id {arguments:?}: {}",
            String::from_utf8_lossy(&told.stderr)
        );
        Ok(String::from_utf8_lossy(&told.stdout).trim().parse()?)
    };
    if id(&["-u"]).await? != 0 {
        return Ok(None);
    }
    let name = if id(&["-u", "postgres"]).await.is_ok() {
        "postgres"
    } else {
        "nobody"
    };
    Ok(Some(Owner {
        uid: id(&["-u", name]).await?,
        gid: id(&["-g", name]).await?,
    }))
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let of = |entry: std::fs::DirEntry| -> Option<u32> {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in brackets, may hold anything: what counts comes after the last of them.
        let after = stat.rsplit_once(')')?.1;
        let ppid: u32 = after.split_whitespace().nth(1)?.parse().ok()?;
        (ppid == parent).then_some(id)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(of).collect()
}

/// A port that nothing listens on just now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
