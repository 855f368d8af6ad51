//! Signatures as [Standard Webhooks](https://www.standardwebhooks.com) has them: HMAC-SHA256 of name, time and body.

use std::{fmt, sync::Arc};

use standardwebhooks::Webhook;

/// Each secret begins with this.
const PREFIX: &str = "whsec_";

/// How long a secret may be in bytes, as the specification says.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What callbacks are signed with. Never empty; several while one replaces another.
#[derive(Clone)]
pub struct Secrets(Arc<[Webhook]>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Reads secrets as `whsec_<base64>`, separated by spaces.
    ///
    /// # Errors
    /// What is wrong, without the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let secrets = text.split_whitespace().map(one).collect::<Option<Vec<_>>>();
        match secrets {
            Some(secrets) if !secrets.is_empty() => Ok(Self(secrets.into())),
            Some(_) | None => Err(
                "give whsec_ and 24 to 64 random bytes in base64, such as whsec_$(openssl rand -base64 32); several \
                 separated by spaces"
                    .to_owned(),
            ),
        }
    }

    /// The header `webhook-signature`: one signature a secret, so that receivers may still have the old one.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, payload: &str) -> String {
        // Signing fails only for what is no text.
        let signatures = self.0.iter().filter_map(|secret| secret.sign(id, seconds, payload.as_bytes()).ok());
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn one(text: &str) -> Option<Webhook> {
    let encoded = text.strip_prefix(PREFIX)?;
    let bytes = encoded.trim_end_matches('=').len() * 3 / 4;
    BYTES.contains(&bytes).then(|| Webhook::new(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secrets = Secrets::parse(NEW).expect("a secret");
        let payload = r#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = secrets.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, payload);
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let both = Secrets::parse(&format!("{NEW}  {OLD}")).expect("two secrets");
        let alone = |secret| Secrets::parse(secret).expect("a secret").sign("msg_1", 7, "{}");
        assert_eq!(both.sign("msg_1", 7, "{}"), format!("{} {}", alone(NEW), alone(OLD)));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let long = format!("whsec_{}", "A".repeat(88));
        for wrong in ["", "hunter2", "whsec_", "whsec_aHVudGVyMg==", "whsec_*KQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &long] {
            let mistake = Secrets::parse(wrong).expect_err("not a secret");
            assert!(mistake.starts_with("give whsec_") && !mistake.contains("aHVudGVyMg"), "{mistake}");
        }
        assert!(Secrets::parse(&format!("{NEW} hunter2")).is_err(), "one of two is wrong");
        assert_eq!(format!("{:?}", Secrets::parse(NEW).expect("a secret")), "Secrets(1)");
    }
}
