//! Which picture size a rendition has for a given source: the source's aspect ratio is kept, sides are even.

/// Width and height of a picture in square pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// How a picture is fitted to a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// This height; the width follows (ffmpeg's `scale=-2:H`).
    Height(u32),
    /// As large as fits into this box.
    Within(Size),
}

impl Fit {
    /// Size of the output picture for a source that is displayed at `source`, in square pixels.
    #[must_use]
    pub fn apply(self, source: Size) -> Size {
        match self {
            Self::Height(height) => Size { width: follow(height, source.width, source.height), height },
            Self::Within(frame) => {
                let width = follow(frame.height, source.width, source.height);
                if width <= frame.width {
                    Size { width, height: frame.height }
                } else {
                    let height = follow(frame.width, source.height, source.width);
                    Size { width: frame.width, height: height.min(frame.height) }
                }
            }
        }
    }
}

/// `side` × `numerator` ÷ `denominator`, to the nearest even number, at least 2. 4:2:0 chroma needs even sides.
fn follow(side: u32, numerator: u32, denominator: u32) -> u32 {
    let (numerator, denominator) = (u64::from(numerator.max(1)), u64::from(denominator.max(1)));
    let half = (u64::from(side) * numerator + denominator) / (2 * denominator);
    u32::try_from(2 * half.max(1)).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[rstest]
    #[case::landscape(size(1280, 720), size(854, 480))]
    #[case::four_to_three(size(640, 480), size(640, 480))]
    #[case::portrait(size(720, 1280), size(270, 480))]
    #[case::odd(size(641, 359), size(858, 480))]
    fn a_height_keeps_the_aspect_ratio(#[case] source: Size, #[case] expected: Size) {
        assert_eq!(Fit::Height(480).apply(source), expected);
    }

    #[rstest]
    #[case::same_ratio(size(1920, 1080), size(854, 480))]
    #[case::portrait(size(720, 1280), size(270, 480))]
    #[case::wide(size(1920, 800), size(854, 356))]
    #[case::very_wide(size(4000, 2), size(854, 2))]
    fn a_box_is_not_left(#[case] source: Size, #[case] expected: Size) {
        assert_eq!(Fit::Within(size(854, 480)).apply(source), expected);
    }

    proptest! {
        #[test]
        fn sides_are_even_and_inside_the_box(width in 1..20_000_u32, height in 1..20_000_u32) {
            let fitted = Fit::Within(size(1280, 720)).apply(size(width, height));
            prop_assert!(fitted.width.is_multiple_of(2) && fitted.height.is_multiple_of(2));
            prop_assert!((2..=1280).contains(&fitted.width) && (2..=720).contains(&fitted.height));
        }

        #[test]
        fn any_source_has_a_size(width: u32, height: u32) {
            prop_assert!(Fit::Height(480).apply(size(width, height)).width >= 2);
        }
    }
}
