//! Fixes and distances between them, as far as trips need them.

use odograph_domain::sample::Sample;

/// Mean Earth radius, m (IUGG).
const EARTH_M: f64 = 6_371_008.8;

/// A position fix, in degrees, with the radius it can be off by, m.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fix {
    lat: f64,
    lon: f64,
    error_m: f64,
}

/// One HDOP unit in metres: the usual user-equivalent range error of a civil receiver.
const METRES_PER_HDOP: f64 = 5.0;
/// Of a fix that says nothing about itself.
const UNKNOWN_ERROR_M: f64 = 10.0;
/// A fix worse than this says nothing about where a car is.
const USELESS_M: f64 = 300.0;

impl Fix {
    /// `None` without a position, with one that is too poor, and at 0°, 0°, which receivers give when they have none.
    pub(crate) fn of(sample: &Sample) -> Option<Self> {
        let (lat, lon) = (sample.lat?, sample.lon?);
        let error_m = sample
            .accuracy_m
            .or(sample.hdop.map(|hdop| hdop * METRES_PER_HDOP))
            .unwrap_or(UNKNOWN_ERROR_M);
        if (lat == 0.0 && lon == 0.0) || error_m > USELESS_M {
            return None;
        }
        Some(Self {
            lat,
            lon,
            error_m: error_m.max(METRES_PER_HDOP),
        })
    }

    /// A place without its error, to measure from.
    pub(crate) fn at(lat: f64, lon: f64) -> Self {
        Self {
            lat,
            lon,
            error_m: METRES_PER_HDOP,
        }
    }

    pub(crate) fn degrees(&self) -> (f64, f64) {
        (self.lat, self.lon)
    }

    /// Great-circle distance by the haversine formula, m; exact to 0.5 % (the Earth is no sphere).
    pub(crate) fn distance_m(&self, other: &Self) -> f64 {
        let (lat_a, lat_b) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = ((lat_b - lat_a) / 2.0).sin();
        let half_lon = ((other.lon - self.lon).to_radians() / 2.0).sin();
        let a = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
        2.0 * EARTH_M * a.sqrt().min(1.0).asin()
    }

    /// The displacement that cannot be noise of either fix, m: twice the sum of both errors, 30 m at least.
    pub(crate) fn noise_m(&self, other: &Self) -> f64 {
        (2.0 * (self.error_m + other.error_m)).max(30.0)
    }
}
