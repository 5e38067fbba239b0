//! A sketch of where trips went: lines without streets, to scale, north up.

use super::{Label, Svg, WIDTH};
use crate::report::text::number;

const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 18.0;
/// Mean length of a degree of latitude, km (sphere of 6371.0 km).
const KM_PER_DEGREE: f64 = 111.195;
/// Places closer together than this are drawn as if this far apart, degrees: a car park fills no map.
const LEAST_SPAN: f64 = 0.002;

/// Trips as pairs of latitude and longitude, degrees.
pub(crate) fn sketch(label: Label<'_>, trips: &[Vec<[f64; 2]>]) -> String {
    let mut svg = Svg::new(label, HEIGHT);
    svg.rect("paper", (0.0, 0.0), (WIDTH, HEIGHT), label.title);
    let usable = |[lat, lon]: &&[f64; 2]| lat.abs() <= 90.0 && lon.abs() <= 360.0;
    let Some(flat) = Flat::over(trips.iter().flatten().filter(usable)) else {
        return svg.finish();
    };
    for trip in trips {
        let points: Vec<_> = trip.iter().filter(usable).map(|point| flat.at(point)).collect();
        if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
            svg.path("track", points);
            svg.dot("start", first, 3.0, "start of a trip");
            svg.dot("dot", last, 3.0, "end of a trip");
        }
    }
    let (length_km, width) = flat.bar();
    let y = HEIGHT - 14.0;
    svg.line("scale", (MARGIN, y), (MARGIN + width, y));
    let decimals = if length_km < 1.0 { 1 } else { 0 };
    svg.write(
        "tick",
        (MARGIN, y - 7.0),
        &format!("{} km", number(length_km, decimals)),
    );
    svg.write("tick end", (WIDTH - 10.0, 20.0), "N ↑");
    svg.finish()
}

/// The plane of the sketch: longitudes shrink with the cosine of the middle latitude (equirectangular).
#[derive(Debug)]
struct Flat {
    lat: f64,
    lon: f64,
    shrink: f64,
    /// Units of the drawing a degree of latitude.
    scale: f64,
}

impl Flat {
    fn over<'a>(points: impl Iterator<Item = &'a [f64; 2]>) -> Option<Self> {
        let (mut south, mut north) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut west, mut east) = (f64::INFINITY, f64::NEG_INFINITY);
        for [lat, lon] in points {
            (south, north) = (south.min(*lat), north.max(*lat));
            (west, east) = (west.min(*lon), east.max(*lon));
        }
        if south > north {
            return None;
        }
        let lat = (south + north) / 2.0;
        // At the poles a degree of longitude has no length; the sketch still needs one.
        let shrink = lat.to_radians().cos().max(0.01);
        let wide = ((east - west) * shrink).max(LEAST_SPAN);
        let high = (north - south).max(LEAST_SPAN);
        let scale = ((WIDTH - 2.0 * MARGIN) / wide).min((HEIGHT - 2.0 * MARGIN) / high);
        let lon = (west + east) / 2.0;
        Some(Self {
            lat,
            lon,
            shrink,
            scale,
        })
    }

    fn at(&self, [lat, lon]: &[f64; 2]) -> (f64, f64) {
        let x = WIDTH / 2.0 + (lon - self.lon) * self.shrink * self.scale;
        let y = HEIGHT / 2.0 - (lat - self.lat) * self.scale;
        (x, y)
    }

    /// A round length in km, at most a third of the width, and how long it is drawn.
    fn bar(&self) -> (f64, f64) {
        let per_km = self.scale / KM_PER_DEGREE;
        let most = WIDTH / 3.0 / per_km;
        let power = 10f64.powf(most.log10().floor());
        let factor = [5.0, 2.0].into_iter().find(|factor| factor * power <= most);
        let length = factor.unwrap_or(1.0) * power;
        (length, length * per_km)
    }
}
