//! `resource.Quantity`: `100m`, `1.5Gi`, `2e3` (`apimachinery/pkg/api/resource/quantity.go`).

/// An amount, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `k`, `M`…
    Decimal,
    /// `Ki`, `Mi`…
    Binary,
    /// `e3`, `e6`…
    Exponent,
}

/// Why a text is no quantity, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The whole has another shape.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Shape,
    /// The number is none, or larger than some 10^29.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// No such unit.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
/// More are cut off by `i128` anyway.
const EXPONENT_MAX: i32 = 40;

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if text.is_empty() || fraction.contains('.') || !is_suffix(suffix) {
            return Err(Malformed::Shape);
        }
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| Malformed::Number)?;
        let digits = if text.starts_with('-') { -digits } else { digits };
        let places = i32::try_from(fraction.len()).map_err(|_| Malformed::Number)?;
        if let Some((_, power)) = BINARY.iter().find(|(unit, _)| *unit == suffix) {
            let scaled = digits.checked_mul(1 << power).ok_or(Malformed::Number)?;
            let nano = scale(scaled, 9 - places)?.min(i128::from(i64::MAX) * NANO);
            let format = if nano > 0 && nano < NANO {
                Format::Decimal
            } else {
                Format::Binary
            };
            return Ok(Self { nano, format });
        }
        let known = DECIMAL.iter().find(|(unit, _)| *unit == suffix);
        let (exponent, format) = if let Some((_, exponent)) = known {
            (*exponent, Format::Decimal)
        } else {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(Malformed::Suffix)?;
            (exponent.parse().map_err(|_| Malformed::Suffix)?, Format::Exponent)
        };
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return Err(Malformed::Number);
        }
        Ok(Self {
            nano: scale(digits, exponent + 9 - places)?,
            format,
        })
    }

    /// The amount in billionths, for comparing.
    #[must_use]
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Whether it is a whole number.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }
}

/// As upstream writes it: the largest unit that leaves a whole number.
impl std::fmt::Display for Quantity {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nano == 0 {
            return to.write_str("0");
        }
        if self.format == Format::Binary && self.nano.abs() >= 1024 * NANO {
            let mut number = divided_up(self.nano, NANO);
            let mut unit = "";
            for (name, _) in BINARY {
                if number % 1024 != 0 {
                    break;
                }
                number /= 1024;
                unit = name;
            }
            return write!(to, "{number}{unit}");
        }
        let (mut number, mut exponent) = (self.nano, -9);
        while number % 1000 == 0 && (exponent < 18 || self.format == Format::Exponent) {
            number /= 1000;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 {
                write!(to, "{number}")
            } else {
                write!(to, "{number}e{exponent}")
            };
        }
        let unit = DECIMAL
            .iter()
            .find(|(_, power)| *power == exponent)
            .map_or("", |(unit, _)| unit);
        write!(to, "{number}{unit}")
    }
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn is_suffix(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    rest.strip_prefix(['+', '-'])
        .unwrap_or(rest)
        .bytes()
        .all(|byte| byte.is_ascii_digit())
}

/// Times ten to the power; what does not divide is rounded away from zero.
fn scale(digits: i128, power: i32) -> Result<i128, Malformed> {
    if digits == 0 {
        return Ok(0);
    }
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    if power >= 0 {
        return factor
            .and_then(|factor| digits.checked_mul(factor))
            .ok_or(Malformed::Number);
    }
    Ok(factor.map_or(digits.signum(), |factor| divided_up(digits, factor)))
}

fn divided_up(number: i128, by: i128) -> i128 {
    number / by + (number % by).signum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_written_as_upstream_writes_them() {
        for (text, written) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("00", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1000000", "1M"),
            ("1024", "1024"),
            ("1024Mi", "1Gi"),
            ("1100Ki", "1100Ki"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.5Mi", "512Ki"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e6", "12e6"),
            ("5E", "5E"),
            ("1000E", "1000E"),
            ("-5m", "-5m"),
            ("+5", "5"),
            ("1.G", "1G"),
            (".5", "500m"),
            ("0.0000000001", "1n"),
            ("1e-10", "1e-9"),
            ("9Ei", "9223372036854775807"),
            ("0.1Ki", "102400m"),
        ] {
            assert_eq!(
                Quantity::parse(text).map(|quantity| quantity.to_string()),
                Ok(written.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for (text, why) in [
            ("", Malformed::Shape),
            ("1 Mi", Malformed::Shape),
            ("1.1.1", Malformed::Shape),
            ("abc", Malformed::Shape),
            ("1e", Malformed::Suffix),
            ("1KiB", Malformed::Shape),
            ("1K", Malformed::Suffix),
            ("1Kim", Malformed::Suffix),
            ("Mi", Malformed::Number),
            (".", Malformed::Number),
            ("1e99", Malformed::Number),
            ("1e99999999999", Malformed::Suffix),
            ("9999999999999999999999999999999999999999", Malformed::Number),
        ] {
            assert_eq!(Quantity::parse(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(text in "[-+]?[0-9]{0,6}(\\.[0-9]{0,4})?(Ki|Mi|Gi|m|k|M|e3|E|n)?") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let written = quantity.to_string();
                let again = Quantity::parse(&written).unwrap();
                prop_assert_eq!(again.to_string(), written);
            }
        }
    }
}
