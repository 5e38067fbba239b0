use anyhow::{Context, Result};
use clap::Subcommand;
use odograph_api::{Scope, hash_secret};
use odograph_domain::id::{ClientId, TenantId};
use odograph_store::NewClient;

use super::{every, table};
use crate::{
    config::Config,
    root::{Parts, random_bytes},
};

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Create an API client and print its id and secret. The secret is shown this once.
    Create {
        /// Name or id of the tenant.
        #[arg(long)]
        tenant: String,
        /// What it is for.
        name: String,
        /// Scopes it may ask for. Without any: all but raw tracks and drivers' identities.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// List a tenant's API clients.
    List {
        /// Name or id of the tenant.
        #[arg(long)]
        tenant: String,
    },
    /// Disable an API client: it gets no more tokens.
    Disable {
        /// Name or id of the tenant.
        #[arg(long)]
        tenant: String,
        client: ClientId,
    },
}

impl Client {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        match self {
            Self::Create { tenant, name, scopes } => {
                let tenant = parts.tenant_named(&tenant).await?;
                let credentials = create(parts, tenant, &name, &scopes).await?;
                println!("client_id     {}\nclient_secret {}", credentials.id, credentials.secret);
                println!("scopes        {}", credentials.scopes.join(" "));
            }
            Self::List { tenant } => {
                let tenant = parts.tenant_named(&tenant).await?;
                let operator = parts.store.operator();
                let rows = every(|page| operator.clients(tenant, page))
                    .await?
                    .into_iter()
                    .map(|client| {
                        let state = if client.disabled_at.is_some() {
                            "disabled"
                        } else {
                            "active"
                        };
                        vec![
                            client.id.to_string(),
                            client.name,
                            client.scopes.join(" "),
                            state.to_owned(),
                        ]
                    });
                println!("{}", table::render(&["id", "name", "scopes", "state"], rows));
            }
            Self::Disable { tenant, client } => {
                let tenant = parts.tenant_named(&tenant).await?;
                parts
                    .store
                    .operator()
                    .disable_client(tenant, client)
                    .await
                    .context("the client was not disabled")?;
                println!("{client} is disabled; tokens it holds run out by themselves");
            }
        }
        Ok(())
    }
}

/// A client's credentials, as shown once.
#[derive(Debug)]
pub struct Credentials {
    pub id: ClientId,
    pub secret: String,
    pub scopes: Vec<String>,
}

/// Where somebody was and who somebody is: given only when asked for.
const NOT_BY_DEFAULT: [Scope; 2] = [Scope::TracksRead, Scope::DriversIdentity];

fn scope(name: &str) -> Result<Scope> {
    let known = || {
        Scope::ALL
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    Scope::parse(name).with_context(|| format!("there is no scope {name:?}; there are {}", known()))
}

/// Creates a client with a random secret; only its hash is stored.
pub async fn create(parts: &Parts, tenant: TenantId, name: &str, scopes: &[String]) -> Result<Credentials> {
    let scopes: Vec<Scope> = if scopes.is_empty() {
        Scope::ALL
            .iter()
            .copied()
            .filter(|scope| !NOT_BY_DEFAULT.contains(scope))
            .collect()
    } else {
        scopes.iter().map(|name| scope(name)).collect::<Result<_>>()?
    };
    let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
    let secret = hex::encode(random_bytes::<32>()?);
    let secret_hash = hash_secret(&secret, random_bytes()?)?;
    let client = NewClient {
        name: name.to_owned(),
        secret_hash,
        scopes,
    };
    let created = parts
        .store
        .operator()
        .create_client(tenant, client)
        .await
        .context("no client was created")?;
    Ok(Credentials {
        id: created.id,
        secret,
        scopes: created.scopes,
    })
}
