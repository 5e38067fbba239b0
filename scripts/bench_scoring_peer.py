"""The features of `odograph bench scoring`, by one lazy plan of polars, from the columns that it wrote.

Prints the time of the fastest of several runs, with the data in memory before and the features after, and the sums over all
trips. What polars' expressions cannot say (stays, smoothing, rival tracks, the choice between sources) is left out, so the
peer does less.

usage: bench_scoring_peer.py FOLDER ROUNDS
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy
import polars as pl

EQUATOR_M, E2 = 6_378_137.0, 6.694_379_990_141_316e-3
MOVING_MS, TYRES_MS2, HOLE_MS = 1.0, 12.0, 10_000
T = "trip"


def frame(folder: Path) -> pl.DataFrame:
    columns = {}
    for file in sorted(folder.glob("*.*64")):
        kind = numpy.dtype("<i8") if file.suffix == ".i64" else numpy.dtype("<f8")
        columns[file.stem] = numpy.fromfile(file, dtype=kind)
    data = pl.DataFrame(columns)
    return data.with_columns(pl.col(T).cast(pl.UInt32).set_sorted()).rechunk()


def before(column: str) -> pl.Expr:
    """The value of the row before, null on a trip's first: all trips lie one below the other."""
    return pl.when(pl.col("same")).then(pl.col(column).shift(1))


def after(column: str) -> pl.Expr:
    return pl.when(pl.col("goes_on")).then(pl.col(column).shift(-1))


def calm(column: str) -> pl.Expr:
    """Median of three rows; the first and the last of a trip stay."""
    a, b, c = before(column), pl.col(column), after(column)
    middle = pl.max_horizontal(pl.min_horizontal(a, b), pl.min_horizontal(pl.max_horizontal(a, b), c))
    return pl.when(pl.col("same") & pl.col("goes_on")).then(middle).otherwise(b)


def rows(data: pl.DataFrame) -> pl.LazyFrame:
    rad = math.pi / 180.0
    middle = ((pl.col("lat") + before("lat")) / 2.0) * rad
    w2 = 1.0 - E2 * pl.col("sin") * pl.col("sin")
    prime = EQUATOR_M / w2.sqrt()
    east = (pl.col("lon") - before("lon")) * rad * prime * pl.col("cos")
    north = (pl.col("lat") - before("lat")) * rad * (prime * (1.0 - E2) / w2)
    local = (
        pl.from_epoch(pl.col("ts_ms"), time_unit="ms").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    )
    usual = pl.col("accel_y_ms2").quantile(0.5, interpolation="higher").over(T)
    return (
        data.lazy()
        .with_columns(same=(pl.col(T) == pl.col(T).shift(1)).fill_null(False))
        .with_columns(
            goes_on=pl.col("same").shift(-1).fill_null(False),
            dt_ms=before("ts_ms").pipe(lambda ts: pl.col("ts_ms") - ts).fill_null(0),
            sin=middle.sin(),
            cos=middle.cos(),
            local=local,
            level=pl.col("accel_y_ms2") - usual,
        )
        .with_columns(
            gps_m=(east * east + north * north).sqrt(),
            speed_m=(pl.col("speed_kmh") + before("speed_kmh")) / 2.0 / 3.6 * pl.col("dt_ms") / 1000.0,
            speed_ms=pl.col("speed_kmh") / 3.6,
            calm_kmh=calm("speed_kmh"),
            tilt=pl.col("level").clip(-1.5, 1.5).rolling_mean(41, min_samples=1, center=True).over(T),
            night=(pl.col("local").dt.hour() >= 22) | (pl.col("local").dt.hour() < 5),
            weekend=pl.col("local").dt.weekday() >= 6,
            day=pl.col("local").dt.date(),
        )
        .with_columns(
            seconds=pl.col("dt_ms") / 1000.0,
            pace=pl.when(pl.col("dt_ms") > 0).then(pl.col("speed_m") / (pl.col("dt_ms") / 1000.0)),
            calm_ms=calm("speed_ms"),
            flat=pl.col("level") - pl.col("tilt"),
            fastest=pl.min_horizontal(
                pl.max_horizontal(pl.col("speed_kmh"), before("speed_kmh")) / 3.6 * 1.3 + 15.0, pl.lit(70.0)
            ),
        )
        .with_columns(
            moving=(pl.col("pace") >= MOVING_MS).fill_null(False),
            idle=(pl.col("pace") < MOVING_MS).fill_null(False),
            slope=(pl.col("calm_ms") - before("calm_ms")) / pl.col("seconds"),
            raw_slope=(pl.col("speed_ms") - before("speed_ms")) / pl.col("seconds"),
            beside=pl.max_horizontal(
                pl.lit(0.0), before("flat") * pl.col("flat").sign(), after("flat") * pl.col("flat").sign()
            ),
        )
        .with_columns(
            along=pl.when(pl.col("slope").abs() <= TYRES_MS2).then(pl.col("slope")),
            across=pl.min_horizontal(pl.col("flat").abs(), pl.col("beside")),
        )
    )


def by_trip(data: pl.LazyFrame) -> pl.LazyFrame:
    time_when = lambda when: pl.col("dt_ms").filter(when).sum()
    moving = pl.col("moving")
    return data.group_by(T, maintain_order=True).agg(
        samples=pl.len(),
        duration_s=(pl.col("ts_ms").last() - pl.col("ts_ms").first()) / 1000.0,
        moving_s=time_when(moving) / 1000.0,
        idle_s=time_when(pl.col("idle")) / 1000.0,
        speed_m=pl.col("speed_m").sum(),
        gps_m=pl.col("gps_m").sum(),
        moved_um=(pl.col("speed_m") * 1e6).cast(pl.Int64).filter(moving).sum(),
        night_ms=time_when(moving & pl.col("night")),
        weekend_ms=time_when(moving & pl.col("weekend")),
        teleport=(pl.col("gps_m") > pl.col("fastest") * pl.col("seconds") + 25.0).sum(),
        impossible_acceleration=(pl.col("raw_slope").abs() > TYRES_MS2).sum(),
        hole=(pl.col("dt_ms") > HOLE_MS).sum(),
        top_speed_kmh=pl.col("calm_kmh").max(),
    )


def events(data: pl.LazyFrame, value: pl.Expr, enter: float, leave: float, least_s: float, least_sum: float) -> pl.LazyFrame:
    """Runs above `leave` that reach `enter`, from there on, that last and amount to something.

    A value speaks of the time since the last known one of its trip; what is unknown between two neither counts nor parts them.
    """
    goes = pl.col("value") >= leave
    return (
        data.select(T, "ts_ms", value=value)
        .filter(pl.col("value").is_not_null())
        .with_columns(seconds=pl.when(pl.col(T) == pl.col(T).shift(1)).then(pl.col("ts_ms").diff()).fill_null(0) / 1000.0)
        .with_row_index("row")
        .filter(goes)
        .with_columns(run=(pl.col("row") - pl.int_range(pl.len(), dtype=pl.UInt32)))
        .with_columns(begun=(pl.col("value") >= enter).cast(pl.Int8).cum_max().over(T, "run"))
        .filter(pl.col("begun") == 1)
        .group_by(T, "run")
        .agg(peak=pl.col("value").max(), lasts=pl.col("seconds").sum(), sum=(pl.col("value") * pl.col("seconds")).sum())
        .filter((pl.col("lasts") >= least_s) & (pl.col("sum") >= least_sum))
    )


def features(data: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    lazy = rows(data)
    days = lazy.filter(pl.col("speed_m") > 0).group_by(T, "day").agg(metres=pl.col("speed_m").sum())
    plans = [
        by_trip(lazy),
        days,
        events(lazy, -pl.col("along"), 2.5, 2.0, 0.4, 1.5),
        events(lazy, pl.col("along"), 2.0, 1.6, 0.8, 1.6),
        events(lazy, pl.col("across"), 3.0, 2.4, 0.8, 3.0),
    ]
    # All in one go: what the plans share is computed once.
    return tuple(pl.collect_all(plans))


def sums(found: tuple[pl.DataFrame, ...]) -> dict[str, float]:
    trips, days, braking, acceleration, cornering = found
    share = lambda part: (trips[part] / 1000.0 / trips["moving_s"]).fill_nan(0.0).sum()
    out = {
        name: float(trips[name].sum())
        for name in [
            "samples", "duration_s", "moving_s", "idle_s", "speed_m", "gps_m", "teleport", "impossible_acceleration", "hole",
            "top_speed_kmh",
        ]
    }
    out["billable_m"] = float(days["metres"].sum())
    out["insured_days"] = float(days.height)
    out["mean_speed_kmh"] = float((trips["moved_um"] / 1e6 / trips["moving_s"] * 3.6).fill_nan(0.0).sum())
    out["night_share"], out["weekend_share"] = float(share("night_ms")), float(share("weekend_ms"))
    for name, events_of in [("braking", braking), ("acceleration", acceleration), ("cornering", cornering)]:
        out[f"harsh_{name}"] = float(events_of.height)
        out[f"harsh_{name}_peaks"] = float(events_of["peak"].sum())
    return out


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    data = frame(folder)
    best, found = math.inf, None
    for _ in range(rounds):
        since = time.perf_counter()
        found = features(data)
        best = min(best, time.perf_counter() - since)
    figures = {"polars": pl.__version__, "threads": pl.thread_pool_size(), "features_s": best, "sums": sums(found)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
