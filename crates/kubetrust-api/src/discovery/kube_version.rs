//! The order of versions by their names (`k8s.io/apimachinery/pkg/version`, `CompareKubeAwareVersionStrings`).

use std::cmp::{Ordering, Reverse};

/// Orders the more mature before the less mature: `v10`, `v2`, `v11beta2`, `v10beta3`, `v3alpha1`, then all other names
/// by letter.
#[must_use]
pub fn by_maturity(one: &str, other: &str) -> Ordering {
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => Reverse(one).cmp(&Reverse(other)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

/// Stability, major version and the number of the preview.
fn parse(name: &str) -> Option<(u8, u32, u32)> {
    let rest = name.strip_prefix('v')?;
    for (word, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

fn number(digits: &str) -> Option<u32> {
    (!digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_mature_version_comes_first() {
        let sorted = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
            "v",
            "v0",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|one, other| by_maturity(one, other));
        assert_eq!(names, sorted);
    }
}
