//! Folders of files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Endings of names of files that a folder is searched for. What a file really is, its content tells.
const KNOWN: [&str; 3] = [".csv", ".csv.gz", ".parquet"];

/// The files given, each folder among them replaced by the known files in it, in the order of their names. Folders within are
/// not looked into.
pub fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::with_capacity(given.len());
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let within = known(path).with_context(|| format!("the folder {} cannot be read", path.display()))?;
        ensure!(
            !within.is_empty(),
            "the folder {} has no file of telemetry in it: wanted names that end in {}",
            path.display(),
            KNOWN.join(", ")
        );
        files.extend(within);
    }
    Ok(files)
}

fn known(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if !name.starts_with('.') && KNOWN.iter().any(|ending| name.ends_with(ending)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_known_files_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.parquet", "a.csv.gz", "C.CSV", ".hidden.csv", "notes.txt", "csv"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("more.csv")).unwrap();
        let alone = PathBuf::from("alone.bin");
        let found = files(&[alone.clone(), folder.path().to_owned()]).unwrap();
        let within = ["C.CSV", "a.csv.gz", "b.parquet"].map(|name| folder.path().join(name));
        assert_eq!(found, [vec![alone], within.to_vec()].concat());
        let empty = tempfile::tempdir().unwrap();
        let error = files(&[empty.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains(".parquet"), "{error}");
    }
}
