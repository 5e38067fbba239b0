//! What is sent: the batches of a badly connected fleet, shuffled, and with them what should not be sent at all.

use chrono::NaiveDate;
use chrono_tz::Tz;
use odograph::fleet::{self, FleetSpec, GeneratedVehicle, Mix, Rates};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::platform::Insured;

const ZONE: Tz = Tz::Europe__Berlin;

/// A body to be posted.
#[derive(Debug, Clone)]
pub struct Message {
    /// Of a registered vehicle, where it is one the ledger must hold in the end: the vehicle and the batch id.
    pub lands: Option<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Load {
    pub insured: Vec<Insured>,
    /// Each sender's messages in the order it sends them.
    pub senders: Vec<Vec<Message>>,
}

impl Load {
    pub fn generate(seed: u64, vehicles: usize, days: u32, senders: usize) -> Self {
        let first_day = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap_or_default();
        let spec = FleetSpec {
            mix: Mix::default(),
            rates: Rates {
                duplicate: 0.08,
                late: 0.2,
                offline: 0.3,
                resent: 0.5,
                overlapping: 0.2,
                ..Rates::default()
            },
            ..FleetSpec::days(seed, vehicles, first_day, days, ZONE)
        };
        let fleet: Vec<GeneratedVehicle> = fleet::generate(&spec).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut load = Self {
            insured: Vec::new(),
            senders: vec![Vec::new(); senders],
        };
        for (number, vehicle) in fleet.iter().enumerate() {
            load.insured.push(Insured {
                vehicle: vehicle.external_ref.clone(),
                driver: vehicle.driver.external_ref.clone(),
                product: vehicle.product,
                time_zone: ZONE,
                starts_on: first_day,
            });
            load.senders[number % senders].extend(sent_by(vehicle, &mut rng));
        }
        for messages in &mut load.senders {
            mix(messages, &mut rng);
        }
        load
    }

    pub fn messages(&self) -> usize {
        self.senders.iter().map(Vec::len).sum()
    }
}

fn sent_by(vehicle: &GeneratedVehicle, rng: &mut ChaCha8Rng) -> Vec<Message> {
    let mut messages = Vec::new();
    for batch in &vehicle.batches {
        let body = vehicle.body(batch).unwrap_or_default();
        messages.push(Message {
            lands: Some((vehicle.external_ref.clone(), batch.batch_id.clone())),
            body: body.clone(),
        });
        if rng.random_bool(0.06) {
            messages.extend(bad(&vehicle.external_ref, &batch.batch_id, &body, rng));
        }
    }
    messages
}

/// What is wrong must neither be used nor harm its neighbours.
fn bad(vehicle: &str, id: &str, body: &[u8], rng: &mut ChaCha8Rng) -> Vec<Message> {
    let Ok(batch) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let edited = |id: String, edit: &dyn Fn(&mut Value)| {
        let mut batch = batch.clone();
        batch["batch_id"] = Value::from(id);
        edit(&mut batch);
        batch.to_string().into_bytes()
    };
    let refused = |body: Vec<u8>| Message { lands: None, body };
    match rng.random_range(0..5) {
        0 => vec![refused(body[..body.len() / 2].to_vec())],
        1 => vec![refused(edited(format!("{id}-unknown"), &|batch| {
            batch["vehicle"] = Value::from("chaos-nobody");
        }))],
        2 => vec![refused(edited(format!("{id}-schema"), &|batch| {
            batch["schema"] = Value::from(7)
        }))],
        3 => {
            // Refused sample by sample: one lies beyond the pole, one has a speed that is none.
            let id = format!("{id}-polar");
            let body = edited(id.clone(), &|batch| {
                for (place, sample) in batch["samples"].as_array_mut().into_iter().flatten().enumerate() {
                    match place % 3 {
                        0 => sample["lat"] = Value::from(123.0),
                        1 => sample["speed_kmh"] = Value::from("fast"),
                        _ => {}
                    }
                }
            });
            vec![Message {
                lands: Some((vehicle.to_owned(), id)),
                body,
            }]
        }
        _ => {
            // Two batches under one id, of which only one can land. Each holds one sample that is in the batch above too, so
            // that it does not matter which.
            let id = format!("{id}-twice");
            let holding = |place: fn(usize) -> usize| {
                edited(id.clone(), &move |batch| {
                    let samples = batch["samples"].as_array().cloned().unwrap_or_default();
                    batch["samples"] = Value::from(vec![samples[place(samples.len())].clone()]);
                    if let Some(fields) = batch.as_object_mut() {
                        fields.remove("impacts");
                    }
                })
            };
            let lands = Some((vehicle.to_owned(), id.clone()));
            [holding(|_| 0), holding(|count| count - 1)]
                .into_iter()
                .map(|body| Message {
                    lands: lands.clone(),
                    body,
                })
                .collect()
        }
    }
}

/// Messages pass others by up to thirty places, and some come again later.
fn mix(messages: &mut Vec<Message>, rng: &mut ChaCha8Rng) {
    const PLACES: usize = 30;
    let again: Vec<(usize, Message)> = messages
        .iter()
        .enumerate()
        .filter(|_| rng.random_bool(0.1))
        .map(|(place, message)| (place, message.clone()))
        .collect();
    let again: Vec<(usize, Message)> = again
        .into_iter()
        .map(|(place, message)| (place + rng.random_range(0..10 * PLACES), message))
        .collect();
    let mut placed: Vec<(usize, Message)> = std::mem::take(messages).into_iter().enumerate().collect();
    for (place, _) in &mut placed {
        *place += rng.random_range(0..PLACES);
    }
    placed.extend(again);
    placed.shuffle(rng);
    placed.sort_by_key(|(place, _)| *place);
    messages.extend(placed.into_iter().map(|(_, message)| message));
}
