use odograph_tests::{
    Backend, parquet,
    platform::Platform,
    process::{odograph, run},
    telemetry::{Rows, small_fleet},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_imported_file_by_file_and_again_without_harm() {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped: two processes need a server");
        return;
    }
    let platform = Platform::start().await;
    let tenant = platform.tenant("insurer").await;
    let folder = platform.folder().join("files");
    std::fs::create_dir(&folder).unwrap();
    let rows = Rows::of_fleet(&small_fleet(3, 1));
    let of = rows.column("vehicle_id");
    let part = |vehicle: &str| rows.filter(|row| row[of] == vehicle);
    let names: Vec<String> = rows.names("vehicle_id").into_iter().map(str::to_owned).collect();
    part(&names[0]).write(&folder, "a.csv");
    part(&names[1]).write_gzip(&folder, "b.csv.gz");
    std::fs::write(folder.join("c.csv"), "no,such\n1,2\n").unwrap();
    parquet::write(&part(&names[2]), &folder, "d.parquet");
    std::fs::write(folder.join("readme.txt"), "not telemetry").unwrap();

    let import = async |more: &[&str]| {
        let folder = folder.display().to_string();
        let mut arguments = vec!["import", "--tenant", "insurer", &folder];
        arguments.extend(more);
        // One file of the four does not read: told in the end, and the others are in all the same.
        run(odograph(&arguments).envs(platform.environment())).await.failed()
    };
    let told = import(&["--register"]).await;
    for (name, outcome) in [
        ("[1/4]", "0 duplicate"),
        ("[2/4]", "0 rejected"),
        ("[3/4]", "0 rows"),
        ("[4/4]", "0 duplicate"),
    ] {
        let line = told.out.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.contains(outcome)),
            "{name} {outcome}\n{}",
            told.out
        );
    }
    assert!(
        told.err.contains("c.csv") && told.err.contains("1 of 4 files"),
        "{}",
        told.err
    );
    let all = rows.rows.len() as u64;
    let outcomes = platform.outcomes(tenant).await;
    assert_eq!((outcomes.received, outcomes.accepted), (all, all), "{outcomes:?}");

    let again = import(&[]).await;
    let outcomes = platform.outcomes(tenant).await;
    assert_eq!((outcomes.accepted, outcomes.duplicate), (all, all), "{outcomes:?}");
    let line = again
        .out
        .lines()
        .find(|line| line.starts_with("[4/4]"))
        .expect("a line for each file");
    assert!(line.contains(" 0 accepted"), "{line}");
    platform.end().await;
}
