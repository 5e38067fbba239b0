//! Pay-as-you-drive: no behaviour value is in any row, raw block or dead letter of the vehicle.
//!
//! Values that nothing else has are sent, good and bad, by every way there is, and then looked for everywhere. A
//! pay-how-you-drive twin gets the same, so that looking is known to find.

use std::{collections::BTreeSet, sync::OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId},
    policy::Product,
    sample::{DataClass, Sample},
    time::{EventTime, ReceivedAt, Window},
};
use odograph_store::{DeadLetterFilter, PolicyFilter, TripFilter};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
    snapshot::every,
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// Values of behaviour, of the car's state and of fields nobody knows. Their digits occur nowhere else.
const TELLING: &[&str] = &[
    "3.2715926",
    "-7.3890561",
    "9.8696044",
    "0.5772157",
    "4242.4242",
    "61.803398",
    "27.182818",
    "123.45678",
    "87.654321",
    "13.131313",
    "P0420XYZ",
    "16.180339",
    "telltale",
];

/// Seconds from the morning of a day not long ago: what comes live may be neither from the future nor too old.
fn at(second: i64) -> DateTime<Utc> {
    static START: OnceLock<DateTime<Utc>> = OnceLock::new();
    let start = START.get_or_init(|| {
        let day = Utc::now().date_naive() - TimeDelta::days(20);
        day.and_hms_opt(7, 0, 0).expect("seven in the morning").and_utc()
    });
    *start + TimeDelta::seconds(second)
}

fn time(second: i64) -> String {
    EventTime::new(at(second)).to_string()
}

/// Driving east at a steady speed, with everything that tells how.
fn sample(second: i64) -> Value {
    let moving = (60..=600).contains(&second);
    json!({
        "ts": time(second), "lat": 48.1, "lon": 11.5 + 0.00019 * (second.clamp(60, 600) - 60) as f64,
        "speed_kmh": if moving { 50.0 } else { 0.0 }, "ignition": second < 660, "hdop": 1.1,
        "heading_deg": 123.45678, "accel_x_ms2": 3.2715926, "accel_y_ms2": -7.3890561, "accel_z_ms2": 9.8696044,
        "gyro_z_rads": 0.5772157, "brake_pct": 61.803398, "throttle_pct": 27.182818, "engine_rpm": 4242.4242,
        "speed_limit_kmh": 13.131313, "phone_in_use": true, "belt": false, "coolant_c": 87.654321, "dtc": ["P0420XYZ"],
        "mood": "telltale",
    })
}

/// The same with harsh braking in the middle: from 50 to 0 in three seconds, three times.
fn drive() -> Vec<Value> {
    let harsh = |second: i64| {
        [200, 300, 400]
            .into_iter()
            .find(|from| (*from..from + 12).contains(&second))
    };
    let mut samples = Vec::new();
    for second in 0..=660 {
        let mut one = sample(second);
        if let Some(from) = harsh(second) {
            let speed = match second - from {
                into @ 0..=3 => 50.0 - 16.6 * into as f64,
                into => 6.25 * (into - 3) as f64,
            };
            one["speed_kmh"] = json!(speed);
            one["accel_x_ms2"] = json!(if second - from <= 3 { -4.6 } else { 1.7 });
        }
        samples.push(one);
    }
    samples
}

fn batch(vehicle: &str, id: &str, samples: Vec<Value>) -> Value {
    json!({ "schema": 1, "batch_id": id, "vehicle": vehicle, "samples": samples })
}

fn impact() -> Value {
    json!({ "trigger_ts": time(300), "rate_hz": 100.0, "t0_ms": -20.0,
        "accel_ms2": [[3.2715926, -7.3890561, 9.8696044], [16.180339, 0.0, 9.8]], "gyro_rads": [[0.5772157, 0.0, 0.0], [0.0, 0.0, 0.0]] })
}

/// One thing wrong with each of these, with telling values beside it or as the wrong value itself.
fn bad_samples() -> Vec<Value> {
    let with = |second: i64, field: &str, value: Value| {
        let mut one = sample(second);
        one[field] = value;
        one
    };
    vec![
        with(700, "speed_kmh", json!(-4000)),
        with(701, "accel_x_ms2", json!("3.2715926 telltale")),
        with(702, "accel_x_ms2", json!(314_159_260.0)),
        with(703, "lat", Value::Null),
        with(704, "ts", json!("P0420XYZ")),
        with(705, "engine_rpm", json!(-42_424_242)),
        with(706, "heading_deg", json!([123.45678])),
        with(707, "lat", json!({ "telltale": 3.2715926 })),
        json!("3.2715926"),
        json!({ "accel_x_ms2": 3.2715926 }),
    ]
}

/// Bodies that are refused whole, as text.
fn bad_bodies(vehicle: &str) -> Vec<String> {
    let whole = batch(vehicle, "broken", vec![sample(710), sample(711)]).to_string();
    vec![
        whole[..whole.len() - 9].to_owned(),
        whole.replacen(':', "", 3),
        format!("{whole} telltale"),
        whole.replace("\"schema\":1", "\"schema\":{\"telltale\":3.2715926}"),
        whole.replace("\"schema\":1", "\"schema\":99"),
        whole.replace("\"batch_id\":\"broken\"", "\"batch_id\":\"\""),
        whole.replace(&format!("\"vehicle\":\"{vehicle}\""), "\"vehicle\":\"nobody\""),
        whole.replace("\"samples\":[", "\"samples\":{\"telltale\":["),
        whole.replace("\"schema\":1", "\"schema\":1,\"driver\":\"nobody\""),
    ]
}

async fn post(api: &Api, token: &str, body: String) -> Answer {
    let request = api.request(Method::POST, "/v1/telemetry/batches").bearer_auth(token);
    Answer::of(
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await,
    )
    .await
}

/// Everything by every way: over HTTP, and straight into the queue as a sender of another protocol would.
async fn send_everything(platform: &Platform, api: &Api, tenant: TenantId, vehicle: &str) {
    let token = api.token(&platform.client(tenant, &[]).await).await;
    let mut whole = batch(vehicle, "drive", drive());
    whole["impacts"] = json!([impact(), { "trigger_ts": "telltale", "accel_ms2": 3.2715926 }]);
    let sound = [
        whole.to_string(),
        batch(vehicle, "bad", bad_samples()).to_string(),
        batch(vehicle, "twice", vec![sample(720)]).to_string(),
    ];
    for body in &sound {
        let answer = post(api, &token, body.clone()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    // The same id with other content: a conflict.
    let conflict = batch(vehicle, "twice", vec![sample(721)]).to_string();
    assert_eq!(post(api, &token, conflict.clone()).await.status, 202);
    for body in bad_bodies(vehicle) {
        let answer = post(api, &token, body.clone()).await;
        let refused = answer.status.is_client_error() || answer.status == 202;
        assert!(refused, "{body}: {answer:?}");
    }
    let id = platform.store(tenant).resolve_vehicle(vehicle).await.expect("vehicles");
    let mut raw: Vec<Vec<u8>> = bad_bodies(vehicle).into_iter().map(String::into_bytes).collect();
    raw.push(b"accel_x_ms2=3.2715926; telltale".to_vec());
    raw.push([&[0xff, 0xfe][..], conflict.as_bytes()].concat());
    let envelopes: Vec<_> = raw
        .into_iter()
        .map(|payload| envelope(platform, tenant, id, vehicle, payload))
        .collect();
    platform
        .parts
        .publisher
        .publish(&envelopes)
        .await
        .expect("a queue that takes messages");
    platform.drained().await;
    platform.derive(tenant).await;
}

fn envelope(
    platform: &Platform,
    tenant: TenantId,
    vehicle: Option<odograph_domain::id::VehicleId>,
    given: &str,
    payload: Vec<u8>,
) -> Envelope {
    let header = Header {
        message_id: MessageId::from_uuid(platform.parts.ids.uuid()),
        tenant,
        client: None,
        source: Source::Mqtt,
        lane: Lane::Live,
        vehicle,
        vehicle_given: given.to_owned(),
        device: None,
        received_at: ReceivedAt::new(platform.parts.clock.now()),
        content_type: ContentType::Json,
        content_encoding: ContentEncoding::Identity,
        traceparent: None,
        resubmission_of: None,
        extra: serde_json::Map::new(),
    };
    Envelope { header, payload }
}

/// The telling values that occur in a text, as digits or as their bytes in hexadecimal.
fn telling_in(text: &str) -> Vec<&'static str> {
    let occurs = |value: &&&str| {
        let as_hex = hex::encode(value.as_bytes());
        let as_f64 = value
            .parse::<f64>()
            .ok()
            .map(|number| [hex::encode(number.to_be_bytes()), hex::encode(number.to_le_bytes())]);
        text.contains(**value)
            || text.contains(&as_hex)
            || as_f64.is_some_and(|both| both.iter().any(|bytes| text.contains(bytes)))
    };
    TELLING.iter().filter(occurs).copied().collect()
}

/// Every column of every row of every table, as text; bytes in hexadecimal.
async fn every_row(db: &mut PgConnection) -> Vec<(String, String)> {
    let tables = sqlx::query(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1",
    );
    let mut rows = Vec::new();
    for table in tables.fetch_all(&mut *db).await.expect("the tables") {
        let table: String = table.get(0);
        let select = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        for row in sqlx::query(select).fetch_all(&mut *db).await.expect("its rows") {
            rows.push((table.clone(), row.get::<String, _>(0)));
        }
    }
    rows
}

/// Raw data is read to derive, and only a window that is dirty is derived.
async fn mark_dirty(db: &mut PgConnection) {
    let marked = sqlx::query(
        "INSERT INTO dirty_window (tenant_id, vehicle_id, from_ts, to_ts, due_at, at_once, why)
         SELECT tenant_id, vehicle_id, watermark, watermark, now(), true, '{rebuild}' FROM vehicle_state",
    );
    marked.execute(db).await.expect("a dirty window");
}

/// Every raw sample that is stored of the tenant's one vehicle, decrypted and decoded, journal and blocks.
async fn every_raw_sample(platform: &mut Platform, tenant: TenantId) -> Vec<Sample> {
    platform.as_superuser(mark_dirty).await;
    let now = platform.parts.clock.now();
    let due = platform.parts.store.worker().next_due(now, Some(tenant), true).await;
    let mut tx = due.expect("a look at what is due").expect("the window just marked");
    let window = Window {
        from: EventTime::new(at(-86_400)),
        to: EventTime::new(at(86_400)),
    };
    let raw = tx.raw(window).await.expect("raw data");
    tx.release().await.expect("a window given back");
    platform.derive(tenant).await;
    raw.into_iter().map(|raw| raw.sample).collect()
}

async fn every_dead_letter(platform: &Platform, tenant: TenantId) -> Vec<(String, String)> {
    let store = platform.store(tenant);
    let mut letters = Vec::new();
    for row in every(async |page| store.dead_letters(DeadLetterFilter::default(), page).await).await {
        let (row, payload) = store.dead_letter(row.id).await.expect("a dead letter that was listed");
        letters.push((
            row.reason.clone(),
            format!("{row:?} {}", String::from_utf8_lossy(&payload)),
        ));
    }
    letters
}

const VEHICLE: &str = "car-1";

/// A platform with one vehicle that has sent everything, worked through.
async fn insured_by(product: Product) -> (Platform, TenantId) {
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let tenant = platform.tenant("insurer").await;
    let insured = Insured {
        vehicle: VEHICLE.to_owned(),
        driver: "driver-1".to_owned(),
        product,
        time_zone: Tz::Europe__Berlin,
        starts_on: (at(0) - TimeDelta::days(90)).date_naive(),
    };
    platform.insure(tenant, &[insured]).await;
    send_everything(&platform, &api, tenant, VEHICLE).await;
    (platform, tenant)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_behaviour_is_kept_of_a_vehicle_that_pays_by_distance() {
    let (mut platform, tenant) = insured_by(Product::Payd).await;
    let store = platform.store(tenant);

    let trips = every(async |page| store.trips(TripFilter::default(), page).await).await;
    assert_eq!(trips.len(), 1, "{trips:?}");
    let trip = store.trip(trips[0].record.id).await.expect("the trip").record;
    assert_eq!(trip.features.behaviour, None);
    assert!(
        trip.features.mileage.billable_m > 5_000.0,
        "{:?}",
        trip.features.mileage
    );
    let driver = trip.driver.expect("the main driver");
    assert_eq!(store.latest_score(driver, None).await.expect("scores"), None);
    let policy = every(async |page| store.policies(PolicyFilter::default(), page).await)
        .await
        .remove(0)
        .policy;
    let premiums = every(async |page| store.premiums(policy.id, None, false, page).await).await;
    assert_eq!(premiums.len(), 1, "{premiums:?}");
    assert!(
        premiums[0].rated.inputs.usage_m > 5_000 && premiums[0].rated.inputs.score.is_none(),
        "{premiums:?}"
    );

    platform.stop().await;
    let raw = every_raw_sample(&mut platform, tenant).await;
    assert!(raw.len() > 600, "only {} raw samples", raw.len());
    for kept in &raw {
        let mut allowed = kept.clone();
        allowed.retain(|class| class == DataClass::Mileage);
        assert_eq!(kept, &allowed);
        assert!(kept.extra.is_empty(), "{kept:?}");
    }
    let letters = every_dead_letter(&platform, tenant).await;
    let reasons: BTreeSet<&str> = letters.iter().map(|(reason, _)| reason.as_str()).collect();
    for wanted in [
        "malformed_sample",
        "speed_out_of_range",
        "undecodable",
        "batch_conflict",
        "unsupported_schema",
    ] {
        assert!(reasons.contains(wanted), "no dead letter for {wanted}: {reasons:?}");
    }
    for (reason, letter) in &letters {
        assert!(
            telling_in(letter).is_empty(),
            "{:?} in a dead letter ({reason}): {letter}",
            telling_in(letter)
        );
    }
    for (table, row) in platform.as_superuser(every_row).await {
        assert!(telling_in(&row).is_empty(), "{:?} in {table}: {row}", telling_in(&row));
        let empty = ["behaviour_event", "raw_impact", "score", "queue_message"];
        assert!(!empty.contains(&table.as_str()), "a row in {table}: {row}");
    }
    platform.end().await;
}

/// The same, where it may be kept: it is there, and the ways of looking find it.
#[tokio::test(flavor = "multi_thread")]
async fn behaviour_is_kept_of_a_vehicle_that_pays_by_behaviour() {
    let (mut platform, tenant) = insured_by(Product::Phyd).await;
    let store = platform.store(tenant);
    let trips = every(async |page| store.trips(TripFilter::default(), page).await).await;
    assert_eq!(trips.len(), 1, "{trips:?}");
    let trip = store.trip(trips[0].record.id).await.expect("the trip").record;
    let behaviour = trip.features.behaviour.expect("behaviour");
    assert!(behaviour.events.len() >= 3, "{behaviour:?}");
    assert!(
        behaviour.phone_share > Some(0.9) && behaviour.speeding_share > Some(0.9),
        "{behaviour:?}"
    );

    platform.stop().await;
    let raw = every_raw_sample(&mut platform, tenant).await;
    let calm = raw
        .iter()
        .find(|sample| sample.ts == EventTime::new(at(100)))
        .expect("a sample of the drive");
    assert!(
        telling_in(&serde_json::to_string(calm).expect("JSON")).len() >= 10,
        "{calm:?}"
    );
    let letters = every_dead_letter(&platform, tenant).await;
    let found = letters
        .iter()
        .filter(|(_, letter)| !telling_in(letter).is_empty())
        .count();
    assert!(found >= 3, "telling values in only {found} dead letters: {letters:#?}");
    let rows = platform.as_superuser(every_row).await;
    for table in ["behaviour_event", "raw_impact"] {
        assert!(
            rows.iter().any(|(name, _)| name.starts_with(table)),
            "no row in {table}"
        );
    }
    platform.end().await;
}
