//! The OpenAPI document as a contract: kept by the service, and not broken from one version to the next.

use std::{path::Path, path::PathBuf, process::Stdio};

use odograph_tests::{
    Backend, binary,
    process::{odograph, run},
};
use tempfile::TempDir;
use tokio::process::Command;

const SKIPPED: i32 = 77;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A small part of what `scripts/contract` does on demand.
#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_find_no_answer_that_is_not_documented() {
    if Backend::chosen() == Backend::Embedded {
        return eprintln!("skipped: the scratch database of scripts/contract needs a server");
    }
    let script = Command::new(repository().join("scripts/contract"))
        .args(["--cases", "400"])
        .env("ODOGRAPH_TEST_BIN", binary())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let told = script.await.expect("a script that runs");
    let (out, err) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    if told.status.code() == Some(SKIPPED) {
        return eprintln!("skipped: {err}");
    }
    assert!(told.status.success(), "--- out\n{out}\n--- err\n{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_breaks_since_the_baseline_but_what_is_declared() {
    let arguments = [
        "openapi",
        "--check-against",
        "openapi/baseline.json",
        "--declared",
        "openapi/breaking.toml",
    ];
    run(odograph(&arguments).current_dir(repository())).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaking_change_fails_until_it_is_declared_and_a_declaration_that_is_none_fails_too() {
    let folder = TempDir::new().expect("a folder");
    let (baseline, declared) = (folder.path().join("baseline.json"), folder.path().join("breaking.toml"));
    let document = std::fs::read_to_string(repository().join("openapi/openapi.json")).expect("the document");
    // The earlier document had an operation that is gone.
    std::fs::write(&baseline, document.replacen("\"/v1/vehicles\"", "\"/v1/cars\"", 1)).expect("a file");
    let against = [baseline.to_str().expect("a path"), declared.to_str().expect("a path")];
    let arguments = ["openapi", "--check-against", against[0], "--declared", against[1]];
    let declare = |operations: &[&str]| {
        let one = |operation: &&str| {
            format!(
                "[[change]]\noperation = \"{operation}\"\nchange = \"operation-removed\"\nwhy = \"x\"\nversion = \"2\"\n"
            )
        };
        std::fs::write(&declared, operations.iter().map(one).collect::<String>()).expect("a file");
    };
    declare(&["GET /v1/cars"]);
    let told = run(&mut odograph(&arguments)).await.failed();
    assert!(
        told.err.contains("POST /v1/cars") && told.err.contains("operation-removed"),
        "{}",
        told.err
    );
    assert!(!told.err.contains("GET /v1/cars"), "{}", told.err);
    declare(&["GET /v1/cars", "POST /v1/cars"]);
    run(&mut odograph(&arguments)).await.succeeded();
    declare(&["GET /v1/cars", "POST /v1/cars", "GET /v1/lorries"]);
    let told = run(&mut odograph(&arguments)).await.failed();
    assert!(told.err.contains("GET /v1/lorries"), "{}", told.err);
    std::fs::write(
        &declared,
        "[[change]]\noperation = \"GET /v1/cars\"\nchange = \"x\"\nwhy = \"\"\nversion = \"2\"\n",
    )
    .expect("a file");
    let told = run(&mut odograph(&arguments)).await.failed();
    assert!(told.err.contains("a reason"), "{}", told.err);
}
