//! The schema of [`super::Problem`] for the OpenAPI documents of both services.

use std::borrow::Cow;
use std::marker::PhantomData;

use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Describes an error (RFC 9457); `C` lists the codes of the service.
#[derive(Debug)]
pub struct ProblemSchema<C>(PhantomData<C>);

impl<C: ToSchema> PartialSchema for ProblemSchema<C> {
    fn schema() -> RefOr<Schema> {
        let detail = SchemaType::from_iter([Type::String, Type::Null]);
        let schema = ObjectBuilder::new()
            .description(Some("An error (RFC 9457)."))
            .property("type", text("`urn:signal-cluster:problem:` followed by the code."))
            .property("title", text("The name of the status."))
            .property("status", described(Type::Integer, "The status of the response."))
            .property("code", Ref::from_schema_name(C::name()))
            .property("detail", described(detail, "An explanation for the developer."));
        let required = ["type", "title", "status", "code"];
        required.into_iter().fold(schema, ObjectBuilder::required).into()
    }
}

impl<C: ToSchema> ToSchema for ProblemSchema<C> {
    fn name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((C::name().into_owned(), C::schema()));
        C::schemas(schemas);
    }
}

fn text(description: &str) -> Object {
    described(Type::String, description)
}

fn described(schema_type: impl Into<SchemaType>, description: &str) -> Object {
    ObjectBuilder::new().schema_type(schema_type).description(Some(description)).build()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::Problem;
    use super::*;

    #[test]
    fn the_schema_describes_every_member_that_a_problem_writes() {
        let schema = serde_json::to_value(ProblemSchema::<String>::schema()).unwrap();
        let written = Problem::new(StatusCode::NOT_FOUND, "not_found").detail("gone").to_json();
        let names = |value: &serde_json::Value| {
            value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&schema["properties"]), names(&written));
    }
}
