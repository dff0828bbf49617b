//! Enums that the spec spells out.

/// One value of such an enum.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
}

/// Declares enums whose variants have a name in the spec (`Variant = "name"`). A variant's doc comment is also what
/// the JSON Schema and the example say about it.
macro_rules! choices {
    ($(
        $(#[$meta:meta])*
        $vis:vis enum $type:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $type {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $type {
            /// Every value, in the order in which it is documented.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value's name in the spec.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::spec::text::Text for $type {
            const WHAT: &'static str = concat!("one of", $(" `", $name, "`",)+);
            const CHOICES: &'static [$crate::spec::choice::Choice] = &[
                $($crate::spec::choice::Choice { name: $name, doc: concat!($($doc),+).trim_ascii() },)+
            ];

            fn parse(text: &str) -> Result<Self, $crate::spec::diagnostic::Problem> {
                let named = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                named.ok_or_else(|| $crate::spec::text::unknown_choice(text, Self::CHOICES))
            }
        }
    )+};
}

pub(super) use choices;
