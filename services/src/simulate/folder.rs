//! The folder of a run: its plan, its files, and how far it has come. Files only grow; a run that is taken up again cuts
//! them back to what its state vouches for, so that the bytes are those of a run nobody disturbed.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{
    plan::{Order, Plan},
    render::{Rendered, TRUTH, csv_header, member},
};
use crate::fleet::TrueScenario;

const PLAN: &str = "plan.json";
const STATE: &str = "state.json";
const SCENARIOS: &str = "truth/scenarios.json";
pub(crate) const LAST: &str = "last.ndjson";

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Of the plan: another plan makes other bytes.
    pub plan_hash: String,
    /// Vehicles generated.
    pub vehicles: usize,
    /// Batches that have been written or sent in their order.
    pub batches: u64,
    pub samples: u64,
    /// Sorted runs of batches that wait for their time.
    pub spilled: usize,
    /// Bytes of each file.
    pub files: BTreeMap<String, u64>,
    pub happened: Vec<TrueScenario>,
    pub done: bool,
}

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    pub state: State,
    files: BTreeMap<String, File>,
}

impl Folder {
    /// Begins a run. A folder that holds one already is not overwritten, unless told to.
    pub fn begin(path: &Path, plan: &Plan, force: bool) -> Result<Self> {
        if path.join(STATE).exists() {
            let (_, before) = read(path)?;
            let how_far = if before.done {
                "has ended"
            } else {
                "is not finished: --resume goes on with it"
            };
            if !force {
                bail!(
                    "{} holds a run that {how_far}; --force begins a new one there",
                    path.display()
                );
            }
            fs::remove_file(path.join(STATE))?;
            let _ = fs::remove_dir_all(path.join("spill"));
        }
        fs::create_dir_all(path.join("truth")).with_context(|| format!("cannot make {}", path.display()))?;
        let json = serde_json::to_vec_pretty(plan)?;
        fs::write(path.join(PLAN), json).with_context(|| format!("cannot write into {}", path.display()))?;
        let state = State {
            plan_hash: plan.hash()?,
            vehicles: 0,
            batches: 0,
            samples: 0,
            spilled: 0,
            files: BTreeMap::new(),
            happened: Vec::new(),
            done: false,
        };
        let mut folder = Self {
            path: path.to_owned(),
            state,
            files: BTreeMap::new(),
        };
        for (name, _) in files(plan) {
            fs::write(path.join(&name), b"")?;
        }
        folder.open(plan)?;
        for (name, header) in files(plan) {
            let gzip = plan.gzip && name.ends_with(".gz");
            folder.append(&name, &member(header.into_bytes(), gzip)?)?;
        }
        folder.save()?;
        Ok(folder)
    }

    /// Takes up a run where it stopped.
    pub fn resume(path: &Path) -> Result<(Plan, Self)> {
        let (plan, state) = read(path)?;
        if state.plan_hash != plan.hash()? {
            bail!(
                "{} was begun by another version of the generator or another plan: what it would add would not fit",
                path.display()
            );
        }
        let mut folder = Self {
            path: path.to_owned(),
            state,
            files: BTreeMap::new(),
        };
        folder.open(&plan)?;
        Ok((plan, folder))
    }

    fn open(&mut self, plan: &Plan) -> Result<()> {
        for (name, _) in files(plan) {
            let path = self.path.join(&name);
            let mut file = OpenOptions::new()
                .write(true)
                .open(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            let length = self.state.files.get(&name).copied().unwrap_or(0);
            if file.metadata()?.len() < length {
                bail!("{} is shorter than it was when the run stopped", path.display());
            }
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            self.files.insert(name, file);
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(file) = self.files.get_mut(name) else {
            return Ok(());
        };
        file.write_all(bytes)
            .with_context(|| format!("cannot write {}", self.path.join(name).display()))?;
        *self.state.files.entry(name.to_owned()).or_default() += bytes.len() as u64;
        Ok(())
    }

    /// Adds a vehicle's part to every file.
    pub(super) fn add(&mut self, plan: &Plan, vehicle: &Rendered) -> Result<()> {
        self.append(csv_name(plan.gzip), &vehicle.csv)?;
        self.append(ndjson_name(plan.gzip), &vehicle.ndjson)?;
        for ((name, _), text) in TRUTH.iter().zip(&vehicle.truth) {
            self.append(name, text.as_bytes())?;
        }
        if plan.order == Order::Vehicle {
            self.append(LAST, &vehicle.last)?;
            self.state.batches += vehicle.batches;
        }
        self.state.happened.extend(vehicle.happened.clone());
        self.state.samples += vehicle.samples;
        self.state.vehicles += 1;
        Ok(())
    }

    /// The last message of each vehicle, of a run in order of time.
    pub(super) fn write_last<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let bytes: Vec<u8> = lines.flatten().copied().collect();
        fs::write(self.path.join(LAST), bytes).context("cannot write the last messages")
    }

    /// Says how far the run has come, all at once or not at all.
    pub fn save(&self) -> Result<()> {
        for file in self.files.values() {
            file.sync_data()?;
        }
        let scenarios = serde_json::to_vec_pretty(&self.state.happened)?;
        fs::write(self.path.join(SCENARIOS), scenarios)?;
        let next = self.path.join("state.json.next");
        fs::write(&next, serde_json::to_vec_pretty(&self.state)?)?;
        fs::rename(&next, self.path.join(STATE)).context("cannot keep how far the run has come")
    }
}

/// The plan and the state of the run in a folder.
pub fn read(path: &Path) -> Result<(Plan, State)> {
    let file = |name: &str| {
        let file = path.join(name);
        fs::read(&file).with_context(|| format!("there is no run in {}: cannot read {name}", path.display()))
    };
    let plan = serde_json::from_slice(&file(PLAN)?).with_context(|| format!("{PLAN} does not read"))?;
    let state = serde_json::from_slice(&file(STATE)?).with_context(|| format!("{STATE} does not read"))?;
    Ok((plan, state))
}

pub(super) fn csv_name(gzip: bool) -> &'static str {
    if gzip { "telemetry.csv.gz" } else { "telemetry.csv" }
}

pub(super) fn ndjson_name(gzip: bool) -> &'static str {
    if gzip { "batches.ndjson.gz" } else { "batches.ndjson" }
}

/// The files of a plan, and what each begins with.
fn files(plan: &Plan) -> Vec<(String, String)> {
    let mut files = Vec::new();
    if plan.format.csv() {
        files.push((csv_name(plan.gzip).to_owned(), csv_header()));
    }
    if plan.format.ndjson() {
        files.push((ndjson_name(plan.gzip).to_owned(), String::new()));
    }
    files.extend(TRUTH.map(|(name, header)| (name.to_owned(), header.to_owned())));
    if plan.order == Order::Vehicle {
        files.push((LAST.to_owned(), String::new()));
    }
    files
}
