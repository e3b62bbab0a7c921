//! Docker's documents: what `inspect`, `info`, `version` and `events` show, made from our nouns.
//!
//! A document is a type (see [`schema`]): its JSON has Docker's keys in Docker's order and omits what Docker omits, and
//! its shape says which fields a template may ask for.

mod config;
mod container;
mod cri;
mod event;
mod health;
mod host_config;
mod image;
mod info;
mod mount;
mod network;
mod networks;
pub mod schema;
mod version;
mod volume;

pub use container::Container;
pub use cri::CriContainer;
pub use event::Event;
pub use image::Image;
pub use info::{ClientInfo, Info};
pub use networks::Network;
pub use version::{ClientVersion, ServerVersion, Version, arch, os};
pub use volume::Volume;

use jiff::Timestamp;
use schema::{Shape, Struct, Typed, document};
use serde::Serialize;
use std::collections::BTreeMap;

document! {
    /// The storage driver; there is nothing to say of it but its name.
    GraphDriver is "storage.DriverData" {
        data: BTreeMap<String, String> = "Data", null;
        name: String = "Name";
    }
}

/// The value of a set's keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Empty {}

impl Typed for Empty {
    const SHAPE: Shape = Shape::Struct(&Struct { name: "struct {}", fields: &[] });

    fn is_zero(&self) -> bool {
        true
    }
}

/// A document's text, for the wire.
pub fn text(document: &impl Serialize) -> String {
    // Our documents are strings, numbers, lists and maps of them with text for keys: nothing fails.
    serde_json::to_string(document).unwrap_or_default()
}

/// A document's JSON.
pub fn value(document: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// Docker's time; never is the year 1.
fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_string())
}

/// A set as Go has it: a map without values.
fn set(names: &[String]) -> BTreeMap<String, Empty> {
    names.iter().map(|name| (name.clone(), Empty {})).collect()
}

#[cfg(test)]
mod tests;
