use anyhow::{Context, Result};
use clap::Subcommand;
use odograph_domain::settings::TenantSettings;
use odograph_store::NewTenant;

use super::{every, table};
use crate::{config::Config, root::Parts};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant.
    Create {
        /// Its name, unique on this platform.
        name: String,
        /// Settings as JSON; what is left out has its default. For example '{"trip":{"rest_s":180}}'.
        #[arg(long, value_parser = settings, default_value = "{}")]
        settings: TenantSettings,
    },
    /// List all tenants.
    List,
    /// Change a tenant's settings: how its telemetry is read from now on.
    Set {
        /// Name or id.
        tenant: String,
        /// All settings as JSON; what is left out goes back to its default.
        #[arg(value_parser = settings)]
        settings: TenantSettings,
    },
}

fn settings(text: &str) -> Result<TenantSettings, String> {
    TenantSettings::parse(text)
}

impl Tenant {
    pub(super) async fn run(self, config: Config) -> Result<()> {
        let parts = Parts::open_database(config).await?;
        let done = self.act(&parts).await;
        parts.close().await?;
        done
    }

    async fn act(self, parts: &Parts) -> Result<()> {
        let operator = parts.store.operator();
        match self {
            Self::Create { name, settings } => {
                let tenant = operator
                    .create_tenant(NewTenant { name, settings })
                    .await
                    .context("the tenant was not created")?;
                println!("{}", tenant.id);
            }
            Self::List => {
                let tenants = every(|page| operator.tenants(page)).await?;
                let rows = tenants
                    .into_iter()
                    .map(|tenant| vec![tenant.id.to_string(), tenant.name, tenant.created_at.to_rfc3339()]);
                println!("{}", table::render(&["id", "name", "created"], rows));
            }
            Self::Set { tenant, settings } => {
                let tenant = parts.tenant_named(&tenant).await?;
                operator.set_tenant_settings(tenant, &settings).await?;
                println!("{}", serde_json::to_string(&settings)?);
            }
        }
        Ok(())
    }
}
