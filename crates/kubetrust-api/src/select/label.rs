//! Label selectors: `?labelSelector=app in (a,b),!legacy`, and `meta/v1 LabelSelector` objects.

use serde_json::{Map, Value};

use super::SELECTOR_MAX;
use crate::{
    meta,
    status::{Cause, Status},
    validate::{
        field::{self, Path},
        names,
    },
};

/// What an object's labels must be: all requirements hold. The empty one holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    /// Selects no object at all, as an absent `LabelSelector` does.
    nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; sorted, each once.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads `?labelSelector=`. 400 with upstream's words if it is none.
    pub fn parse(text: &str) -> Result<Self, Status> {
        if text.len() > SELECTOR_MAX {
            return Err(Status::bad_request(format!(
                "label selector is longer than {SELECTOR_MAX} bytes"
            )));
        }
        let tokens = scan(text);
        let mut requirements = Parser {
            tokens: &tokens,
            position: 0,
        }
        .parse()
        .map_err(Status::bad_request)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// From a `LabelSelector` object. An absent one selects nothing, an empty one everything. `Err` is the message of
    /// the first fault; `validate::meta::label_selector` finds all of them.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, String> {
        let Some(selector) = selector.filter(|selector| !selector.is_null()) else {
            return Ok(Self {
                requirements: Vec::new(),
                nothing: true,
            });
        };
        let mut requirements = Vec::new();
        for (key, value) in selector
            .get("matchLabels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(requirement(key, Operator::Equals, values)?);
        }
        for expression in selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(format!(
                        "{} is not a valid label selector operator",
                        field::go_quoted(other)
                    ));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            requirements.push(requirement(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// Whether it holds for these labels.
    #[must_use]
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it holds for the labels of this object.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        self.is_everything() || self.matches(meta::labels(object))
    }

    /// Whether it holds for all there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The one value that this label must have.
    #[must_use]
    pub fn requires_exact_match(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|requirement| requirement.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

impl Requirement {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key)?.as_str());
        let listed =
            || value.is_some_and(|value| self.values.binary_search_by(|other| other.as_str().cmp(value)).is_ok());
        let ordered = |holds: fn(&i64, &i64) -> bool| {
            let numbers = value
                .and_then(go_integer)
                .zip(self.values.first().and_then(|limit| go_integer(limit)));
            numbers.is_some_and(|(value, limit)| holds(&value, &limit))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => listed(),
            Operator::NotIn | Operator::NotEquals => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => ordered(i64::gt),
            Operator::LessThan => ordered(i64::lt),
        }
    }
}

/// As `strconv.ParseInt(…, 10, 64)`, which allows a plus sign, as Rust does.
fn go_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

impl std::fmt::Display for Selector {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                to.write_str(",")?;
            }
            let (key, values) = (&requirement.key, requirement.values.join(","));
            match requirement.operator {
                Operator::In => write!(to, "{key} in ({values})"),
                Operator::NotIn => write!(to, "{key} notin ({values})"),
                Operator::Equals => write!(to, "{key}={values}"),
                Operator::DoubleEquals => write!(to, "{key}=={values}"),
                Operator::NotEquals => write!(to, "{key}!={values}"),
                Operator::GreaterThan => write!(to, "{key}>{values}"),
                Operator::LessThan => write!(to, "{key}<{values}"),
                Operator::Exists => to.write_str(key),
                Operator::DoesNotExist => write!(to, "!{key}"),
            }?;
        }
        Ok(())
    }
}

/// Checks one condition as `labels.NewRequirement` does; `Err` is its message, all faults in one.
fn requirement(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Requirement, String> {
    let mut faults = Vec::new();
    let at = Path::new("values");
    faults.extend(key_fault(&Path::new("key"), key));
    let count_fault = match operator {
        Operator::In | Operator::NotIn if values.is_empty() => "for 'in', 'notin' operators, values set can't be empty",
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            "exact-match compatibility requires one single value"
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            "values set must be empty for exists and does not exist"
        }
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
            "for 'Gt', 'Lt' operators, exactly one value is required"
        }
        _ => "",
    };
    if !count_fault.is_empty() {
        faults.push(field::invalid(&at, values.as_slice(), count_fault));
    }
    for (index, value) in values.iter().enumerate() {
        let at = at.index(index);
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) && go_integer(value).is_none() {
            faults.push(field::invalid(
                &at,
                value,
                "for 'Gt', 'Lt' operators, the value must be an integer",
            ));
        }
        let bad = names::label_value(value);
        if !bad.is_empty() {
            faults.push(field::invalid(&at.key(key), value, &bad.join("; ")));
        }
    }
    if !faults.is_empty() {
        return Err(aggregate(&faults));
    }
    values.sort();
    values.dedup();
    Ok(Requirement {
        key: key.to_owned(),
        operator,
        values,
    })
}

fn key_fault(at: &Path<'_>, key: &str) -> Option<Cause> {
    let faults = names::qualified(key);
    (!faults.is_empty()).then(|| field::invalid(at, key, &faults.join("; ")))
}

/// As Go prints a list of errors.
fn aggregate(faults: &[Cause]) -> String {
    let texts: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field, fault.message))
        .collect();
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier(&'a str),
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

impl<'a> Token<'a> {
    /// As the input spells it.
    fn literal(self) -> &'a str {
        match self {
            Token::End => "",
            Token::Close => ")",
            Token::Comma => ",",
            Token::Not => "!",
            Token::DoubleEquals => "==",
            Token::Equals => "=",
            Token::Greater => ">",
            Token::Identifier(text) => text,
            Token::In => "in",
            Token::Less => "<",
            Token::NotEquals => "!=",
            Token::NotIn => "notin",
            Token::Open => "(",
        }
    }
}

/// Longest first.
const SYMBOLS: [(&str, Token<'static>); 9] = [
    ("==", Token::DoubleEquals),
    ("!=", Token::NotEquals),
    ("=", Token::Equals),
    ("!", Token::Not),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    (">", Token::Greater),
    ("<", Token::Less),
];

fn scan(text: &str) -> Vec<Token<'_>> {
    let is_space = |character: char| matches!(character, ' ' | '\t' | '\r' | '\n');
    let is_symbol = |character: char| matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let symbol = SYMBOLS
            .iter()
            .find_map(|(literal, token)| Some((rest.strip_prefix(literal)?, *token)));
        let (after, token) = symbol.unwrap_or_else(|| {
            let end = rest
                .find(|character| is_space(character) || is_symbol(character))
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let token = match word {
                "in" => Token::In,
                "notin" => Token::NotIn,
                other => Token::Identifier(other),
            };
            (after, token)
        });
        tokens.push(token);
        rest = after.trim_start_matches(is_space);
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    position: usize,
}

impl<'a> Parser<'a> {
    /// The token here, where `in` and `notin` are words like others.
    fn peek(&self) -> Token<'a> {
        match self.tokens.get(self.position).copied().unwrap_or(Token::End) {
            word @ (Token::In | Token::NotIn) => Token::Identifier(word.literal()),
            token => token,
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Identifier(_) | Token::Not => {
                    let parsed = self
                        .requirement()
                        .map_err(|why| format!("unable to parse requirement: {why}"))?;
                    requirements.push(parsed);
                    match self.next() {
                        Token::End => return Ok(requirements),
                        Token::Comma if matches!(self.peek(), Token::Identifier(_) | Token::Not) => {}
                        Token::Comma => {
                            let found = self.peek().literal();
                            return Err(format!("found '{found}', expected: identifier after ','"));
                        }
                        other => {
                            return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal()));
                        }
                    }
                }
                Token::End => return Ok(requirements),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.literal()
                    ));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Identifier(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.literal())),
        };
        // Upstream has no path at this point, and prints that.
        if let Some(fault) = key_fault(&Path::new("<nil>"), key) {
            return Err(aggregate(&[fault]));
        }
        if negated {
            return requirement(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return requirement(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort();
        values.dedup();
        requirement(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let token = self.tokens.get(self.position).copied().unwrap_or(Token::End);
        self.position += 1;
        match token {
            Token::In => Ok(Operator::In),
            Token::NotIn => Ok(Operator::NotIn),
            Token::Equals => Ok(Operator::Equals),
            Token::DoubleEquals => Ok(Operator::DoubleEquals),
            Token::NotEquals => Ok(Operator::NotEquals),
            Token::Greater => Ok(Operator::GreaterThan),
            Token::Less => Ok(Operator::LessThan),
            other => Err(format!(
                "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                other.literal()
            )),
        }
    }

    /// `(x,,y)`: empty values count.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.literal())),
        }
        let mut values = Vec::new();
        match self.peek() {
            Token::Close => {
                self.next();
                return Ok(vec![String::new()]);
            }
            Token::Identifier(_) | Token::Comma => {}
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.literal())),
        }
        loop {
            match self.next() {
                Token::Identifier(value) => {
                    values.push(value.to_owned());
                    match self.peek() {
                        Token::Comma => {}
                        Token::Close => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
                    }
                }
                Token::Comma => {
                    let after = self.peek();
                    if values.is_empty() || matches!(after, Token::Close | Token::Comma) {
                        values.push(String::new());
                    }
                    if after == Token::Close {
                        break;
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.literal())),
            }
        }
        self.next();
        Ok(values)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Identifier(value) => Ok(value.to_owned()),
            other => Err(format!("found '{}', expected: identifier", other.literal())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_and_select_as_upstreams_do() {
        let labels = json!({"x": "a", "y": "b", "n": "5", "e": ""});
        let labels = labels.as_object();
        for (text, canonical, selects) in [
            ("", "", true),
            ("x=a", "x=a", true),
            ("x==a", "x==a", true),
            ("x = a", "x=a", true),
            ("x=b", "x=b", false),
            ("x!=b,y", "x!=b,y", true),
            ("z!=b", "z!=b", true),
            ("x in (b,a)", "x in (a,b)", true),
            ("x in (b, a ,a)", "x in (a,b)", true),
            ("x notin (a)", "x notin (a)", false),
            ("z notin (a)", "z notin (a)", true),
            ("z in ()", "z in ()", false),
            ("e in ()", "e in ()", true),
            ("e=", "e=", true),
            ("e=,x=a", "e=,x=a", true),
            ("x in (,a)", "x in (,a)", true),
            ("x in (a,,b)", "x in (,a,b)", true),
            ("x in (a,)", "x in (,a)", true),
            ("x", "x", true),
            ("!x", "!x", false),
            ("! z", "!z", true),
            ("n>4,n<6", "n>4,n<6", true),
            ("n>5", "n>5", false),
            ("x>1", "x>1", false),
            ("in in (in,notin)", "in in (in,notin)", false),
            ("notin=in", "notin=in", false),
            ("y=b\t,\nx=a", "x=a,y=b", true),
            ("a.io/b in (c)", "a.io/b in (c)", false),
        ] {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.to_string(), canonical, "{text}");
            assert_eq!(selector.matches(labels), selects, "{text}");
            assert_eq!(Selector::parse(&selector.to_string()), Ok(selector), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_in_upstreams_words() {
        let key = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                   '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                     must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
                     regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        for (text, message) in [
            ("x a", "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt".to_owned()),
            ("=a", "found '=', expected: !, identifier, or 'end of string'".into()),
            ("x=a,", "found '', expected: identifier after ','".into()),
            ("x=a y", "found 'y', expected: ',' or 'end of string'".into()),
            ("x in a", "unable to parse requirement: found 'a' expected: '('".into()),
            ("x in", "unable to parse requirement: found '' expected: '('".into()),
            ("x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier".into()),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'".into()),
            ("x in (a,", "unable to parse requirement: found '', expected: ',', or identifier".into()),
            ("x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".into()),
            ("!", "unable to parse requirement: found '', expected: identifier".into()),
            ("x==(", "unable to parse requirement: found '(', expected: identifier".into()),
            ("!x=a", "found '=', expected: ',' or 'end of string'".into()),
            ("é=a", format!("unable to parse requirement: <nil>: Invalid value: \"é\": {key}")),
            ("x=-", format!("unable to parse requirement: values[0][x]: Invalid value: \"-\": {value}")),
            (
                "x>a",
                "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer".into(),
            ),
        ] {
            let status = Selector::parse(text).unwrap_err();
            assert_eq!((status.code, status.message), (400, message), "{text}");
        }
        assert_eq!(Selector::parse(&"x".repeat(SELECTOR_MAX + 1)).unwrap_err().code, 400);
    }

    #[test]
    fn a_zero_byte_ends_nothing() {
        Selector::parse("\0").unwrap_err();
        Selector::parse("x\0=a").unwrap_err();
    }

    #[test]
    fn selector_objects_select_as_upstreams_do() {
        let labels = json!({"a": "1", "b": "2"});
        for (object, selects) in [
            (json!(null), Ok(false)),
            (json!({}), Ok(true)),
            (json!({"matchLabels": {"a": "1"}}), Ok(true)),
            (json!({"matchLabels": {"a": "2"}}), Ok(false)),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "3"]}]}),
                Ok(true),
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}),
                Ok(false),
            ),
            (
                json!({"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}),
                Ok(true),
            ),
            (
                json!({"matchExpressions": [{"key": "c", "operator": "Exists"}]}),
                Ok(false),
            ),
            (
                json!({"matchExpressions": [{"key": "c", "operator": "Equals"}]}),
                Err("\"Equals\" is not a valid label selector operator"),
            ),
            (
                json!({"matchExpressions": [{"key": "c", "operator": "In"}]}),
                Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"),
            ),
        ] {
            let result = Selector::from_object(Some(&object)).map(|selector| selector.matches(labels.as_object()));
            assert_eq!(result, selects.map_err(str::to_owned), "{object}");
        }
        assert!(!Selector::from_object(None).unwrap().matches(None));
    }

    #[test]
    fn an_exact_match_is_found() {
        for (text, value) in [
            ("a=b", Some("b")),
            ("a in (b)", Some("b")),
            ("a in (b,c)", None),
            ("a!=b", None),
            ("b", None),
        ] {
            assert_eq!(
                Selector::parse(text).unwrap().requires_exact_match("a"),
                value,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[ a(),=!<>in\\-\u{0}é]{0,30}") {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}
