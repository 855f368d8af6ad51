//! Text from elsewhere, made safe to store, log and send on.

/// Longest text kept, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The text in one line without control characters, cut to [`MAX_BYTES`].
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_BYTES));
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if clean.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        if !c.is_control() {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_stays() {
        assert_eq!(clean("日本 60 % “done”"), "日本 60 % “done”");
        assert_eq!(clean("a\nb\u{1b}[31mc\0\u{2028}"), "a b[31mc ");
    }

    proptest! {
        #[test]
        fn what_is_left_is_short_and_printable(text in any::<String>(), times in 1..2000_usize) {
            let clean = clean(&text.repeat(times));
            prop_assert!(clean.len() <= MAX_BYTES);
            prop_assert!(!clean.contains(char::is_control));
        }
    }
}
