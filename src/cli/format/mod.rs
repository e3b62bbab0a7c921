//! Formats of values: durations, sizes, quotes, tables, templates. Pure.

pub(crate) mod duration;
pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod moment;
pub(crate) mod quote;
pub(crate) mod size;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod template;
