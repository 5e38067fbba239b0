"""Reads the trips of a lake with DuckDB and with polars, and says what each found: one JSON object."""

import json
import sys

import duckdb
import polars as pl

files = f"{sys.argv[1]}/trips/**/*.parquet"

row = duckdb.sql(
    f"""
    SELECT count(*), count(DISTINCT trip_id), sum(distance_m), count(DISTINCT tenant), count(DISTINCT date),
           typeof(any_value(date)), count(*) FILTER (WHERE date <> local_day), count(top_speed_kmh),
           sum(harsh_braking_events), typeof(any_value(started_at))
    FROM read_parquet('{files}', hive_partitioning = true)
    """
).fetchone()
found = {"duckdb": dict(zip(
    ["trips", "distinct", "distance_m", "tenants", "days", "date_type", "misfiled", "with_behaviour", "braking", "instant"],
    [str(cell) if isinstance(cell, str) else float(cell or 0) for cell in row],
))}

trips = pl.scan_parquet(files, hive_partitioning=True, try_parse_hive_dates=True)
told = trips.select(
    trips=pl.len(),
    distinct=pl.col("trip_id").n_unique(),
    distance_m=pl.col("distance_m").sum(),
    tenants=pl.col("tenant").n_unique(),
    days=pl.col("date").n_unique(),
    misfiled=(pl.col("date") != pl.col("local_day")).sum(),
    with_behaviour=pl.col("top_speed_kmh").count(),
    braking=pl.col("harsh_braking_events").sum(),
).collect().row(0, named=True)
schema = trips.collect_schema()
found["polars"] = {name: float(value or 0) for name, value in told.items()}
found["polars"] |= {"date_type": str(schema["date"]), "instant": str(schema["started_at"])}

print(json.dumps(found))
