use preset::Size;

use crate::media::{Audio, Media, Video};

/// A 5.28 s clip with sound.
pub(super) fn source() -> Media {
    let size = Size { width: 1280, height: 720 };
    Media {
        duration: Some(5.28),
        bit_rate: None,
        video: Some(Video {
            index: 0,
            codec: "h264".into(),
            coded: size,
            display: size,
            frame_rate: Some(25.0),
            start: Some(0.0),
            duration: Some(5.28),
            bit_rate: None,
        }),
        has_even_frames: true,
        audio: Some(Audio { index: 1, codec: "aac".into(), channels: Some(2), start: Some(0.0), duration: Some(5.25) }),
    }
}
