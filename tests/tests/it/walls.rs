//! The walls between the crates, read from the manifests.
//!
//! `deny.toml` says the same and sees the whole graph, but its tool is not everywhere; this needs only cargo, no network
//! and no lock file. It looks at what the workspace's own manifests name, in whatever section and under whatever name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Libraries that one part of the workspace has to itself. `family` covers `family` and every `family-…`, so that naming
/// `sqlx-postgres` or `polars-core` is no way around.
struct Wall {
    family: &'static str,
    only: &'static [&'static str],
    because: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        family: "sqlx",
        only: &["odograph-store", "odograph-tests"],
        because: "SQL lives in odograph-store",
    },
    Wall {
        family: "lapin",
        only: &["odograph-ingest", "odograph-tests"],
        because: "AMQP lives in odograph-ingest",
    },
    Wall {
        family: "polars",
        only: &["odograph-scoring"],
        because: "data frames live in odograph-scoring",
    },
    Wall {
        family: "object_store",
        only: &["odograph-store"],
        because: "the lake lives in odograph-store",
    },
    Wall {
        family: "linfa",
        only: &["odograph-scoring"],
        because: "models live in odograph-scoring",
    },
    Wall {
        family: "actix",
        only: &["odograph-api"],
        because: "HTTP lives in odograph-api",
    },
    Wall {
        family: "utoipa",
        only: &["odograph-api"],
        because: "the API's description lives beside its handlers",
    },
    Wall {
        family: "jsonwebtoken",
        only: &["odograph-api"],
        because: "tokens are made and read in odograph-api",
    },
    Wall {
        family: "pglite-oxide",
        only: &["odograph"],
        because: "only the composition root knows of the embedded default",
    },
    Wall {
        family: "prometheus-client",
        only: &["odograph"],
        because: "what is counted is shown in one place",
    },
    Wall {
        family: "tracing-opentelemetry",
        only: &["odograph"],
        because: "the others make spans of tracing, if any",
    },
];

/// What each of our crates may see of the others, lowest first.
const SEES: &[(&str, &[&str])] = &[
    ("odograph-domain", &[]),
    ("odograph-ingest", &["odograph-domain"]),
    ("odograph-scoring", &["odograph-domain"]),
    ("odograph-store", &["odograph-domain"]),
    ("odograph-api", &["odograph-domain", "odograph-store"]),
    (
        "odograph",
        &[
            "odograph-domain",
            "odograph-ingest",
            "odograph-scoring",
            "odograph-store",
            "odograph-api",
        ],
    ),
    (
        "odograph-tests",
        &[
            "odograph-domain",
            "odograph-ingest",
            "odograph-scoring",
            "odograph-store",
            "odograph",
        ],
    ),
];

/// No async and no I/O in these, so that the same bytes always give the same result. Their tests may do as they like.
const PURE: &[&str] = &["odograph-domain", "odograph-scoring"];
const IMPURE: &[&str] = &["tokio", "async-std", "smol", "reqwest", "hyper", "object_store"];

/// One manifest naming one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    section: &'static str,
    renamed: Option<String>,
}

impl Edge {
    fn told(&self) -> String {
        let renamed = self
            .renamed
            .as_ref()
            .map(|name| format!(" (as `{name}`)"))
            .unwrap_or_default();
        format!("{} names {}{renamed} in [{}]", self.from, self.to, self.section)
    }
}

fn in_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The edges that leave the members of the workspace at `manifest`, and the members themselves.
fn read(manifest: &Path) -> (BTreeSet<String>, Vec<Edge>) {
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        // Without the resolved graph cargo needs neither the registry nor packages of platforms that are not this one.
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata of {}: {error}", manifest.display()));
    let mut members = BTreeSet::new();
    let mut edges = Vec::new();
    for package in metadata.workspace_packages() {
        members.insert(package.name.to_string());
        for dependency in &package.dependencies {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                section: match dependency.kind {
                    DependencyKind::Development => "dev-dependencies",
                    DependencyKind::Build => "build-dependencies",
                    _ => "dependencies",
                },
                renamed: dependency.rename.clone(),
            });
        }
    }
    (members, edges)
}

fn breaches(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let sees: BTreeMap<&str, &[&str]> = SEES.iter().copied().collect();
    let mut found = Vec::new();
    for member in members {
        if !sees.contains_key(member.as_str()) {
            found.push(format!(
                "{member} is a new crate: say in SEES, and in deny.toml, which of our crates it may see"
            ));
        }
    }
    for edge in edges {
        if members.contains(&edge.to) || sees.contains_key(edge.to.as_str()) {
            let may = sees.get(edge.from.as_str()).copied().unwrap_or_default();
            if !may.contains(&edge.to.as_str()) {
                found.push(format!("{}, but of our crates it may see only {may:?}", edge.told()));
            }
        }
        for wall in WALLS {
            if in_family(&edge.to, wall.family) && !wall.only.contains(&edge.from.as_str()) {
                found.push(format!(
                    "{}, but only {:?} may: {}",
                    edge.told(),
                    wall.only,
                    wall.because
                ));
            }
        }
        if PURE.contains(&edge.from.as_str())
            && edge.section != "dev-dependencies"
            && IMPURE.iter().any(|family| in_family(&edge.to, family))
        {
            found.push(format!("{}, but {} is pure: no async, no I/O", edge.told(), edge.from));
        }
    }
    found
}

#[test]
fn no_crate_reaches_over_a_wall() {
    let (members, edges) = read(&root().join("Cargo.toml"));
    let found = breaches(&members, &edges);
    assert!(
        found.is_empty(),
        "crate walls are breached (see deny.toml):\n  {}",
        found.join("\n  ")
    );
}

/// The test above would also pass over nothing at all, so: these are there, and it looked at them.
#[test]
fn the_walls_are_looked_at_where_they_stand() {
    let (members, edges) = read(&root().join("Cargo.toml"));
    for (member, _) in SEES {
        assert!(
            members.contains(*member),
            "{member} is not a member of the workspace; members: {members:?}"
        );
    }
    for (from, to) in [
        ("odograph-store", "sqlx"),
        ("odograph-ingest", "lapin"),
        ("odograph-scoring", "polars"),
        ("odograph-scoring", "linfa"),
        ("odograph-api", "actix-web"),
        ("odograph-api", "utoipa"),
        ("odograph-api", "utoipa-swagger-ui"),
        ("odograph-api", "jsonwebtoken"),
        ("odograph", "pglite-oxide"),
        ("odograph-api", "odograph-store"),
        ("odograph-ingest", "odograph-domain"),
        ("odograph", "odograph-scoring"),
    ] {
        assert!(
            edges.iter().any(|edge| edge.from == from && edge.to == to),
            "{from} does not depend on {to} any more: the wall around {to} guards nothing, or was not looked at"
        );
    }
}

/// A crate that breaks every rule, each in another section and under another name, read by the same means.
#[test]
fn a_breach_is_found_in_any_section_and_under_any_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("Cargo.toml");
    fs::create_dir(folder.path().join("src")).expect("its src folder");
    fs::write(folder.path().join("src/lib.rs"), "").expect("its source");
    fs::write(
        &manifest,
        r#"
            [package]
            name = "odograph-scoring"
            version = "0.0.0"
            edition = "2024"

            [dependencies]
            odograph-store = "*"
            polars = "*"

            [dev-dependencies]
            frames = { package = "lapin", version = "*" }
            tokio = "*"

            [build-dependencies]
            db = { package = "sqlx-postgres", version = "*" }

            [target.'cfg(unix)'.dependencies]
            tokio-util = { version = "*", optional = true }
            sqlxmq = "*"

            [workspace]
        "#,
    )
    .expect("its manifest");
    let (members, edges) = read(&manifest);
    let found = breaches(&members, &edges);
    let expected = [
        "odograph-scoring names odograph-store in [dependencies], but of our crates it may see only",
        "odograph-scoring names lapin (as `frames`) in [dev-dependencies], but only",
        "odograph-scoring names sqlx-postgres (as `db`) in [build-dependencies], but only",
        "odograph-scoring names tokio-util in [dependencies], but odograph-scoring is pure",
    ];
    for beginning in expected {
        assert!(
            found.iter().any(|told| told.starts_with(beginning)),
            "not found: {beginning}\n  in: {found:#?}"
        );
    }
    assert_eq!(
        found.len(),
        expected.len(),
        "something was found that is no breach: {found:#?}"
    );
}

#[test]
fn a_crate_nobody_has_placed_is_a_breach() {
    let members = BTreeSet::from(["odograph-new".to_owned()]);
    let edge = Edge {
        from: "odograph-domain".to_owned(),
        to: "odograph-new".to_owned(),
        section: "dependencies",
        renamed: None,
    };
    let found = breaches(&members, &[edge]);
    assert_eq!(found.len(), 2, "the crate itself and the edge to it: {found:#?}");
}

/// `deny.toml` and the tables above are two tellings of the same rules.
#[test]
fn deny_toml_says_the_same() {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml at the root of the workspace");
    let bans: BTreeMap<&str, BTreeSet<&str>> = text.lines().filter_map(ban).collect();
    let ours = |wrappers: &BTreeSet<&str>| -> BTreeSet<String> {
        wrappers
            .iter()
            .filter(|name| in_family(name, "odograph"))
            .map(|name| (*name).to_owned())
            .collect()
    };
    for wall in WALLS {
        let only: BTreeSet<String> = wall.only.iter().map(|name| (*name).to_owned()).collect();
        let held: Vec<_> = bans.iter().filter(|(name, _)| in_family(name, wall.family)).collect();
        assert!(!held.is_empty(), "deny.toml has no ban for {}", wall.family);
        for (name, wrappers) in held {
            // A crate may be closed to a part of those the family is open to, never opened to others.
            assert!(
                ours(wrappers).is_subset(&only),
                "deny.toml lets {wrappers:?} name {name}; here only {only:?} may"
            );
            assert!(
                !ours(wrappers).is_empty(),
                "deny.toml lets none of our crates name {name}"
            );
        }
    }
    for (crate_name, _) in SEES
        .iter()
        .filter(|(name, _)| !["odograph-domain", "odograph-tests"].contains(name))
    {
        let may: BTreeSet<String> = SEES
            .iter()
            .filter(|(_, seen)| seen.contains(crate_name))
            .map(|(from, _)| (*from).to_owned())
            .collect();
        let wrappers = bans
            .get(crate_name)
            .unwrap_or_else(|| panic!("deny.toml has no ban for {crate_name}"));
        assert_eq!(
            ours(wrappers),
            may,
            "who may see {crate_name}: deny.toml on the left, SEES on the right"
        );
    }
}

/// `{ crate = "a", wrappers = ["b", "c"], … }` as ("a", {"b", "c"}).
fn ban(line: &str) -> Option<(&str, BTreeSet<&str>)> {
    let (name, rest) = line.trim().strip_prefix("{ crate = \"")?.split_once('"')?;
    let (_, list) = rest.split_once("wrappers = [")?;
    let (list, _) = list.split_once(']')?;
    Some((
        name,
        list.split(',')
            .map(|wrapper| wrapper.trim().trim_matches('"'))
            .collect(),
    ))
}
