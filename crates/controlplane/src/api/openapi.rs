//! What the `OpenAPI` document says beside the routes, which describe themselves, and where it is.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

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

/// Where the document is.
const PATH: &str = "/api/openapi.json";

/// The whole document, and a page that shows it. Its text is made once: clients without a key, who may leave any number of
/// answers unread, share it.
pub(super) fn pages<S: Clone + Send + Sync + 'static>(document: &utoipa::openapi::OpenApi) -> Router<S> {
    let text = Bytes::from(document.to_json().expect("a document is JSON"));
    let answer = move || std::future::ready(([(CONTENT_TYPE, "application/json")], text.clone()));
    Router::new().route(PATH, get(answer)).merge(SwaggerUi::new("/swagger").config(Config::from(PATH)))
}

/// The document without its routes.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
