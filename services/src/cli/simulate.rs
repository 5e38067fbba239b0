//! `odograph simulate`: options in, a run out.

mod options;
mod shown;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use self::options::Options;
use crate::{
    config::Config,
    import,
    pipeline::{Pipeline, derive},
    root::Parts,
    shutdown,
    simulate::{self, Credentials, Folder, Means, Plan, Sent, Target, ThroughQueue, check},
    worker,
};

const HELP: &str = "\
Examples:
  odograph simulate --out run --vehicles 1000                     a day of a fleet, as CSV for `odograph import`
  odograph simulate --out run --vehicles 15 --duration 300s       five minutes in which everybody drives
  odograph simulate --out run --to http://127.0.0.1:8080          over HTTP, as devices would
  odograph simulate --out run --to amqp --tenant demo --register  through the configured queue
  odograph simulate --out run --to amqp --tenant demo --speed 60 --duration 2h   a minute a second
  odograph simulate --resume run                                  go on with a run that was stopped
  odograph simulate check --run run --tenant demo                 hold the platform against the truth

The same options and the same seed give the same bytes, on any number of threads. The truth (trips, events, claims,
scenarios) is written beside the telemetry, in DIR/truth. docs/simulator.md says what is modelled.";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = HELP)]
pub(super) struct Simulate {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
    /// Go on with the run in this folder, as it was begun.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    resume: Option<PathBuf>,
    /// Threads that generate vehicles. Without this, all cores.
    #[arg(long)]
    threads: Option<usize>,
    /// OAuth client that sends over HTTP; it needs the scope telemetry:write.
    #[arg(long, env = "ODOGRAPH_CLIENT_ID", hide_env_values = true)]
    client_id: Option<String>,
    /// Its secret: by the environment only, since arguments are seen by everybody on the machine.
    #[arg(skip = std::env::var("ODOGRAPH_CLIENT_SECRET").ok())]
    client_secret: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the last message of each vehicle.
    Last {
        /// Folder of the run.
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
        /// Only this vehicle's, whole.
        #[arg(long)]
        vehicle: Option<String>,
    },
    /// Show how far a run has come.
    Status {
        /// Folder of the run.
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
    },
    /// Hold a tenant's trips against the truth of a run: found, billed, and by what quality of device. Fails where too
    /// little is found or the kilometres are too far off.
    Check {
        /// Folder of the run.
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
        /// Name or id of the tenant that the run was sent to.
        #[arg(long)]
        tenant: String,
        /// Least share of true trips that must be found, both ends within a minute.
        #[arg(long, default_value_t = 0.98)]
        least_found: f64,
        /// Most that the billed kilometres may be off by, as a share.
        #[arg(long, default_value_t = 0.02)]
        most_off: f64,
        /// Show so many of the trips that were missed or not driven.
        #[arg(long, default_value_t = 0)]
        findings: usize,
    },
}

impl Simulate {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        match self.command {
            Some(Command::Last { run, vehicle }) => shown::last(&run, vehicle.as_deref()),
            Some(Command::Status { run }) => shown::status(&run),
            Some(Command::Check {
                run,
                tenant,
                least_found,
                most_off,
                findings,
            }) => {
                let parts = Parts::open_database(config).await?;
                let report = async {
                    let tenant = parts.tenant_named(&tenant).await?;
                    check::check(&run, &parts.store.tenant(tenant)).await
                };
                let report = report.await;
                parts.close().await?;
                judge(&report?, least_found, most_off, findings)
            }
            None => self.go(config).await,
        }
    }

    async fn go(self, config: Config) -> Result<()> {
        let (plan, mut folder) = match (&self.resume, &self.options.out) {
            (Some(resume), _) => Folder::resume(resume)?,
            (None, Some(out)) => {
                let plan = self.options.plan()?;
                // Before a folder is made for a run that cannot begin.
                self.credentials(&plan)?;
                let folder = Folder::begin(out, &plan, self.options.force)?;
                (plan, folder)
            }
            (None, None) => bail!("where to? Give --out DIR for a new run, or --resume DIR"),
        };
        if folder.state.done {
            println!("the run in {} is done", folder.path().display());
            return Ok(());
        }
        let credentials = self.credentials(&plan)?;
        let interrupted = shutdown::on_signal()?;
        let sent = match &plan.target {
            Target::Queue { .. } => through_queue(&mut folder, &plan, self.threads, config, &interrupted).await?,
            Target::Nowhere | Target::Http { .. } => {
                let means = Means {
                    credentials,
                    queue: None,
                    threads: self.threads,
                };
                simulate::run(&mut folder, &plan, means, &interrupted).await?
            }
        };
        shown::ending(&folder, &plan, &sent);
        if !folder.state.done {
            bail!(
                "stopped; `odograph simulate --resume {}` goes on",
                folder.path().display()
            );
        }
        Ok(())
    }
}

impl Simulate {
    /// Who sends, for a run that sends over HTTP.
    fn credentials(&self, plan: &Plan) -> Result<Option<Credentials>> {
        if !matches!(plan.target, Target::Http { .. }) {
            return Ok(None);
        }
        let given = self.client_id.clone().zip(self.client_secret.clone());
        let given = given.map(|(client_id, client_secret)| Credentials {
            client_id,
            client_secret,
        });
        let wanted = "sending over HTTP needs --client-id (or ODOGRAPH_CLIENT_ID) and ODOGRAPH_CLIENT_SECRET";
        given.context(wanted).map(Some)
    }
}

/// Sends through the configured queue, with a worker of our own unless there are others.
async fn through_queue(
    folder: &mut Folder,
    plan: &Plan,
    threads: Option<usize>,
    config: Config,
    interrupted: &CancellationToken,
) -> Result<Sent> {
    let parts = Parts::open(config).await?;
    let done = work_through(folder, plan, threads, &parts, interrupted).await;
    parts.close().await?;
    done
}

async fn work_through(
    folder: &mut Folder,
    plan: &Plan,
    threads: Option<usize>,
    parts: &Parts,
    interrupted: &CancellationToken,
) -> Result<Sent> {
    let Target::Queue { tenant, register, work } = &plan.target else {
        bail!("the run does not send to a queue");
    };
    let tenant = parts.tenant_named(tenant).await?;
    let means = Means {
        credentials: None,
        queue: Some(ThroughQueue {
            parts,
            tenant,
            register: register.clone(),
        }),
        threads,
    };
    let working = CancellationToken::new();
    let worker = work.then(|| tokio::spawn(worker::run(parts.clone(), working.clone())));
    let sent = async {
        let mut sent = simulate::run(folder, plan, means, interrupted).await?;
        if let Some(summary) = sent.summary.as_mut().filter(|_| *work) {
            import::wait(parts, tenant, summary, interrupted).await?;
        }
        anyhow::Ok(sent)
    };
    let sent = sent.await;
    working.cancel();
    if let Some(worker) = worker {
        worker.await.context("the worker panicked")??;
    }
    if *work && sent.is_ok() && !interrupted.is_cancelled() {
        derive::all_due(&Pipeline::new(parts), Some(tenant), true, interrupted).await?;
    }
    sent
}

fn judge(report: &check::Report, least_found: f64, most_off: f64, findings: usize) -> Result<()> {
    println!("{report}");
    for finding in report.findings.iter().take(findings) {
        let what = if finding.missed { "missed" } else { "not driven" };
        println!(
            "{what}: {} ({}) {} to {}, {:.2} km",
            finding.vehicle, finding.quality, finding.start, finding.end, finding.km
        );
    }
    let all = report.all();
    let mut wrong = Vec::new();
    if all.matched_share() < least_found {
        wrong.push(format!(
            "{:.2} % of trips found, wanted {:.2} %",
            100.0 * all.matched_share(),
            100.0 * least_found
        ));
    }
    if all.off().abs() > most_off {
        wrong.push(format!(
            "billed {:+.2} % of what was driven, wanted within {:.2} %",
            100.0 * all.off(),
            100.0 * most_off
        ));
    }
    if all.drift_km > 0.0 {
        wrong.push(format!("{:.2} km billed for cars that were parked", all.drift_km));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        bail!("{}", wrong.join("; "))
    }
}
