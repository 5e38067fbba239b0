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
        #[command(flatten)]
        of: Of,
        /// What it is for.
        name: String,
        /// Scopes it may ask for. Without any: of a tenant's client all but raw tracks and drivers' identities, of an operator's
        /// all there are for operators.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// List the API clients of a tenant or of the platform's operators.
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Disable an API client: it gets no more tokens.
    Disable {
        #[command(flatten)]
        of: Of,
        client: ClientId,
    },
}

/// Whose client it is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Of {
    /// Name or id of the tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Of the platform's operators, who manage tenants and reach no tenant's data.
    #[arg(long)]
    operator: bool,
}

impl Of {
    /// `None`: the platform's operators.
    async fn tenant(&self, parts: &Parts) -> Result<Option<TenantId>> {
        match &self.tenant {
            Some(tenant) => Ok(Some(parts.tenant_named(tenant).await?)),
            None => Ok(None),
        }
    }
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
            Self::Create { of, name, scopes } => {
                let credentials = match of.tenant(parts).await? {
                    Some(tenant) => create(parts, tenant, &name, &scopes).await?,
                    None => create_operator(parts, &name, &scopes).await?,
                };
                println!("client_id     {}\nclient_secret {}", credentials.id, credentials.secret);
                println!("scopes        {}", credentials.scopes.join(" "));
            }
            Self::List { of } => {
                let operator = parts.store.operator();
                let row = |id: ClientId, name: String, scopes: &[String], disabled: bool| {
                    let state = if disabled { "disabled" } else { "active" };
                    vec![id.to_string(), name, scopes.join(" "), state.to_owned()]
                };
                let rows: Vec<_> = match of.tenant(parts).await? {
                    Some(tenant) => every(|page| operator.clients(tenant, page))
                        .await?
                        .into_iter()
                        .map(|client| row(client.id, client.name, &client.scopes, client.disabled_at.is_some()))
                        .collect(),
                    None => every(|page| operator.operator_clients(page))
                        .await?
                        .into_iter()
                        .map(|client| row(client.id, client.name, &client.scopes, client.disabled_at.is_some()))
                        .collect(),
                };
                println!(
                    "{}",
                    table::render(&["id", "name", "scopes", "state"], rows.into_iter())
                );
            }
            Self::Disable { of, client } => {
                let operator = parts.store.operator();
                let done = match of.tenant(parts).await? {
                    Some(tenant) => operator.disable_client(tenant, client).await,
                    None => operator.disable_operator_client(client).await,
                };
                done.context("the client was not disabled")?;
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

/// The scopes named, each of which must be among those there are.
fn chosen(names: &[String], there: &[Scope]) -> Result<Vec<String>> {
    let known = || there.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
    let scope = |name: &String| {
        Scope::parse(name)
            .filter(|scope| there.contains(scope))
            .map(|scope| scope.as_str().to_owned())
            .with_context(|| format!("there is no such scope here as {name:?}; there are {}", known()))
    };
    names.iter().map(scope).collect()
}

fn names(scopes: impl Iterator<Item = Scope>) -> Vec<String> {
    scopes.map(|scope| scope.as_str().to_owned()).collect()
}

/// Creates a client of a tenant with a random secret; only its hash is stored.
pub async fn create(parts: &Parts, tenant: TenantId, name: &str, scopes: &[String]) -> Result<Credentials> {
    let scopes = if scopes.is_empty() {
        names(Scope::of_tenants().filter(|scope| !NOT_BY_DEFAULT.contains(scope)))
    } else {
        chosen(scopes, &Scope::of_tenants().collect::<Vec<_>>())?
    };
    let (secret, client) = new_client(name, scopes)?;
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

/// Creates a client of the platform's operators.
pub async fn create_operator(parts: &Parts, name: &str, scopes: &[String]) -> Result<Credentials> {
    let scopes = if scopes.is_empty() {
        names(Scope::of_operators())
    } else {
        chosen(scopes, &Scope::of_operators().collect::<Vec<_>>())?
    };
    let (secret, client) = new_client(name, scopes)?;
    let created = parts
        .store
        .operator()
        .create_operator_client(client)
        .await
        .context("no client was created")?;
    Ok(Credentials {
        id: created.id,
        secret,
        scopes: created.scopes,
    })
}

fn new_client(name: &str, scopes: Vec<String>) -> Result<(String, NewClient)> {
    let secret = hex::encode(random_bytes::<32>()?);
    let secret_hash = hash_secret(&secret, random_bytes()?)?;
    let client = NewClient {
        name: name.to_owned(),
        secret_hash,
        scopes,
    };
    Ok((secret, client))
}
