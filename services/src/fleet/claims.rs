//! Claims: how often and how dear follows from how somebody drives, so that a score can be tested against them.

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    TrueTrip,
    driver::Temper,
    math::{exp, exponential, gamma},
};

/// Of an average driver by day: about 0.06 claims on 13,000 km.
const CLAIMS_A_KM: f64 = 4.6e-6;
/// A kilometre by night is worth so many by day.
const NIGHT: f64 = 1.4;
/// Mean severity of an average driver's claims, in the policy's currency.
const SEVERITY: f64 = 2_800.0;
/// Below 1: many small ones and a long tail.
const SEVERITY_SHAPE: f64 = 0.7;
/// Shape of what no sensor sees: the spread between drivers who drive alike.
const UNSEEN_SHAPE: f64 = 4.0;

/// What a driver costs in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Risk {
    /// By which the frequency of an average driver is multiplied: by style, and by what no sensor sees.
    pub relativity: f64,
    /// The part of it that how he drives explains.
    pub seen_relativity: f64,
    pub claims_a_km: f64,
    pub mean_severity: f64,
    /// About what is driven in a year.
    pub annual_km: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    pub at: DateTime<Utc>,
    pub severity: f64,
    /// Before the telemetry begins: from the years of history asked for.
    pub history: bool,
}

impl Risk {
    /// Log-linear in the figures of the driver's temperament, as a rating factor would be.
    pub(super) fn of(temper: &Temper, annual_km: f64, rng: &mut ChaCha8Rng) -> Self {
        let seen = exp(4.0 * (temper.harsh - 0.012)
            + 2.5 * (temper.pace - 1.0)
            + 0.08 * (temper.phone_an_hour - 0.8)
            + 2.0 * (temper.hazards_a_km - 0.02));
        let relativity = seen * gamma(UNSEEN_SHAPE, 1.0, rng);
        Self {
            relativity,
            seen_relativity: seen,
            claims_a_km: CLAIMS_A_KM * relativity,
            mean_severity: SEVERITY * (1.0 + 2.0 * (temper.pace - 1.0) + temper.harsh).max(0.3),
            annual_km,
        }
    }

    /// A Poisson process along the kilometres: first the years before `start`, then the trips.
    pub(super) fn claims(
        &self,
        start: DateTime<Utc>,
        years: f64,
        trips: &[TrueTrip],
        rng: &mut ChaCha8Rng,
    ) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut until_next = exponential(rng);
        let history = years * 365.25 * 86_400.0;
        let mut at_s = 0.0;
        let a_second = self.claims_a_km * self.annual_km / (365.25 * 86_400.0);
        while at_s < history && a_second > 0.0 {
            let wait_s = until_next / a_second;
            if at_s + wait_s > history {
                until_next -= (history - at_s) * a_second;
                break;
            }
            at_s += wait_s;
            let at = start - TimeDelta::seconds((history - at_s) as i64);
            claims.push(self.claim(at, true, rng));
            until_next = exponential(rng);
        }
        for trip in trips {
            let mut hazard = self.claims_a_km * trip.distance_km * if trip.at_night { NIGHT } else { 1.0 };
            while until_next <= hazard {
                hazard -= until_next;
                let lasted_s = (trip.end - trip.start).num_seconds().max(1);
                let at = trip.start + TimeDelta::seconds(rng.random_range(0..lasted_s));
                claims.push(self.claim(at, false, rng));
                until_next = exponential(rng);
            }
            until_next -= hazard;
        }
        claims
    }

    fn claim(&self, at: DateTime<Utc>, history: bool, rng: &mut ChaCha8Rng) -> Claim {
        Claim {
            at,
            severity: gamma(SEVERITY_SHAPE, self.mean_severity, rng).max(1.0),
            history,
        }
    }
}
