//! What the generated types and enumerations are made of.

/// The type of a class. A row is `field: [KIND] = "wire_name", "since when";`, where the kind says how it is read: a type as
/// a value, `one Host` and `many Host` by following references, `words VmOperations` from a set of words, `word_map` from a map
/// of words, `json TYPE` from JSON.
macro_rules! class {
    (
        $(#[$about:meta])*
        $class:ident = $name:literal;
        $($(#[$meta:meta])* $field:ident: [$($kind:tt)+] = $wire:literal, $told:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $class(crate::Object);

        impl $class {
            $(
                $(#[$meta])*
                #[doc = concat!("The field `", $name, ".", $wire, "`, ", $told, ".")]
                #[doc = ""]
                #[doc = "# Errors"]
                #[doc = ""]
                #[doc = "When the grant hides it, or this pool does not have it."]
                pub fn $field(&self) -> Result<crate::xapi::declare::given!($($kind)+), crate::Error> {
                    crate::xapi::declare::taken!(self.0, $wire, $($kind)+)
                }
            )*
        }

        impl std::ops::Deref for $class {
            type Target = crate::Object;

            fn deref(&self) -> &crate::Object {
                &self.0
            }
        }

        impl crate::xapi::Class for $class {
            const CLASS: &'static str = $name;

            fn from_object(object: crate::Object) -> Self {
                $class(object)
            }
        }

        impl crate::xapi::ReferenceTo<$class> for $class {
            fn argument(&self) -> crate::Value {
                crate::Value::from(&self.0)
            }
        }
    };
}

/// What an accessor gives.
macro_rules! given {
    (uuid) => { String };
    (one $class:ident) => { Option<$class> };
    (many $class:ident) => { Vec<$class> };
    (json $of:ty) => { $of };
    (words $of:ident) => { Vec<$of> };
    (word_map $of:ident) => { std::collections::BTreeMap<String, $of> };
    ($of:ty) => { $of };
}

/// How an accessor gets it.
macro_rules! taken {
    ($object:expr, $wire:literal, uuid) => {
        $object.own_uuid()
    };
    ($object:expr, $wire:literal, one $class:ident) => {
        $object.one($wire)
    };
    ($object:expr, $wire:literal, many $class:ident) => {
        $object.many($wire)
    };
    ($object:expr, $wire:literal, json $of:ty) => {
        $object.json($wire)
    };
    ($object:expr, $wire:literal, words $of:ident) => {
        Ok($object.texts($wire)?.into_iter().map($of::from).collect())
    };
    ($object:expr, $wire:literal, word_map $of:ident) => {
        Ok($object.pairs($wire)?.into_iter().map(|(key, word)| (key, $of::from(word))).collect())
    };
    ($object:expr, $wire:literal, $of:ty) => {
        $object.value($wire)
    };
}

/// An enumeration that keeps words it does not know. A row is `Case = "word",`.
macro_rules! enumeration {
    ($(#[$about:meta])* $name:ident { $($case:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "` as XAPI spells it.")]
                $case,
            )*
            /// A word that the SDK does not know, of a newer pool. Made by `From`, which knows the others.
            Other(String),
        }

        impl $name {
            /// The word as XAPI spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$case => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$case,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                Self::from(word.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl crate::value::FromValue for $name {
            const WANTED: &'static str = "text";

            fn from_value(value: crate::Value) -> Result<Self, crate::Value> {
                String::from_value(value).map(Self::from)
            }
        }

        impl From<$name> for crate::Value {
            fn from(word: $name) -> Self {
                crate::Value::from(word.as_str())
            }
        }
    };
}

pub(super) use {class, enumeration, given, taken};
