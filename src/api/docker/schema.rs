//! The types that Docker's programs have in the place of its JSON. A template sees the fields of those types, not the
//! keys of the JSON: a field that the JSON omits has its zero value, and only a name that the type lacks is an error.
//!
//! [`document!`] defines a document once: what is written as JSON, under which key, when it is omitted, and its
//! [`Shape`], which the command line lays over the JSON that came from the engine.

use serde::Serialize;
use serde::ser::SerializeMap;
use std::collections::BTreeMap;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Go's `any`: as the JSON has it.
    Any,
    /// Zero is empty.
    Text,
    /// Zero is false.
    Bool,
    /// Zero is 0.
    Number,
    /// Zero is nil.
    Pointer(&'static Shape),
    /// Zero is empty, also where the JSON says `null`.
    List(&'static Shape),
    /// Keys are the user's. Zero is empty, also where the JSON says `null`.
    Map(&'static Shape),
    /// Fields are known.
    Struct(&'static Struct),
}

/// A Go struct.
#[derive(Debug, PartialEq)]
pub struct Struct {
    /// Go's name of the type, as its errors have it.
    pub name: &'static str,
    /// In Docker's order.
    pub fields: &'static [Field],
}

/// A field of a Go struct.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Key in the JSON.
    pub key: &'static str,
    /// Go's name, which is the key but for some (`ID` is `Id`).
    pub name: &'static str,
    /// Type.
    pub shape: Shape,
}

impl Struct {
    /// The field that Go or the JSON calls so.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let fields = self.fields;
        fields.iter().find(|f| f.name == name).or_else(|| fields.iter().find(|f| f.key == name))
    }
}

/// A type with a shape.
pub trait Typed {
    /// Shape of the type.
    const SHAPE: Shape;

    /// Go's zero value, which `omitempty` omits.
    fn is_zero(&self) -> bool;
}

/// Exceptions to writing a field as it is.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Always written as it is.
    Keep,
    /// A zero value is omitted (`omitempty`).
    Omit,
    /// A zero value is `null` (a nil slice or map).
    Null,
}

/// Writes one field.
pub(super) fn entry<M: SerializeMap, T: Serialize + Typed>(
    map: &mut M,
    key: &'static str,
    value: &T,
    rule: Rule,
) -> Result<(), M::Error> {
    match rule {
        Rule::Omit if value.is_zero() => Ok(()),
        Rule::Null if value.is_zero() => map.serialize_entry(key, &()),
        _ => map.serialize_entry(key, value),
    }
}

macro_rules! plain {
    ($($type:ty, $shape:ident, $zero:expr;)*) => { $(
        impl Typed for $type {
            const SHAPE: Shape = Shape::$shape;

            fn is_zero(&self) -> bool {
                *self == $zero
            }
        }
    )* };
}

plain! {
    String, Text, "";
    bool, Bool, false;
    i32, Number, 0;
    i64, Number, 0;
    u16, Number, 0;
    u32, Number, 0;
    u64, Number, 0;
    usize, Number, 0;
    serde_json::Value, Any, serde_json::Value::Null;
}

impl<T: Typed> Typed for Option<T> {
    const SHAPE: Shape = Shape::Pointer(&T::SHAPE);

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<T: Typed> Typed for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Typed, const N: usize> Typed for [T; N] {
    const SHAPE: Shape = Shape::List(&T::SHAPE);

    fn is_zero(&self) -> bool {
        self.iter().all(Typed::is_zero)
    }
}

impl<T: Typed> Typed for BTreeMap<String, T> {
    const SHAPE: Shape = Shape::Map(&T::SHAPE);

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// Defines a document: `field: Type = "JsonKey" / "GoName", rule;`, where Go's name is left out when it is the key, and
/// the rule is `omit`, `null`, or left out.
macro_rules! document {
    (
        $(#[$meta:meta])*
        $name:ident is $go:literal {
            $( $field:ident: $type:ty = $key:literal $(/ $own:literal)? $(, $rule:ident)?; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( #[doc = concat!("`", $key, "`")] pub $field: $type, )*
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $( crate::api::docker::schema::entry(&mut map, $key, &self.$field, document!(@rule $($rule)?))?; )*
                map.end()
            }
        }

        impl crate::api::docker::schema::Typed for $name {
            const SHAPE: crate::api::docker::schema::Shape = crate::api::docker::schema::Shape::Struct(&crate::api::docker::schema::Struct {
                name: $go,
                fields: &[ $( crate::api::docker::schema::Field {
                    key: $key,
                    name: document!(@name $key $(/ $own)?),
                    shape: <$type as crate::api::docker::schema::Typed>::SHAPE,
                }, )* ],
            });

            fn is_zero(&self) -> bool {
                true $( && crate::api::docker::schema::Typed::is_zero(&self.$field) )*
            }
        }
    };
    (@rule) => { crate::api::docker::schema::Rule::Keep };
    (@rule omit) => { crate::api::docker::schema::Rule::Omit };
    (@rule null) => { crate::api::docker::schema::Rule::Null };
    (@name $key:literal) => { $key };
    (@name $key:literal / $own:literal) => { $own };
}
pub(super) use document;
