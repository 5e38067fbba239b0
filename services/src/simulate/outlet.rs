//! Where batches go to, besides files.

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use odograph_domain::id::TenantId;
use odograph_store::TenantStore;
use tokio_util::sync::CancellationToken;

use super::{
    http::{Credentials, Http},
    plan::{Plan, Target},
    render::{Insured, Sendable},
};
use crate::{
    fleet::FleetSpec,
    import::{self, Sender, Summary},
    root::Parts,
};

/// Vehicles that are sent for at the same time.
const AT_ONCE: usize = 16;

/// What the queue is sent through.
#[derive(Debug)]
pub struct ThroughQueue<'a> {
    pub parts: &'a Parts,
    pub tenant: TenantId,
    /// Name of the rating plan for vehicles nobody has registered.
    pub register: Option<String>,
}

pub(super) enum Outlet<'a> {
    Nowhere,
    Http {
        http: Box<Http>,
        register: Option<String>,
        fleet: &'a FleetSpec,
    },
    Queue(Box<QueueOutlet<'a>>),
}

pub(super) struct QueueOutlet<'a> {
    store: TenantStore,
    sender: Sender<'a>,
    register: Option<String>,
    fleet: &'a FleetSpec,
    pub(super) summary: Summary,
}

impl<'a> Outlet<'a> {
    pub(super) fn open(
        plan: &'a Plan,
        credentials: Option<Credentials>,
        queue: Option<ThroughQueue<'a>>,
    ) -> Result<Self> {
        Ok(match &plan.target {
            Target::Nowhere => Self::Nowhere,
            Target::Http { url, register } => {
                let credentials = credentials.context("sending over HTTP needs a client id and its secret")?;
                Self::Http {
                    http: Box::new(Http::new(url, credentials)?),
                    register: register.clone(),
                    fleet: &plan.fleet,
                }
            }
            Target::Queue { .. } => {
                let queue = queue.context("sending to the queue needs the platform's parts")?;
                let summary = Summary::new(queue.parts.ids.uuid());
                Self::Queue(Box::new(QueueOutlet {
                    store: queue.parts.store.tenant(queue.tenant),
                    sender: Sender::new(queue.parts, queue.tenant, summary.run),
                    register: queue.register,
                    fleet: &plan.fleet,
                    summary,
                }))
            }
        })
    }

    /// Makes vehicles known that are not, where asked to.
    pub(super) async fn register<'b>(
        &mut self,
        vehicles: impl Iterator<Item = &'b Insured>,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        match self {
            Self::Queue(queue) => {
                let Some(plan) = &queue.register else { return Ok(()) };
                for insured in vehicles {
                    import::insured(&queue.store, insured, plan, queue.fleet, &mut queue.summary).await?;
                }
            }
            Self::Http {
                http,
                register: Some(plan),
                fleet,
            } => {
                let each = vehicles.map(|insured| http.register(insured, plan, fleet, interrupted));
                stream::iter(each).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            }
            Self::Nowhere | Self::Http { .. } => {}
        }
        Ok(())
    }

    /// Sends batches; those of one vehicle in their order.
    pub(super) async fn send(
        &mut self,
        vehicles: Vec<(String, Vec<Sendable>)>,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Http { http, .. } => {
                let http = &**http;
                let each = vehicles.into_iter().map(|(_, batches)| async move {
                    for batch in &batches {
                        http.send(batch, interrupted).await?;
                    }
                    anyhow::Ok(())
                });
                stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
            }
            Self::Queue(queue) => {
                for (name, batches) in vehicles {
                    for batch in batches {
                        queue.summary.count(u64::from(batch.samples));
                        queue.sender.take(&name, batch.body).await?;
                    }
                }
                queue.sender.flush().await
            }
        }
    }
}
