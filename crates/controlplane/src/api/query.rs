//! The parameters after the `?` of a URL, with errors that name them.
//!
//! What is not known is refused: a filter with a slip in its name would otherwise answer with everything.

use std::{borrow::Cow, fmt::Display};

use super::Error;

/// Longest name that is repeated in an error, in bytes.
const MAX_NAME: usize = 64;

/// Parameters, each at most once. An empty one counts as not given.
#[derive(Debug)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads `query`, which may have these parameters.
    pub(super) fn parse(query: &'a str, known: &[&str]) -> Result<Self, Error> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(wrong(&name, format!("is not known; give {}", known.join(", "))));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(wrong(&name, "must be given once"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter, if it is given.
    pub(super) fn get<T, E: Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        let value = self.0.iter().find(|(other, value)| other == name && !value.is_empty());
        value.map(|(_, value)| parse(value).map_err(|reason| wrong(name, reason))).transpose()
    }
}

fn wrong(name: &str, reason: impl Display) -> Error {
    let cut = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_NAME).last();
    Error::Parameter { name: crate::text::clean(&name[..cut.unwrap_or(0)]), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Option<u32>, String> {
        let query = Query::parse(query, &["limit", "cursor"]).map_err(|error| error.to_string())?;
        query
            .get("limit", |text| text.parse::<u32>().map_err(|_| "must be a number"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_parameter_is_read_once_and_by_its_name() {
        assert_eq!(read("limit=5&cursor=x"), Ok(Some(5)));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("limit=&cursor"), Ok(None));
        assert_eq!(read("limit=%35"), Ok(Some(5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read("limit=x"), Err("limit: must be a number".to_owned()));
        assert_eq!(read("limit=1&limit=2"), Err("limit: must be given once".to_owned()));
        assert_eq!(read("limt=1"), Err("limt: is not known; give limit, cursor".to_owned()));
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".{0,100}") {
            let _ = read(&query);
        }
    }
}
