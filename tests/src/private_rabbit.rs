//! A RabbitMQ of a test's own: with plugins and settings of its own, to be killed and started again at will.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

use crate::unique;

/// How long the broker may take to come up, on a machine that compiles at the same time.
const BOOT: Duration = Duration::from_secs(120);
/// How long it may take to go down when asked to.
const STOP: Duration = Duration::from_secs(60);
/// What Debian's package installs, which refuses to be run through the programs in the path by who is not root.
const DEBIAN: &str = "/usr/lib/rabbitmq/lib";
/// First bytes of an AMQP 0-9-1 client.
const HELLO: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
const MQTT: &str = "rabbitmq_mqtt";

/// What the broker is to be beyond a plain one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Plugins to enable, of those that come with the broker: `rabbitmq_mqtt` and so on.
    pub plugins: Vec<String>,
    /// Lines of `rabbitmq.conf`, after our own.
    pub config_lines: Vec<String>,
}

impl Options {
    pub fn plugins(plugins: &[&str]) -> Self {
        Self {
            plugins: plugins.iter().map(|plugin| (*plugin).to_owned()).collect(),
            config_lines: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, line: impl Into<String>) -> Self {
        self.config_lines.push(line.into());
        self
    }
}

/// A broker on ports of its own with a folder of its own. Killed and removed when dropped.
#[derive(Debug)]
pub struct PrivateRabbit {
    sbin: PathBuf,
    folder: TempDir,
    node: String,
    ports: Ports,
    mqtt: bool,
    /// Names of nodes are asked for here. The usual one would outlive the test that started it.
    epmd: Child,
    /// `None` while it is down.
    broker: Option<Child>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    mqtt: u16,
    epmd: u16,
}

impl PrivateRabbit {
    /// How long after its declaration a quorum queue outlives a kill.
    pub const SETTLES: Duration = Duration::from_secs(2);

    /// Starts a broker. `None`, after saying so, where there is no RabbitMQ to start: the test skips.
    pub async fn start(options: Options) -> Option<Self> {
        let Some(sbin) = installed() else {
            println!("skipped: no rabbitmq-server is installed here");
            return None;
        };
        // Someone else may take a port between our finding it free and the broker's listening.
        for _ in 0..2 {
            match Self::try_start(sbin.clone(), &options).await {
                Ok(started) => return Some(started),
                Err(error) => eprintln!("a private RabbitMQ did not start, trying once more: {error:#}"),
            }
        }
        match Self::try_start(sbin, &options).await {
            Ok(started) => Some(started),
            Err(error) => panic!("a private RabbitMQ does not start: {error:#}"),
        }
    }

    async fn try_start(sbin: PathBuf, options: &Options) -> Result<Self> {
        let ports = Ports::free()?;
        let folder = TempDir::with_prefix("odograph-rabbit-")?;
        let mqtt = options.plugins.iter().any(|plugin| plugin == MQTT);
        std::fs::write(folder.path().join("rabbitmq.conf"), config(options, ports, mqtt))?;
        let plugins = format!("[{}].\n", options.plugins.join(","));
        std::fs::write(folder.path().join("enabled_plugins"), plugins)?;
        let epmd = Command::new("epmd")
            .args(["-port", &ports.epmd.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("epmd, which is part of Erlang")?;
        let mut rabbit = Self {
            sbin,
            folder,
            node: format!("odograph{}@localhost", unique()),
            ports,
            mqtt,
            epmd,
            broker: None,
        };
        rabbit.boot().await?;
        Ok(rabbit)
    }

    /// As the administrator `guest`.
    pub fn amqp_url(&self) -> String {
        self.amqp_url_as("guest", "guest")
    }

    /// Name and password as they are to stand in a URL.
    pub fn amqp_url_as(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// Where MQTT clients connect, if `rabbitmq_mqtt` is among the plugins.
    pub fn mqtt_port(&self) -> u16 {
        assert!(self.mqtt, "this broker was started without {MQTT}");
        self.ports.mqtt
    }

    /// Holds the broker's data and logs; gone at the end.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the whole Erlang VM at once, as a power cut would.
    ///
    /// Leave queues that were just declared some [`PrivateRabbit::SETTLES`] before: RabbitMQ 3.10 writes which quorum queue
    /// has which log to disk only every half second, and comes back with an empty log for one it did not get to.
    pub async fn kill(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            self.kill_vm();
            broker.start_kill().expect("a broker to kill");
            broker.wait().await.expect("a broker that is gone");
        }
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        let Some(mut broker) = self.broker.take() else { return };
        let id = broker.id().expect("a running broker").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(asked.expect("kill").success(), "kill -TERM {id}");
        let stopped = tokio::time::timeout(STOP, broker.wait()).await;
        stopped
            .expect("a broker that stops when asked")
            .expect("a broker that is gone");
    }

    /// Starts it again after [`PrivateRabbit::kill`] or [`PrivateRabbit::stop`], on the same data and the same ports.
    pub async fn restart(&mut self) {
        self.kill().await;
        if let Err(error) = self.boot().await {
            panic!("a private RabbitMQ does not start again: {error:#}");
        }
    }

    /// Runs `rabbitmqctl` on it, and returns what it said. It takes a second or two.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let output = self
            .command("rabbitmqctl")
            .arg("--quiet")
            .args(arguments)
            .output()
            .await;
        let output = output.expect("rabbitmqctl");
        let (told, complaint) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}\n{told}\n{complaint}"
        );
        told.into_owned()
    }

    async fn boot(&mut self) -> Result<()> {
        let out = |name| std::fs::File::create(self.folder.path().join(name));
        let broker = self
            .command("rabbitmq-server")
            .stdout(out("out")?)
            .stderr(out("err")?)
            .spawn()
            .context("rabbitmq-server")?;
        self.broker = Some(broker);
        let began = Instant::now();
        loop {
            if let Some(broker) = &mut self.broker
                && let Some(status) = broker.try_wait()?
            {
                self.broker = None;
                bail!("it ended with {status}\n{}", self.said());
            }
            if self.answers().await {
                return Ok(());
            }
            ensure!(
                began.elapsed() < BOOT,
                "it does not answer after {BOOT:?}\n{}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether it greets AMQP clients, which it does last, and lets MQTT clients connect.
    async fn answers(&self) -> bool {
        let greeted = async {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.amqp)).await?;
            client.write_all(HELLO).await?;
            // A method frame, Connection.Start.
            client.read_u8().await.map(|kind| kind == 1)
        };
        let greeted = tokio::time::timeout(Duration::from_secs(5), greeted).await;
        matches!(greeted, Ok(Ok(true)))
            && (!self.mqtt || TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.mqtt)).await.is_ok())
    }

    /// A program of the broker's, for this node alone: whatever this machine's own broker is set to is left out.
    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(self.sbin.join(program));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Of the Erlang cookie.
            .env("HOME", folder)
            .env("LANG", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_PID_FILE", self.pid_file())
            .env("RABBITMQ_LOG_BASE", folder.join("logs"))
            .env("RABBITMQ_LOGS", folder.join("logs/rabbit.log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            // Has the script become the VM, where it would start one and wait for it.
            .env("detached", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    /// The VM by the id that it wrote down itself: a version's script may not have become it.
    fn kill_vm(&self) {
        if let Ok(id) = std::fs::read_to_string(self.pid_file()) {
            let mut kill = std::process::Command::new("kill");
            drop(kill.args(["-KILL", id.trim()]).stderr(Stdio::null()).status());
        }
    }

    /// The end of what it wrote.
    fn said(&self) -> String {
        let mut said = String::new();
        for name in ["out", "err", "logs/rabbit.log"] {
            let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(20)..] {
                said.push_str(line);
                said.push('\n');
            }
        }
        said
    }
}

impl Drop for PrivateRabbit {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            self.kill_vm();
            drop(broker.start_kill());
            wait_briefly(&mut broker);
        }
        drop(self.epmd.start_kill());
        wait_briefly(&mut self.epmd);
    }
}

/// Until it has let go of its files, which are removed next. Killed as it is, that is a moment.
fn wait_briefly(child: &mut Child) {
    for _ in 0..100 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Ports {
    fn free() -> Result<Self> {
        // All held at once, so that they differ.
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [listen()?, listen()?, listen()?, listen()?];
        let port = |index: usize| held[index].local_addr().map(|address: SocketAddr| address.port());
        Ok(Self {
            amqp: port(0)?,
            distribution: port(1)?,
            mqtt: port(2)?,
            epmd: port(3)?,
        })
    }
}

fn config(options: &Options, ports: Ports, mqtt: bool) -> String {
    let mut lines = vec![
        format!("listeners.tcp.local = 127.0.0.1:{}", ports.amqp),
        "log.file.level = info".to_owned(),
        // The usual 50 MB would have it block publishers where a test fills a small disk on purpose, or finds it full.
        "disk_free_limit.absolute = 1MB".to_owned(),
    ];
    if mqtt {
        lines.push(format!("mqtt.listeners.tcp.local = 127.0.0.1:{}", ports.mqtt));
    }
    lines.extend(options.config_lines.iter().cloned());
    lines.join("\n") + "\n"
}

/// The folder of the broker's own scripts: Debian's newest, else where the program in the path really lies.
fn installed() -> Option<PathBuf> {
    let whole = |sbin: &PathBuf| sbin.join("rabbitmq-server").is_file() && sbin.join("rabbitmq-env").is_file();
    let debian = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = debian.map(|entry| entry.path().join("sbin")).filter(whole).max();
    newest.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let programs = std::env::split_paths(&path).map(|folder| folder.join("rabbitmq-server"));
        let real = programs.filter_map(|program| program.canonicalize().ok());
        real.filter_map(|program| program.parent().map(Path::to_owned))
            .find(whole)
    })
}

#[cfg(test)]
mod tests {
    use lapin::{
        BasicProperties, Confirmation, Connection, ConnectionProperties,
        options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
        types::{AMQPValue, FieldTable},
    };

    use super::*;

    #[tokio::test]
    async fn what_was_confirmed_outlives_a_kill() {
        let Some(mut rabbit) = PrivateRabbit::start(Options::plugins(&[MQTT])).await else {
            return;
        };
        let told = rabbit.ctl(&["list_vhosts"]).await;
        assert!(told.contains('/'), "{told}");
        TcpStream::connect((Ipv4Addr::LOCALHOST, rabbit.mqtt_port()))
            .await
            .unwrap();
        let url = rabbit.amqp_url();
        let connect = || Connection::connect(&url, ConnectionProperties::default());
        let channel = connect().await.unwrap().create_channel().await.unwrap();
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let declare = QueueDeclareOptions::durable();
        channel.queue_declare("kept".into(), declare, quorum).await.unwrap();
        tokio::time::sleep(PrivateRabbit::SETTLES).await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel
            .basic_publish(
                "".into(),
                "kept".into(),
                BasicPublishOptions::default(),
                b"here",
                properties,
            )
            .await
            .unwrap();
        assert_eq!(sent.await.unwrap(), Confirmation::Ack(None));
        rabbit.kill().await;
        assert!(
            TcpStream::connect((Ipv4Addr::LOCALHOST, rabbit.ports.amqp))
                .await
                .is_err()
        );
        rabbit.restart().await;
        let channel = connect().await.unwrap().create_channel().await.unwrap();
        let option = BasicGetOptions { no_ack: true };
        let got = channel.basic_get("kept".into(), option).await.unwrap();
        assert_eq!(got.expect("the message").delivery.data, b"here");
        let folder = rabbit.folder().to_owned();
        rabbit.stop().await;
        drop(rabbit);
        assert!(!folder.exists());
    }
}
