//! What the `OpenAPI` document says beside the routes, which describe themselves.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "flux-encoder",
        description = "Takes encoding jobs and hands them to workers. Errors are JSON: `{\"error\": \"…\"}`.",
        version = env!("CARGO_PKG_VERSION"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&ApiKey),
    tags(
        (name = "jobs", description = "Create, follow and cancel jobs"),
        (name = "workers", description = "Who runs them"),
        (name = "presets", description = "How to encode"),
        (name = "operations", description = "Health and metrics"),
    )
)]
struct Document;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some("The value of `API_KEY`. Without that setting, every route is open.".to_owned());
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("api_key", SecurityScheme::Http(http));
    }
}

/// The document without its routes.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
