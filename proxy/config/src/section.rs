//! The table of keys: one declaration of a section gives its struct, its reader, its writer and its description.
//!
//! A section is declared by [`section!`], a key in it as
//!
//! ```text
//! /// Meaning, range, what goes wrong when too low or too high, reason for the default.
//! live hold_max: Duration = default("5s") in "10ms" to "5min";
//! ```
//!
//! `live` keys are applied by a reload, `fixed` ones by a restart. What follows `=` is one of: `default(value)`,
//! `required(example)`, `optional(example)`, and for sections within it `table`, `optional_table`, `tables`,
//! `optional_tables`.
//! Sections come after keys, as TOML wants it. The doc comments are the text of the reference and of the JSON Schema.

use serde_json::Value;

use crate::read::Reader;
use crate::value::Setting;
use crate::write::Writer;

/// A table of the file.
pub(crate) trait Section: Sized {
    /// What may be in it.
    fn spec() -> Spec;
    /// Takes it from a table; a faulty value leaves a fault with the reader and is replaced by the declared one.
    fn read(reader: &mut Reader<'_, '_>) -> Self;
    /// Hands each value to the writer, in the declared order.
    fn write(&self, writer: &mut Writer);
}

/// What may be in a table.
pub(crate) struct Spec {
    /// Lines of text about it.
    pub(crate) about: &'static [&'static str],
    /// Its keys and sections.
    pub(crate) keys: Vec<Key>,
}

/// What is known of a key without its type.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    /// Its name.
    pub(crate) name: &'static str,
    /// Lines of text about it.
    pub(crate) doc: &'static [&'static str],
    /// Default or example, as TOML; empty for sections.
    pub(crate) text: &'static str,
    /// Least and greatest value, as TOML.
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// Whether a reload applies it.
    pub(crate) live: bool,
}

/// A key or a section within a section.
pub(crate) struct Key {
    pub(crate) facts: Facts,
    pub(crate) kind: Kind,
}

/// What a key holds.
pub(crate) enum Kind {
    /// A value, with its JSON Schema.
    Value(Presence, Value),
    /// A table that is there even when the file has none.
    Table(Spec),
    /// A table that may be absent.
    OptionalTable(Spec),
    /// One or more tables.
    Tables(Spec),
    /// Any number of tables.
    OptionalTables(Spec),
}

/// Whether a value must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The declared one is used when it is not.
    Default,
    /// It must.
    Required,
    /// There is none when it is not.
    Optional,
}

// The getters are never called: they tell the type of the field.
impl Key {
    pub(crate) fn default<S, T: Setting>(_: fn(&S) -> &T, facts: Facts) -> Self {
        Self { facts, kind: Kind::Value(Presence::Default, T::schema()) }
    }

    pub(crate) fn required<S, T: Setting>(_: fn(&S) -> &T, facts: Facts) -> Self {
        Self { facts, kind: Kind::Value(Presence::Required, T::schema()) }
    }

    pub(crate) fn optional<S, T: Setting>(_: fn(&S) -> &Option<T>, facts: Facts) -> Self {
        Self { facts, kind: Kind::Value(Presence::Optional, T::schema()) }
    }

    pub(crate) fn table<S, T: Section>(_: fn(&S) -> &T, facts: Facts) -> Self {
        Self { facts, kind: Kind::Table(T::spec()) }
    }

    pub(crate) fn optional_table<S, T: Section>(_: fn(&S) -> &Option<T>, facts: Facts) -> Self {
        Self { facts, kind: Kind::OptionalTable(T::spec()) }
    }

    pub(crate) fn tables<S, T: Section>(_: fn(&S) -> &Vec<T>, facts: Facts) -> Self {
        Self { facts, kind: Kind::Tables(T::spec()) }
    }

    pub(crate) fn optional_tables<S, T: Section>(_: fn(&S) -> &Vec<T>, facts: Facts) -> Self {
        Self { facts, kind: Kind::OptionalTables(T::spec()) }
    }
}

/// Declares a section; see the head of this file.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $when:ident $key:ident: $type:ty = $how:ident $(($($text:tt)+))? $(in $low:literal to $high:literal)?;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $key: $type, )*
        }

        impl $crate::section::Section for $name {
            fn spec() -> $crate::section::Spec {
                $crate::section::Spec {
                    about: &[$($about),*],
                    keys: vec![$(
                        $crate::section::Key::$how(
                            |section: &Self| &section.$key,
                            $crate::section::section!(
                                @facts $key [$($doc),*] $when [$($($text)+)?] [$($low, $high)?]
                            ),
                        )
                    ),*],
                }
            }

            fn read(reader: &mut $crate::read::Reader<'_, '_>) -> Self {
                Self {
                    $($key: reader.$how($crate::section::section!(
                        @facts $key [$($doc),*] $when [$($($text)+)?] [$($low, $high)?]
                    ))),*
                }
            }

            fn write(&self, writer: &mut $crate::write::Writer) {
                $( writer.$how(stringify!($key), $crate::section::section!(@$when), &self.$key); )*
            }
        }
    };
    (@facts $key:ident [$($doc:literal),*] $when:ident [$($text:tt)*] $range:tt) => {
        $crate::section::Facts {
            name: stringify!($key),
            doc: &[$($doc),*],
            text: stringify!($($text)*),
            range: $crate::section::section!(@range $range),
            live: $crate::section::section!(@$when),
        }
    };
    (@range []) => { None };
    (@range [$low:literal, $high:literal]) => { Some((stringify!($low), stringify!($high))) };
    (@live) => { true };
    (@fixed) => { false };
}
pub(crate) use section;
