//! What could not be read of an input, until another try could. Pure.

use std::collections::{BTreeMap, VecDeque};

use hyper::{Request, Response, StatusCode, header};
use url::Url;

use crate::input::trouble::Trouble;

/// How many missing parts are remembered.
const MAX_UNREAD: usize = 64;

/// How many redirects are remembered.
const MAX_LEADS: usize = 64;

/// ffmpeg follows as many redirects in a row.
const MAX_REDIRECTS: usize = 8;

/// What a request is for: a URL, and where the range that is wanted of it ends. A read that goes on where another broke off
/// has the same end; another part of the same file has not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    url: String,
    end: String,
}

impl Part {
    /// Of a request that names all of its URL.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
        let end = range.and_then(|range| range.rsplit_once('-')).map_or("", |(_, end)| end);
        Self { url: normal(&request.uri().to_string()), end: end.to_owned() }
    }

    /// Of something that cannot be told from others behind that name.
    pub(super) fn unnamed(name: &str) -> Self {
        Self { url: name.to_owned(), end: String::new() }
    }
}

/// As all write it: with the usual port, for instance, or without.
fn normal(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), Into::into)
}

/// What went wrong so far.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// A refusal before anything else, otherwise the latest.
    latest: Option<Trouble>,
    /// What could not be read. Another try may take it out.
    unread: BTreeMap<Part, Trouble>,
    /// Redirects since the last answer that was none.
    redirects: usize,
    /// Where redirects led, and from where, the latest last. Another try begins there, and may be led elsewhere.
    leads: VecDeque<(String, String)>,
}

impl Troubles {
    pub(super) fn latest(&self) -> Option<Trouble> {
        self.latest.clone()
    }

    pub(super) fn unread(&self) -> Option<Trouble> {
        let refusal = self.latest.as_ref().filter(|trouble| trouble.is_refusal());
        refusal.or_else(|| self.unread.values().next()).cloned()
    }

    pub(super) fn note(&mut self, part: Part, trouble: Trouble) {
        // A client may ask for what lies behind the end. And one part that is missing is enough to know: a playlist may
        // name any number.
        let is_missing = trouble != Trouble::Status(StatusCode::RANGE_NOT_SATISFIABLE);
        if is_missing && self.unread.len() < MAX_UNREAD {
            let part = self.asked_for(part);
            self.unread.insert(part, trouble.clone());
        }
        if !self.latest.as_ref().is_some_and(Trouble::is_refusal) {
            self.latest = Some(trouble);
        }
    }

    pub(super) fn answered<B>(&mut self, part: &Part, answer: &Response<B>) {
        let status = answer.status();
        self.redirects = if status.is_redirection() { self.redirects + 1 } else { 0 };
        if status.is_client_error() || status.is_server_error() {
            self.note(part.clone(), Trouble::Status(status));
        } else if self.redirects >= MAX_REDIRECTS {
            let host = Url::parse(&part.url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
            self.note(part.clone(), Trouble::Redirects(host.unwrap_or_default()));
        } else if status.is_redirection() {
            self.follow(part, answer);
        } else {
            let part = self.asked_for(part.clone());
            self.unread.remove(&part);
        }
    }

    fn follow<B>(&mut self, part: &Part, answer: &Response<B>) {
        let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let next = Url::parse(&part.url).ok().zip(location).and_then(|(url, location)| url.join(location).ok());
        let Some(next) = next else { return };
        let from = self.asked_for(part.clone()).url;
        if self.leads.len() == MAX_LEADS {
            self.leads.pop_front();
        }
        self.leads.push_back((next.into(), from));
    }

    /// What was asked for before redirects led to `part`.
    fn asked_for(&self, part: Part) -> Part {
        match self.leads.iter().rfind(|(next, _)| *next == part.url) {
            Some((_, from)) => Part { url: from.clone(), ..part },
            None => part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(url: &str, range: &str) -> Part {
        Part::of(&Request::get(url).header("Range", range).body(()).expect("a request"))
    }

    fn answer(status: u16, location: &str) -> Response<()> {
        Response::builder().status(status).header("Location", location).body(()).expect("an answer")
    }

    fn broken() -> Trouble {
        Trouble::Stopped("cdn".to_owned())
    }

    #[test]
    fn a_part_that_was_read_in_another_try_is_not_unread() {
        let mut troubles = Troubles::default();
        troubles.answered(&part("http://h/1.ts", ""), &answer(503, ""));
        troubles.answered(&part("http://h/2.ts", ""), &answer(200, ""));
        assert_eq!(troubles.unread.len(), 1);
        troubles.answered(&part("http://h/1.ts", "bytes=7-"), &answer(206, ""));
        assert!(troubles.unread.is_empty());
    }

    #[test]
    fn a_range_behind_the_end_is_not_a_missing_part() {
        let mut troubles = Troubles::default();
        troubles.answered(&part("http://h/a.mp4", "bytes=9-"), &answer(416, ""));
        assert!(troubles.unread.is_empty() && troubles.latest.is_some());
    }

    #[test]
    fn only_many_redirects_in_a_row_are_too_many() {
        let (mut troubles, here) = (Troubles::default(), part("http://h/a.mp4", ""));
        for _ in 1..MAX_REDIRECTS {
            troubles.answered(&here, &answer(302, "/a.mp4"));
        }
        troubles.answered(&here, &answer(200, ""));
        assert!(troubles.latest.is_none());
        for _ in 0..MAX_REDIRECTS {
            troubles.answered(&here, &answer(302, "/a.mp4"));
        }
        assert_eq!(troubles.latest, Some(Trouble::Redirects("h".to_owned())));
    }

    #[test]
    fn another_try_that_is_led_elsewhere_mends_a_break() {
        let (film, mut troubles) = (part("https://app:443/film", "bytes=0-"), Troubles::default());
        troubles.answered(&film, &answer(302, "https://cdn/film?sig=1"));
        troubles.note(part("https://cdn:443/film?sig=1", "bytes=0-"), broken());
        assert_eq!(troubles.unread(), Some(broken()));
        troubles.answered(&film, &answer(302, "//cdn/film?sig=2"));
        assert_eq!(troubles.unread(), Some(broken()), "nothing was read yet");
        troubles.answered(&part("https://cdn/film?sig=2", "bytes=500-"), &answer(206, ""));
        assert_eq!(troubles.unread(), None);
    }

    #[test]
    fn another_part_of_a_file_does_not_mend_the_one_before() {
        let mut troubles = Troubles::default();
        troubles.answered(&part("http://h/all.ts", "bytes=0-99"), &answer(503, ""));
        troubles.answered(&part("http://h/all.ts", "bytes=100-199"), &answer(206, ""));
        assert_eq!(troubles.unread(), Some(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE)));
        troubles.answered(&part("http://h/all.ts", "bytes=50-99"), &answer(206, ""));
        assert_eq!(troubles.unread(), None);
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let mut troubles = Troubles::default();
        for number in 0..1000 {
            let url = format!("http://h/{number}");
            troubles.answered(&part(&url, "bytes=0-"), &answer(302, &format!("/to/{number}")));
            troubles.answered(&part(&url, "bytes=0-"), &answer(404, ""));
        }
        assert_eq!((troubles.unread.len(), troubles.leads.len()), (MAX_UNREAD, MAX_LEADS));
    }
}
