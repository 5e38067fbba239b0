//! The program under test, and the data it is tested with.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The `odograph` binary: the one named in `ODOGRAPH_TEST_BIN`, else the one built beside the tests. Built if it is not
/// there; one that is there is taken as it is, so build it after an edit (`scripts/test` does).
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("ODOGRAPH_TEST_BIN").filter(|given| !given.is_empty()) {
            return PathBuf::from(given);
        }
        let test = std::env::current_exe().expect("a running test has a path");
        let profile = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
        let binary = profile.join(format!("odograph{}", std::env::consts::EXE_SUFFIX));
        if !binary.exists() {
            build(profile);
        }
        assert!(binary.exists(), "there is no {}", binary.display());
        binary
    })
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--workspace", "--bin", "odograph", "--target-dir"])
        .arg(profile.parent().expect("target/PROFILE has a parent"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "building the odograph binary failed");
}

/// A file of the development data. `None`, after saying so, where there is none: the test skips.
pub fn data(file: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("ODOGRAPH_TEST_DATA").filter(|given| !given.is_empty()) {
        Some(given) => PathBuf::from(given),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: there is no development data {}", path.display());
    None
}
