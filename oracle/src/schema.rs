//! How binary values are written in JSON, for the API's description.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

fn text(pattern: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .pattern(Some(pattern))
        .description(Some(description))
        .into()
}

macro_rules! text {
    ($($name:ident $pattern:literal $description:literal)*) => {$(
        #[doc = $description]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text($pattern, $description)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

text! {
    Word "^(0x)?[0-9a-fA-F]{64}$" "32 bytes of hex; written with 0x, read without it too."
    Account "^(0x)?[0-9a-fA-F]{40}$" "An account's address: 20 bytes of hex."
    Hex "^(0x)?([0-9a-fA-F]{2})*$" "Bytes of hex; written with 0x, read without it too."
}
