//! Who drives: a temperament that shows in every figure, and habits that say when and where to.

use chrono::{Days, NaiveDate};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    habits::{self, Habit, Leg, Places},
    math::{chance, noise},
    path::Obstacle,
    world::{Node, World},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    Calm,
    Average,
    Aggressive,
    /// Smooth, and always too fast.
    Speeder,
    /// With the phone in hand; brakes late.
    Distracted,
    /// Average, and out at night.
    Night,
}

impl Style {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Average => "average",
            Self::Aggressive => "aggressive",
            Self::Speeder => "speeder",
            Self::Distracted => "distracted",
            Self::Night => "night",
        }
    }
}

/// In turn, so that even a fleet of three has different ones.
const STYLES: [Style; 10] = [
    Style::Calm,
    Style::Aggressive,
    Style::Average,
    Style::Calm,
    Style::Speeder,
    Style::Average,
    Style::Distracted,
    Style::Average,
    Style::Night,
    Style::Average,
];

/// How somebody drives. Each figure is drawn about the style's own, so that no two drivers are the same.
#[derive(Debug, Clone)]
pub(super) struct Temper {
    pub(super) style: Style,
    /// Usual acceleration, braking and cornering, m/s².
    launch_ms2: f64,
    braking_ms2: f64,
    cornering_ms2: f64,
    /// Usual speed as a share of the limit.
    pub(super) pace: f64,
    /// Chance that a manoeuvre is a harsh one.
    pub(super) harsh: f64,
    /// Hazards that end in an emergency braking, per km.
    pub(super) hazards_a_km: f64,
    /// How often the phone is taken up, per hour of driving.
    pub(super) phone_an_hour: f64,
}

impl Temper {
    fn draw(style: Style, rng: &mut ChaCha8Rng) -> Self {
        let (launch, braking, cornering, pace, harsh, hazards, phone) = match style {
            Style::Calm => (1.4, 1.4, 1.7, 0.94, 0.002, 0.004, 0.1),
            Style::Average => (1.8, 1.9, 2.3, 1.01, 0.012, 0.02, 0.8),
            Style::Aggressive => (2.4, 2.6, 2.9, 1.09, 0.10, 0.10, 3.0),
            Style::Speeder => (2.0, 2.1, 2.5, 1.16, 0.02, 0.03, 0.8),
            Style::Distracted => (1.8, 2.1, 2.2, 1.0, 0.03, 0.07, 8.0),
            Style::Night => (1.8, 1.9, 2.3, 1.04, 0.02, 0.03, 0.8),
        };
        let mut about = |usual: f64, spread: f64| usual * (1.0 + spread * noise(rng).clamp(-2.0, 2.0));
        Self {
            style,
            launch_ms2: about(launch, 0.05),
            braking_ms2: about(braking, 0.05),
            cornering_ms2: about(cornering, 0.05),
            pace: about(pace, 0.015),
            harsh: about(harsh, 0.25),
            hazards_a_km: about(hazards, 0.25),
            phone_an_hour: about(phone, 0.4),
        }
    }

    /// Whoever drives a car that is not his, away from where it was.
    pub(super) fn of_a_thief(rng: &mut ChaCha8Rng) -> Self {
        Self::draw(Style::Aggressive, rng)
    }

    /// One manoeuvre: the usual, or now and then a harsh one.
    fn manoeuvre(&self, usual: f64, harshly: std::ops::Range<f64>, rng: &mut ChaCha8Rng) -> f64 {
        if chance(rng, self.harsh) {
            rng.random_range(harshly)
        } else {
            usual * rng.random_range(0.85..1.1)
        }
    }

    pub(super) fn launch_ms2(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.manoeuvre(self.launch_ms2, 3.4..4.4, rng)
    }

    pub(super) fn braking_ms2(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.manoeuvre(self.braking_ms2, 3.8..5.5, rng)
    }

    pub(super) fn cornering_ms2(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.manoeuvre(self.cornering_ms2, 4.2..5.5, rng)
    }

    /// Speed on one stretch as a share of its limit.
    pub(super) fn pace(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.pace * rng.random_range(0.93..1.09)
    }

    /// Something that runs into the road on a stretch, if anything does.
    pub(super) fn hazard(&self, from_m: f64, length_m: f64, rng: &mut ChaCha8Rng) -> Option<Obstacle> {
        if !chance(rng, self.hazards_a_km * length_m / 1000.0) {
            return None;
        }
        let stops = rng.random_bool(0.3);
        Some(Obstacle {
            at_m: from_m + length_m * rng.random_range(0.5..0.8),
            speed_ms: if stops { 0.0 } else { rng.random_range(2.0..4.0) },
            braking_ms2: rng.random_range(4.5..7.0),
            dwell_s: if stops { rng.random_range(1.0..4.0) } else { 0.0 },
            seen_m: rng.random_range(18.0..30.0),
        })
    }
}

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) name: String,
    pub(super) temper: Temper,
    habit: Habit,
    places: Places,
}

impl Driver {
    pub(super) fn generate(index: usize, world: &World, rng: &mut ChaCha8Rng) -> Self {
        let style = STYLES[index % STYLES.len()];
        let habit = match (style, rng.random_range(0..10)) {
            (Style::Night, ..5) => Habit::NightShift,
            (Style::Night, _) => Habit::NightOwl,
            (_, ..6) => Habit::Commuter,
            (_, 6..9) => Habit::AtHome,
            _ => Habit::NightShift,
        };
        Self {
            name: name(rng),
            temper: Temper::draw(style, rng),
            habit,
            places: Places::draw(world, rng),
        }
    }

    pub(super) fn home(&self) -> Node {
        self.places.home
    }

    /// Somewhere of his to go to next, for whoever drives all day.
    pub(super) fn errand(&self, world: &World, at: Node, rng: &mut ChaCha8Rng) -> Node {
        loop {
            let to = world.address(rng);
            if to != at {
                return to;
            }
        }
    }

    /// Where he goes and when, in order.
    pub(super) fn legs(&self, first_day: NaiveDate, days: u32, rng: &mut ChaCha8Rng) -> Vec<Leg> {
        let each = (0..u64::from(days)).filter_map(|day| first_day.checked_add_days(Days::new(day)));
        each.flat_map(|day| habits::day(self.habit, &self.places, day, rng))
            .collect()
    }

    /// What he drives in a year, about: his ways to work and back, and the rest.
    pub(super) fn annual_km(&self, world: &World) -> f64 {
        const DETOUR: f64 = 1.35;
        let work_km = world.node(self.places.home).distance(world.node(self.places.work)) / 1000.0 * DETOUR;
        match self.habit {
            Habit::Commuter | Habit::NightShift => 230.0 * 2.0 * work_km + 4000.0,
            Habit::AtHome | Habit::NightOwl => 6000.0,
        }
    }
}

fn name(rng: &mut ChaCha8Rng) -> String {
    const FIRST: [&str; 20] = [
        "Ada", "Bruno", "Chiara", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Karim", "Lena", "Marek",
        "Nadia", "Oskar", "Paula", "Quentin", "Rosa", "Stefan", "Tilda",
    ];
    const LAST: [&str; 20] = [
        "Albrecht",
        "Bauer",
        "Costa",
        "Dubois",
        "Ekström",
        "Fischer",
        "Garcia",
        "Hansen",
        "Ilić",
        "Jansen",
        "Kowalski",
        "Lindgren",
        "Moreau",
        "Novák",
        "Okafor",
        "Petrov",
        "Rossi",
        "Schneider",
        "Tanaka",
        "Weber",
    ];
    format!(
        "{} {}",
        FIRST[rng.random_range(0..FIRST.len())],
        LAST[rng.random_range(0..LAST.len())]
    )
}
