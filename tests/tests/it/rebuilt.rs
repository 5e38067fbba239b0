//! Everything derived anew is as live data left it: on real drives, and on a simulated month.

use std::path::Path;

use chrono_tz::Tz;
use odograph_tests::{
    data,
    platform::{Platform, Queue},
    process::{odograph, run},
    telemetry::{Rows, small_fleet},
};

use super::drives::insure_all;

/// Taken in as live batches are, then derived anew over everything.
async fn assert_rebuilt_is_live(rows: &Rows, file: impl FnOnce(&Path) -> std::path::PathBuf, time_zone: Tz) {
    let mut platform = Platform::start_with(Queue::Table, |_| {}).await;
    let tenant = platform.tenant("insurer").await;
    insure_all(&platform, tenant, rows, time_zone).await;
    let file = file(platform.folder());
    platform.work();
    let summary = platform.import(tenant, &file).await;
    assert_eq!(summary.rows, rows.rows.len() as u64, "{summary}");
    platform.stop().await;
    let live = platform.snapshot(tenant).await;
    let told = run(odograph(&["rebuild", "--tenant", "insurer"]).envs(platform.environment()))
        .await
        .succeeded();
    let vehicles = rows.names("vehicle_id").len();
    let marked = format!("marked {vehicles} of {vehicles} vehicles");
    assert!(
        told.out.contains(&marked) && told.out.contains("nothing changed"),
        "{}",
        told.out
    );
    live.assert_same(&platform.snapshot(tenant).await, "live and rebuilt");
    platform.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_drives_derived_anew_are_as_live() {
    for (name, time_zone) in [
        ("nds", Tz::America__Chicago),
        ("ndsbr_a", Tz::America__Sao_Paulo),
        ("cmap", Tz::America__Chicago),
    ] {
        let Some(file) = data(&format!("telemetry/{name}.csv.gz")) else {
            continue;
        };
        assert_rebuilt_is_live(&Rows::read(&file), |_| file.clone(), time_zone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_month_derived_anew_is_as_live() {
    let rows = Rows::of_fleet(&small_fleet(3, 31));
    assert_rebuilt_is_live(&rows, |folder| rows.write(folder, "month.csv"), Tz::Europe__Berlin).await;
}
