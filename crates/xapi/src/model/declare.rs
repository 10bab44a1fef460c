//! What the generated views and enumerations are made of.

/// The view of a class: a record with an accessor per field. A row is `accessor: Type = "wire_name", "since when";`.
macro_rules! view {
    (
        $(#[$about:meta])*
        $view:ident = $class:literal, secret: $secret:literal;
        $($(#[$meta:meta])* $field:ident: $kind:ty = $wire:literal, $told:literal;)*
    ) => {
        $(#[$about])*
        #[doc = ""]
        #[doc = concat!("Fields without an accessor are had by name from the record of class `", $class, "`.")]
        #[derive(Clone, PartialEq, Eq)]
        pub struct $view(std::sync::Arc<crate::model::Record>);

        impl $view {
            /// The record behind the view.
            #[must_use]
            pub fn record(&self) -> &std::sync::Arc<crate::model::Record> {
                &self.0
            }

            /// The object's reference.
            #[must_use]
            pub fn reference(&self) -> crate::model::Ref<$view> {
                crate::model::Ref::new(self.0.reference.clone())
            }

            $(
                $(#[$meta])*
                #[doc = concat!("The field `", $class, ".", $wire, "`, ", $told, ".")]
                #[doc = ""]
                #[doc = "# Errors"]
                #[doc = "When the record lacks it or holds another type."]
                pub fn $field(&self) -> Result<$kind, crate::model::FieldError> {
                    self.0.field($wire)
                }
            )*
        }

        impl crate::model::FromRecord for $view {
            const SECRET: bool = $secret;

            fn from_record(record: std::sync::Arc<crate::model::Record>) -> Option<Self> {
                (record.class == $class).then_some($view(record))
            }
        }

        impl crate::model::Object for $view {
            const CLASS: &'static str = $class;

            fn record(&self) -> &std::sync::Arc<crate::model::Record> {
                &self.0
            }
        }

        impl TryFrom<std::sync::Arc<crate::model::Record>> for $view {
            type Error = crate::model::WrongClass;

            fn try_from(record: std::sync::Arc<crate::model::Record>) -> Result<Self, Self::Error> {
                let class = record.class.clone();
                crate::model::FromRecord::from_record(record)
                    .ok_or(crate::model::WrongClass { wanted: $class, found: class })
            }
        }

        impl std::fmt::Debug for $view {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, concat!(stringify!($view), "({})"), self.reference())
            }
        }
    };
}

/// An enumeration that keeps words it does not know. A row is `Variant = "word",`.
macro_rules! enumeration {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "` on the wire.")]
                $variant,
            )*
            /// A word that the schema does not know, of a newer pool. Made by `From`, which knows the others.
            Other(smol_str::SmolStr),
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Ok(word.into())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl crate::model::FromValue<'_> for $name {
            const WANTED: &'static str = "a word";

            fn from_value(value: &crate::value::Value) -> Option<Self> {
                value.as_str().map(Self::from)
            }
        }

        impl From<$name> for crate::value::Value {
            fn from(word: $name) -> Self {
                word.as_str().into()
            }
        }

        impl From<$name> for crate::query::Literal {
            fn from(word: $name) -> Self {
                crate::query::Literal::Word(word.as_str().into())
            }
        }
    };
}

pub(super) use {enumeration, view};
