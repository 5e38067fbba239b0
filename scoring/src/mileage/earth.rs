//! Distances on the WGS 84 ellipsoid.

use geo::{Distance, Geodesic, Point};

const EQUATOR_M: f64 = 6_378_137.0;
/// First eccentricity squared.
const E2: f64 = 6.694_379_990_141_316e-3;
/// Up to this many degrees apart the plane through the two points is good to a millimetre a kilometre.
const LOCAL_DEG: f64 = 0.05;

/// East and north from one point (latitude, longitude in degrees) to another nearby, in metres, by the radii of
/// curvature at the middle latitude. Off by less than 1e-6 of the distance up to some kilometres, away from the poles.
pub(crate) fn offset_m(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let middle = f64::midpoint(from.0, to.0).to_radians();
    let (sin, cos) = middle.sin_cos();
    let w2 = 1.0 - E2 * sin * sin;
    let prime_vertical = EQUATOR_M / w2.sqrt();
    let meridional = prime_vertical * (1.0 - E2) / w2;
    let east = longitude_difference(from.1, to.1).to_radians() * prime_vertical * cos;
    let north = (to.0 - from.0).to_radians() * meridional;
    (east, north)
}

/// Metres between two points (latitude, longitude in degrees): in the local plane where they are close, else along the
/// geodesic (Karney 2013, by the `geo` crate).
pub(crate) fn distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let close = (to.0 - from.0).abs() < LOCAL_DEG && longitude_difference(from.1, to.1).abs() < LOCAL_DEG;
    if close && from.0.abs() < 85.0 {
        let (east, north) = offset_m(from, to);
        return east.hypot(north);
    }
    Geodesic.distance(Point::new(from.1, from.0), Point::new(to.1, to.0))
}

/// Metres that two points (latitude, longitude in degrees) are apart at most, without a cosine: along the meridian and then
/// along the parallel, a degree of which has less than 111.7 km everywhere.
pub(crate) fn most_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    ((to.0 - from.0).abs() + longitude_difference(from.1, to.1).abs()) * 111_700.0
}

/// Whether two points are within so many metres of each other.
pub(crate) fn within(from: (f64, f64), to: (f64, f64), radius_m: f64) -> bool {
    // A degree of latitude has more than 110 km everywhere, and one of longitude more than that times a cosine that a
    // straight line below it bounds: this settles most questions without a cosine.
    let least_cos = 1.0 - from.0.abs().max(to.0.abs()) / 90.0;
    (to.0 - from.0).abs() * 110_000.0 <= radius_m
        && longitude_difference(from.1, to.1).abs() * 110_000.0 * least_cos <= radius_m
        && distance_m(from, to) <= radius_m
}

fn longitude_difference(from: f64, to: f64) -> f64 {
    let difference = to - from;
    if difference > 180.0 {
        difference - 360.0
    } else if difference < -180.0 {
        difference + 360.0
    } else {
        difference
    }
}
