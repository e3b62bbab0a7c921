//! `builder`: BuildKit's cache, and the builds of the past.

pub(crate) mod du;
pub(crate) mod history;
pub(crate) mod prune;

use super::error::CommandError;
use crate::builder;

/// Filters of the command line in BuildKit's form. Those that it has no words for are `other`'s.
fn filters(
    pairs: &[(String, String)],
    mut other: impl FnMut(&str, &str) -> Result<bool, CommandError>,
) -> Result<Vec<String>, CommandError> {
    let mut all = Vec::new();
    for (key, value) in pairs {
        match builder::filter(key, value) {
            Some(filter) => all.push(filter),
            None if other(key, value)? => {}
            None => return Err(CommandError::failed(format!("ERROR: invalid filter '{key}={value}'"))),
        }
    }
    // BuildKit joins filters by "or", and what is in one of them by "and".
    Ok(if all.is_empty() { all } else { vec![all.join(",")] })
}
