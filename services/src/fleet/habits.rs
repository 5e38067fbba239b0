//! Habits: when somebody drives, and where to, in local time.

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
    Weekday,
};
use chrono_tz::Tz;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::world::{Node, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    Commuter,
    AtHome,
    NightShift,
    /// Out in the evening, back after midnight.
    NightOwl,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) home: Node,
    pub(super) work: Node,
    shop: Node,
    school: Node,
    friend: Node,
}

impl Places {
    pub(super) fn draw(world: &World, rng: &mut ChaCha8Rng) -> Self {
        let home = world.address(rng);
        // One in four works out of town, a motorway away.
        let work_m = if rng.random_bool(0.3) { 14_000.0 } else { 5500.0 };
        // Nobody drives round the corner: of a few addresses the one whose distance suits best.
        let mut about = |wanted_m: f64| {
            let away = |node: Node| (world.node(node).distance(world.node(home)) - wanted_m).abs();
            (0..16)
                .map(|_| world.address(rng))
                .min_by(|a, b| away(*a).total_cmp(&away(*b)))
                .unwrap_or(home)
        };
        Self {
            home,
            work: about(work_m),
            shop: about(2500.0),
            school: about(1500.0),
            friend: about(5000.0),
        }
    }
}

/// One drive to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    pub(super) depart: NaiveDateTime,
    pub(super) to: Node,
}

/// A day being planned: a clock that only goes forward.
struct Day<'a> {
    rng: &'a mut ChaCha8Rng,
    midnight: NaiveDateTime,
    clock: NaiveDateTime,
    legs: Vec<Leg>,
}

impl Day<'_> {
    /// Sets out around a time of the day (hours after midnight; beyond 24 is the next morning), `spread` minutes either way.
    fn at(&mut self, hour: f64, spread: i64, to: Node) {
        let minutes = (hour * 60.0) as i64 + self.rng.random_range(-spread..=spread);
        let planned = self.midnight + TimeDelta::minutes(minutes) + TimeDelta::seconds(self.rng.random_range(0..60));
        self.go(planned.max(self.clock), to);
    }

    /// Sets out after staying where he is for so many minutes.
    fn after(&mut self, minutes: std::ops::Range<i64>, to: Node) {
        let stay =
            TimeDelta::minutes(self.rng.random_range(minutes)) + TimeDelta::seconds(self.rng.random_range(0..60));
        let depart = self.clock + stay;
        self.go(depart, to);
    }

    fn go(&mut self, depart: NaiveDateTime, to: Node) {
        // A guess at the way's length; whoever arrives later leaves later.
        const WAY: TimeDelta = TimeDelta::minutes(12);
        self.legs.push(Leg { depart, to });
        self.clock = depart + WAY;
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }
}

pub(super) fn day(habit: Habit, places: &Places, date: NaiveDate, rng: &mut ChaCha8Rng) -> Vec<Leg> {
    let midnight = date.and_time(NaiveTime::MIN);
    let mut day = Day {
        rng,
        midnight,
        clock: midnight,
        legs: Vec::new(),
    };
    let weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    match (habit, weekend) {
        (Habit::Commuter, false) => {
            day.at(7.6, 35, places.work);
            if day.chance(0.15) {
                day.at(12.2, 15, places.shop);
                day.after(15..30, places.work);
            }
            if day.chance(0.35) {
                day.at(17.0, 40, places.shop);
                day.after(15..45, places.home);
            } else {
                day.at(17.2, 45, places.home);
            }
            if day.chance(0.2) {
                day.at(19.5, 30, places.friend);
                day.after(90..230, places.home);
            }
        }
        (Habit::AtHome, false) => {
            day.at(7.8, 10, places.school);
            day.after(7..15, places.home);
            if day.chance(0.5) {
                day.at(10.5, 60, places.shop);
                day.after(20..60, places.home);
            }
            day.at(15.8, 10, places.school);
            day.after(7..20, places.home);
        }
        (Habit::NightShift, false) => {
            day.at(21.4, 15, places.work);
            day.after(460..500, places.home);
        }
        (Habit::NightOwl, _) => {
            if day.chance(0.4) {
                day.at(14.5, 90, places.shop);
                day.after(20..60, places.home);
            }
            day.at(22.3, 40, places.friend);
            day.after(90..220, places.home);
        }
        (_, true) => {
            if day.chance(0.75) {
                day.at(10.5, 75, places.shop);
                day.after(30..100, places.home);
            }
            if day.chance(0.5) {
                day.at(16.5, 120, places.friend);
                day.after(120..330, places.home);
            }
        }
    }
    day.legs
}

/// How full the roads are: 1 at the height of the rush hour of a working day, 0 at night.
pub(super) fn traffic(at: DateTime<Utc>, zone: Tz) -> f64 {
    let local = at.with_timezone(&zone);
    let hour = f64::from(local.num_seconds_from_midnight()) / 3600.0;
    let peak = |middle: f64, width: f64| (1.0 - ((hour - middle) / width).abs()).max(0.0);
    let day = if (7.0..21.0).contains(&hour) { 0.1 } else { 0.0 };
    if matches!(local.weekday(), Weekday::Sat | Weekday::Sun) {
        day
    } else {
        peak(7.8, 1.5).max(peak(17.2, 2.0)).max(day)
    }
}

/// A local time as an instant. An hour that the clocks skip is the one after; of one they repeat it is the first.
pub(crate) fn utc(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => match zone.from_local_datetime(&(local + TimeDelta::hours(1))) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
            LocalResult::None => local.and_utc(),
        },
    }
}

/// When the last day is over.
pub(super) fn end(first_day: NaiveDate, days: u32, zone: Tz) -> DateTime<Utc> {
    let day = first_day
        .checked_add_days(Days::new(u64::from(days)))
        .unwrap_or(first_day);
    utc(day.and_time(NaiveTime::MIN), zone)
}
