//! CSV as Go's `encoding/csv` reads it, which is what Kubernetes reads its token file with: one record at a time,
//! fields of any number, quotes doubled inside quotes, blank lines passed over.

use zeroize::Zeroizing;

/// What a field may hold at most: a token is shorter, a list of groups hardly longer.
const FIELD_LIMIT: usize = 64 * 1024;
/// How many fields a record may have.
const FIELDS_LIMIT: usize = 64;

/// One record: fields that are zeroed on drop, since some are secrets.
pub(super) struct Record {
    /// The line it starts on, from 1.
    pub line: usize,
    /// At least one.
    pub fields: Vec<Zeroizing<String>>,
}

/// What is wrong, and where: line and column (in bytes) from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub column: usize,
    pub what: &'static str,
}

/// The records of a text.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Fails when the text isn't UTF-8.
    pub fn of(text: &'a [u8]) -> Result<Self, Fault> {
        let rest = std::str::from_utf8(text).map_err(|error| {
            let good = text.get(..error.valid_up_to()).unwrap_or_default();
            Fault {
                line: good.split(|byte| *byte == b'\n').count(),
                column: good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1,
                what: "this is not UTF-8; save the file as UTF-8",
            }
        })?;
        Ok(Self {
            rest,
            line: 1,
            column: 1,
            failed: false,
        })
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault {
            line: self.line,
            column: self.column,
            what,
        })
    }

    /// Takes the next character; a line's end, in either spelling, is `\n`.
    fn take(&mut self) -> Option<char> {
        if let Some(rest) = self.rest.strip_prefix("\r\n") {
            self.rest = rest;
            self.line += 1;
            self.column = 1;
            return Some('\n');
        }
        let next = self.rest.chars().next()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += next.len_utf8();
        }
        Some(next)
    }

    fn at_line_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('\n') || self.rest.starts_with("\r\n")
    }

    fn record(&mut self) -> Result<Option<Record>, Fault> {
        while !self.rest.is_empty() && self.at_line_end() {
            self.take();
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            if fields.len() == FIELDS_LIMIT {
                return self.fault("there are too many fields on this line");
            }
            let quoted = self.rest.starts_with('"');
            fields.push(if quoted { self.quoted()? } else { self.plain()? });
            if self.at_line_end() {
                self.take();
                return Ok(Some(Record { line, fields }));
            }
            // Both kinds of field end before a comma or at the line's end.
            self.take();
        }
    }

    fn plain(&mut self) -> Result<Zeroizing<String>, Fault> {
        let mut field = Zeroizing::new(String::new());
        while !self.at_line_end() && !self.rest.starts_with(',') {
            if self.rest.starts_with('"') {
                return self.fault("bare \" in a field without quotes; put the whole field in quotes and double it");
            }
            self.push(&mut field)?;
        }
        Ok(field)
    }

    fn quoted(&mut self) -> Result<Zeroizing<String>, Fault> {
        let (line, column) = (self.line, self.column);
        let mut field = Zeroizing::new(String::new());
        self.take();
        loop {
            if self.rest.is_empty() {
                let what = "a quote opens here and nothing closes it";
                return Err(Fault { line, column, what });
            }
            if !self.rest.starts_with('"') {
                self.push(&mut field)?;
                continue;
            }
            self.take();
            if self.rest.starts_with('"') {
                self.push(&mut field)?;
            } else if self.at_line_end() || self.rest.starts_with(',') {
                return Ok(field);
            } else {
                return self.fault("extraneous or missing \" in a quoted field; after the closing quote comes a comma");
            }
        }
    }

    fn push(&mut self, field: &mut String) -> Result<(), Fault> {
        if field.len() >= FIELD_LIMIT {
            return self.fault("the field is too long");
        }
        field.extend(self.take());
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record();
        self.failed = record.is_err();
        record.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<String>>, Fault> {
        let strings = |record: Record| record.fields.iter().map(|field| field.to_string()).collect();
        Records::of(text.as_bytes())?
            .map(|record| record.map(strings))
            .collect()
    }

    #[test]
    fn fields_are_read_as_go_reads_them() {
        for (text, fields) in [
            ("a,b,c\n", vec![vec!["a", "b", "c"]]),
            ("a,b,c", vec![vec!["a", "b", "c"]]),
            ("a,\"b,c\",\"d\"\"e\"\r\n", vec![vec!["a", "b,c", "d\"e"]]),
            ("\n\n a , b \n\n", vec![vec![" a ", " b "]]),
            (",,\n", vec![vec!["", "", ""]]),
            ("a,\n", vec![vec!["a", ""]]),
            ("a,", vec![vec!["a", ""]]),
            ("\"a\nb\",c\nd", vec![vec!["a\nb", "c"], vec!["d"]]),
            ("\"\",x\n", vec![vec!["", "x"]]),
            ("# no comment\n", vec![vec!["# no comment"]]),
            ("", vec![]),
        ] {
            assert_eq!(read(text).unwrap(), fields, "{text:?}");
        }
    }

    #[test]
    fn a_fault_has_its_place() {
        for (text, line, column) in [
            ("a,b\"c\n", 1, 4),
            ("x,y\n\"a\"b,c\n", 2, 4),
            ("x\n\n  ,\"open\nand on", 3, 4),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.line, fault.column), (line, column), "{text:?}: {fault:?}");
        }
        let fault = Records::of(b"ab\nc\xff").err().unwrap();
        assert_eq!((fault.line, fault.column), (2, 2));
    }
}
