//! Pages of lists name what they list, instead of describing it once more: generated clients have one type for a thing,
//! wherever it comes from.

use utoipa::{
    Modify,
    openapi::{OpenApi, Ref, RefOr, Schema, schema::ArrayItems},
};

pub(super) struct Lists;

impl Modify for Lists {
    fn modify(&self, document: &mut OpenApi) {
        let Some(components) = &mut document.components else {
            return;
        };
        let named: Vec<String> = components.schemas.keys().cloned().collect();
        for (name, schema) in &mut components.schemas {
            let listed = name
                .strip_prefix("List_")
                .filter(|listed| named.iter().any(|known| known == listed));
            let (Some(listed), RefOr::T(Schema::Object(page))) = (listed, schema) else {
                continue;
            };
            if let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items") {
                items.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::from_schema_name(listed))));
            }
        }
    }
}
