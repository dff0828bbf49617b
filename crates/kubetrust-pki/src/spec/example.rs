//! The table as a commented spec.

use super::table::{Absence, Field, Kind, ROOT};

const HEADER: &str = "\
# A cluster spec with every field there is. All but a host's name and addresses may be left out.
# Fields that are commented out (`#etcd:` and what is indented below it) only show what they would look like.
";

/// The widest comment.
const WIDTH: usize = 100;

/// A complete spec of a cluster of five hosts, each field with its doc and its default.
#[must_use]
pub fn example() -> String {
    let mut example = Example {
        text: HEADER.to_owned(),
    };
    if let Kind::Object(fields) = ROOT {
        for field in fields {
            example.text.push('\n');
            example.field(field, "", "");
        }
    }
    example.text
}

struct Example {
    text: String,
}

impl Example {
    /// Writes `field`: its comments after `margin`, and its name after `margin` too unless it is the `first` of a
    /// list item, whose margin has the dash.
    fn field(&mut self, field: &Field, margin: &str, first: &str) {
        let commented = if field.commented { "#" } else { "" };
        self.comments(field, margin);
        self.line(
            if first.is_empty() { margin } else { first },
            &format!("{commented}{}:", field.name),
        );
        match field.kind {
            Kind::Object(fields) if field.example.is_empty() => {
                let margin = format!("{margin}{commented}  ");
                for field in fields {
                    self.field(field, &margin, "");
                }
            }
            Kind::List {
                item: Kind::Object(fields),
                ..
            } => {
                for (i, field) in fields.iter().enumerate() {
                    let first = if i == 0 { format!("{margin}  - ") } else { String::new() };
                    self.field(field, &format!("{margin}    "), &first);
                }
                field
                    .example
                    .lines()
                    .for_each(|item| self.line(&format!("{margin}  - "), item));
            }
            _ => {
                self.text.pop();
                self.line(" ", field.example);
            }
        }
    }

    fn comments(&mut self, field: &Field, margin: &str) {
        let default = match field.absence {
            Absence::Required => " Required.".to_owned(),
            // Its fields have defaults of their own.
            Absence::Default("{}") => String::new(),
            Absence::Default("[]") => " Default: none.".to_owned(),
            Absence::Default(default) | Absence::Means(default) => format!(" Default: {default}."),
        };
        let margin = format!("{margin}# ");
        self.wrapped(&margin, "", &format!("{}{default}", field.doc));
        if let Kind::Text(format)
        | Kind::List {
            item: Kind::Text(format),
            ..
        } = &field.kind
            && format.choices.len() > 1
        {
            for choice in format.choices {
                self.wrapped(
                    &format!("{margin}  "),
                    "  ",
                    &format!("{}: {}", choice.name, choice.doc),
                );
            }
        }
    }

    /// Writes `text` in lines of at most [`WIDTH`], those after the first with a `hanging` margin.
    fn wrapped(&mut self, margin: &str, hanging: &str, text: &str) {
        let mut line = margin.to_owned();
        for word in text.split(' ') {
            if line.len() + word.len() > WIDTH {
                self.line(line.trim_end(), "");
                line = format!("{margin}{hanging}");
            }
            line.extend([word, " "]);
        }
        self.line(line.trim_end(), "");
    }

    fn line(&mut self, margin: &str, text: &str) {
        self.text.extend([margin, text, "\n"]);
    }
}
