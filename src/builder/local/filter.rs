//! Filters: the entries of a directory that BuildKit asks for.

use super::pattern::{Matched, Patterns};
use super::{LocalError, links};
use std::path::Path;

/// A request of BuildKit's for a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The directory's name in the session.
    pub(crate) name: String,
    /// Patterns; if there are any, only what matches one is sent.
    pub(crate) include: Vec<String>,
    /// Patterns; nothing that matches one is sent.
    pub(crate) exclude: Vec<String>,
    /// Patterns like `include`; links that match are followed.
    pub(crate) follow: Vec<String>,
}

/// A request, ready to be applied.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    include: Patterns,
    exclude: Patterns,
}

/// The matches of a directory, which its entries inherit.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    include: Option<Matched>,
    exclude: Option<Matched>,
}

/// The decision about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The entry is sent.
    Keep,
    /// The entry is not sent, unless something below it is.
    Skip,
    /// Neither the entry nor anything below it is sent.
    Prune,
}

impl Filter {
    /// Compiles the patterns and follows the links.
    pub(crate) fn new(root: &Path, request: &Request) -> Result<Self, LocalError> {
        let mut include = request.include.clone();
        if !request.follow.is_empty() {
            match links::follow(root, &request.follow)? {
                Some(followed) => include.extend(followed),
                None => include.clear(),
            }
        }
        Ok(Self {
            include: Patterns::new(include.iter().map(String::as_str))?,
            exclude: Patterns::new(request.exclude.iter().map(String::as_str))?,
        })
    }

    /// Decides about one entry.
    pub(super) fn judge(&self, path: &str, above: &Inherited) -> (Verdict, Inherited) {
        let mut verdict = Verdict::Keep;
        let mut own = Inherited::default();
        if !self.include.is_empty() {
            let (matched, info) = self.include.matches(path, above.include.as_ref());
            own.include = Some(info);
            if !matched {
                match self.include.may_match_below(path) {
                    true => verdict = Verdict::Skip,
                    false => return (Verdict::Prune, own),
                }
            }
        }
        if !self.exclude.is_empty() {
            let (matched, info) = self.exclude.matches(path, above.exclude.as_ref());
            own.exclude = Some(info);
            if matched {
                match self.exclude.may_except_below(path) {
                    true => verdict = Verdict::Skip,
                    false => return (Verdict::Prune, own),
                }
            }
        }
        (verdict, own)
    }
}
