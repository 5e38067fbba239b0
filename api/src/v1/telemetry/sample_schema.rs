//! The canonical sample in the OpenAPI document, from the one table of its fields.

use std::borrow::Cow;

use odograph_domain::sample::{FIELDS, Field, FieldKind};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, KnownFormat, Object, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
        schema::AdditionalProperties,
    },
};

/// Stands for [`odograph_domain::sample::Sample`] in the document.
#[derive(Debug)]
pub(crate) struct SampleSchema;

impl ToSchema for SampleSchema {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Sample")
    }
}

impl PartialSchema for SampleSchema {
    fn schema() -> RefOr<Schema> {
        let ts = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("Event time: the device's fix time, UTC, ms."));
        let mut sample = ObjectBuilder::new().property("ts", ts).required("ts");
        for field in FIELDS {
            sample = sample.property(field.name, property(field));
        }
        sample
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some("One sample. A field that is absent or null is unknown, never zero; unknown fields are kept."))
            .examples([json!({
                "ts": "2026-01-31T07:15:00.000Z", "lat": 52.52, "lon": 13.405, "hdop": 0.9, "speed_kmh": 48.2, "ignition": true,
                "odometer_km": 41000.2, "accel_x_ms2": -0.4
            })])
            .into()
    }
}

fn property(field: &Field) -> Schema {
    let unit = (!field.unit.is_empty()).then_some(field.unit);
    let of = |kind: Type| ObjectBuilder::new().schema_type(kind);
    match field.kind {
        FieldKind::Number => of(Type::Number).description(unit).into(),
        FieldKind::Flag => of(Type::Boolean).into(),
        FieldKind::Wheels => ArrayBuilder::new()
            .items(Object::with_type(Type::Number))
            .min_items(Some(4))
            .max_items(Some(4))
            .description(Some(format!(
                "{}: front left, front right, rear left, rear right",
                field.unit
            )))
            .into(),
        FieldKind::Codes => ArrayBuilder::new()
            .items(Object::with_type(Type::String))
            .description(unit)
            .into(),
    }
}
