//! `GET /api/v1/presets`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ErrorBody;

/// Every preset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PresetsView {
    /// In no particular order.
    presets: Vec<PresetView>,
}

/// One preset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PresetView {
    /// What a job names.
    #[schema(example = "720p_h264")]
    name: &'static str,
    /// One line for people.
    #[schema(example = "MP4, H.264 720p crf 23, AAC 128 kbit/s")]
    summary: &'static str,
    /// `single`, `hls` or `dash`.
    #[schema(example = "single")]
    output_type: &'static str,
}

/// List the presets
#[utoipa::path(
    get,
    path = "/presets",
    tag = "presets",
    security(("api_key" = [])),
    responses(
        (status = 200, description = "Every preset", body = PresetsView),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
    )
)]
pub(super) async fn list_presets() -> Json<PresetsView> {
    let view = |preset: &preset::Preset| PresetView {
        name: preset.name,
        summary: preset.summary,
        output_type: preset.output_type().name(),
    };
    Json(PresetsView { presets: preset::ALL.iter().map(view).collect() })
}
