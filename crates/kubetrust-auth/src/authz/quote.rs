//! Quoting as Go's `%q` does it, since clients and tests compare these messages.

use std::fmt::Write as _;

/// A string, as `strconv.Quote` writes it.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        push(&mut quoted, character);
    }
    quoted.push('"');
    quoted
}

/// A list of strings: `["a" "b"]`.
pub(super) fn quote_list<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

fn push(quoted: &mut String, character: char) {
    let escaped = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        printable if is_printable(printable) => return quoted.push(printable),
        _ => "",
    };
    if !escaped.is_empty() {
        return quoted.push_str(escaped);
    }
    let code = u32::from(character);
    // Writing to a String does not fail.
    let _ = match code {
        0..=0x7f => write!(quoted, "\\x{code:02x}"),
        0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
}

/// Go prints letters, marks, numbers, punctuation, symbols and the ASCII space. Rust's escapes for debugging leave the
/// same alone, but for marks, which it escapes when they could join the quote.
fn is_printable(character: char) -> bool {
    match character.escape_debug().next() {
        Some('\\') => matches!(character, '\'' | '\u{300}'..='\u{36f}'),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, quoted) in [
            ("", r#""""#),
            ("pods", r#""pods""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("it's", r#""it's""#),
            ("nul\0", r#""nul\x00""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("zoë 日本", r#""zoë 日本""#),
            ("\u{ad}\u{200b}\u{e000}", r#""\u00ad\u200b\ue000""#),
            ("\u{10ffff}", r#""\U0010ffff""#),
            ("\u{a0}", r#""\u00a0""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_list(&["a", "b c"]), r#"["a" "b c"]"#);
        assert_eq!(quote_list::<&str>(&[]), "[]");
    }
}
