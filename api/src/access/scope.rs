//! What a token may be used for: the scopes, each with a sentence for the documentation.

use std::fmt;

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $says:literal;)*) => {
        /// What a token may be used for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[$doc])* $variant,)*
        }

        impl Scope {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for the documentation.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }

            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

scopes! {
    TelemetryWrite = "telemetry:write", "Send telemetry batches.";
    VehiclesRead = "vehicles:read", "Read vehicles, their devices and who is assigned to them.";
    VehiclesWrite = "vehicles:write", "Register vehicles and devices, assign drivers.";
    DriversRead = "drivers:read", "Read drivers, without their identity.";
    DriversWrite = "drivers:write", "Register and change drivers.";
    /// Apart from `drivers:read`: most who look at driving have no need to know whose it is.
    DriversIdentity = "drivers:identity", "Give and read names, e-mail addresses and telephone numbers of drivers.";
    FleetsRead = "fleets:read", "Read fleets, their groups, and what they drove.";
    FleetsWrite = "fleets:write", "Make and change fleets and groups, and say which vehicles are in them.";
    PoliciesRead = "policies:read", "Read policies.";
    PoliciesWrite = "policies:write", "Write policies.";
    PlansRead = "plans:read", "Read rating plans.";
    PlansWrite = "plans:write", "File rating plans and new versions of them.";
    TripsRead = "trips:read", "Read trips, their features and events, without the track.";
    /// Where somebody was, second by second: a class of its own.
    TracksRead = "tracks:read", "Read raw tracks: positions and every other sample.";
    ScoresRead = "scores:read", "Read scores with their reasons.";
    /// Sums of everything but tracks and identities, which need their own scopes in a report too.
    ReportsRead = "reports:read", "Read reports of drivers and fleets: distance, behaviour, scores, premiums.";
    PremiumsRead = "premiums:read", "Read usage days and premiums with their traces.";
    PremiumsWrite = "premiums:write", "Rate a period on demand, and quote.";
    DeadLettersRead = "deadletters:read", "Read what could not be used, and the counts of outcomes.";
    DeadLettersWrite = "deadletters:write", "Send what could not be used again, or give it up.";
    SettingsRead = "settings:read", "Read the tenant's settings.";
    SettingsWrite = "settings:write", "Change the tenant's settings.";
    /// Of operators' clients only, which have no other scopes.
    TenantsRead = "tenants:read", "Read tenants and their clients; for operators of the platform.";
    TenantsWrite = "tenants:write", "Create and change tenants and their clients; for operators of the platform.";
}

impl Scope {
    /// Whether it is of the platform's operators, and no tenant's client can have it; else no operator's can.
    pub const fn is_platform(self) -> bool {
        matches!(self, Self::TenantsRead | Self::TenantsWrite)
    }

    /// Those a tenant's client can have.
    pub fn of_tenants() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|scope| !scope.is_platform())
    }

    /// Those an operator's client can have.
    pub fn of_operators() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|scope| scope.is_platform())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
