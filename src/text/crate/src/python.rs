//! What templates written for Python's Jinja2 expect of values: their text, their JSON, their methods.
//!
//! MiniJinja prints and behaves much as Python does; this file has what is missing or differs.

use minijinja::value::{from_args, Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Deeper values than this are refused, so that no recursion here can exhaust the stack.
const MAX_DEPTH: usize = 500;
/// Text written between two payments of fuel.
const CHARGE_BYTES: usize = 4096;
/// One unit of MiniJinja's fuel pays for this much data.
const BYTES_PER_FUEL: usize = 64;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Text that grows within the budget of the render it belongs to. Values may share their parts, so a small value can
/// have a text that is too long for any memory.
struct Writer<'a, 'b, 'c> {
    out: String,
    state: &'a State<'b, 'c>,
    unpaid: usize,
    paid_size: usize,
}

impl<'a, 'b, 'c> Writer<'a, 'b, 'c> {
    fn new(state: &'a State<'b, 'c>) -> Self {
        Writer { out: String::new(), state, unpaid: 0, paid_size: 0 }
    }

    /// Called once per value: pays for the step and for what has been written since the last time.
    fn charge(&mut self) -> Result<(), Error> {
        self.unpaid += BYTES_PER_FUEL / 2 + (self.out.len() - self.paid_size);
        self.paid_size = self.out.len();
        if self.unpaid >= CHARGE_BYTES {
            self.state.consume_fuel((self.unpaid / BYTES_PER_FUEL) as u64)?;
            self.unpaid = 0;
        }
        Ok(())
    }
}

/// Arguments of a Python function, by position or by name.
struct Arguments {
    given: Vec<Option<Value>>,
    names: &'static [&'static str],
}

impl Arguments {
    fn new(args: &[Value], names: &'static [&'static str]) -> Result<Self, Error> {
        let mut positional = args;
        let mut kwargs = Kwargs::from_iter(std::iter::empty::<(&str, Value)>());
        if let Some((last, rest)) = args.split_last().filter(|(last, _)| last.is_kwargs()) {
            kwargs = Kwargs::try_from(last.clone())?;
            positional = rest;
        }
        if positional.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut given = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            given.push(match positional.get(index) {
                Some(value) => Some(value.clone()),
                None if kwargs.has(name) => Some(kwargs.get::<Value>(name)?),
                None => None,
            });
        }
        kwargs.assert_all_used()?;
        Ok(Arguments { given, names })
    }

    fn get(&self, name: &str) -> Option<Value> {
        let index = self.names.iter().position(|known| *known == name);
        index.and_then(|index| self.given[index].clone())
    }
}

// --- numbers and strings ---

fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}

/// `repr(float)`: the shortest digits that read back, with an exponent from 1e16 up and below 1e-4.
fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let fixed = value.to_string();
        return if fixed.contains('.') { fixed } else { fixed + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn float_of(value: &Value) -> f64 {
    f64::try_from(value.clone()).unwrap_or(f64::NAN)
}

/// Python's `str.isspace` for one character: Unicode white space and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Characters that `repr` of a string shows by their number: controls, blanks other than ' ', invisible marks.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || (c != ' ' && is_space(c))
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0001}'..='\u{e007f}'
            | '\u{f0000}'..='\u{10ffff}')
}

fn write_str_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_unprintable(c) => match c as u32 {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
            c => out.push(c),
        }
    }
    out.push(quote);
}

// --- printing ---

/// The text that `{{ value }}` gives in Python, where it differs from MiniJinja's own; `None` elsewhere.
pub fn printed(state: &State, value: &Value) -> Result<Option<String>, Error> {
    match value.kind() {
        ValueKind::Number if is_float(value) => Ok(Some(float_repr(float_of(value)))),
        ValueKind::Seq | ValueKind::Map => {
            let mut writer = Writer::new(state);
            write_repr(&mut writer, value, 0)?;
            Ok(Some(writer.out))
        }
        _ => Ok(None),
    }
}

fn write_repr(writer: &mut Writer, value: &Value, depth: usize) -> Result<(), Error> {
    writer.charge()?;
    if depth > MAX_DEPTH {
        return Err(invalid("the value to print is nested too deeply"));
    }
    match value.kind() {
        ValueKind::String => write_str_repr(&mut writer.out, value.as_str().unwrap_or_default()),
        ValueKind::Number if is_float(value) => writer.out.push_str(&float_repr(float_of(value))),
        ValueKind::Undefined => writer.out.push_str("Undefined"),
        ValueKind::Seq => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            writer.out.push(open);
            let mut count = 0;
            for item in value.try_iter()? {
                if count > 0 {
                    writer.out.push_str(", ");
                }
                write_repr(writer, &item, depth + 1)?;
                count += 1;
            }
            if count == 1 && value.is_tuple() {
                writer.out.push(',');
            }
            writer.out.push(close);
        }
        ValueKind::Map => {
            writer.out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    writer.out.push_str(", ");
                }
                write_repr(writer, &key, depth + 1)?;
                writer.out.push_str(": ");
                write_repr(writer, &value.get_item(&key)?, depth + 1)?;
            }
            writer.out.push('}');
        }
        _ => writer.out.push_str(&value.to_string()),
    }
    Ok(())
}

// --- json.dumps ---

struct JsonStyle {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

/// The `tojson` filter as transformers defines it: `json.dumps` with `ensure_ascii=False`, nothing escaped for HTML.
fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::new(&args.into_values(), &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let argument = |name| args.get(name).filter(|value| !value.is_none() && !value.is_undefined());
    let indent = match argument("indent") {
        None => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(i64::try_from(value)?.clamp(0, 64) as usize),
        }),
    };
    let (item_separator, key_separator) = match argument("separators") {
        None => ((if indent.is_some() { "," } else { ", " }).to_string(), ": ".to_string()),
        Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
    };
    let style = JsonStyle {
        ensure_ascii: argument("ensure_ascii").is_some_and(|v| v.is_true()),
        sort_keys: argument("sort_keys").is_some_and(|v| v.is_true()),
        indent,
        item_separator,
        key_separator,
    };
    let mut writer = Writer::new(state);
    write_json(&mut writer, value, &style, 0)?;
    Ok(Value::from(writer.out))
}

fn write_json(writer: &mut Writer, value: &Value, style: &JsonStyle, depth: usize) -> Result<(), Error> {
    writer.charge()?;
    if depth > MAX_DEPTH {
        return Err(invalid("the value for tojson is nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => writer.out.push_str("null"),
        ValueKind::Bool => writer.out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => writer.out.push_str(&json_number(value)),
        ValueKind::String => write_json_str(&mut writer.out, value.as_str().unwrap_or_default(), style.ensure_ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            writer.out.push('[');
            let mut empty = true;
            for item in value.try_iter()? {
                begin_item(writer, style, depth + 1, empty);
                write_json(writer, &item, style, depth + 1)?;
                empty = false;
            }
            end_items(writer, style, depth, empty);
            writer.out.push(']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            writer.out.push('{');
            for (index, key) in keys.iter().enumerate() {
                begin_item(writer, style, depth + 1, index == 0);
                match key.kind() {
                    ValueKind::String => {
                        write_json_str(&mut writer.out, key.as_str().unwrap_or_default(), style.ensure_ascii)
                    }
                    ValueKind::Number => writer.out.push_str(&format!("\"{}\"", json_number(key))),
                    ValueKind::Bool => writer.out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
                    ValueKind::None => writer.out.push_str("\"null\""),
                    kind => return Err(invalid(format!("a key for tojson must be a string, not {kind}"))),
                }
                writer.out.push_str(&style.key_separator);
                write_json(writer, &value.get_item(key)?, style, depth + 1)?;
            }
            end_items(writer, style, depth, keys.is_empty());
            writer.out.push('}');
        }
        ValueKind::Undefined => return Err(invalid("Object of type Undefined is not JSON serializable")),
        kind => return Err(invalid(format!("Object of type {kind} is not JSON serializable"))),
    }
    Ok(())
}

fn json_number(value: &Value) -> String {
    if !is_float(value) {
        return value.to_string();
    }
    let number = float_of(value);
    match (number.is_nan(), number.is_infinite()) {
        (true, _) => "NaN".into(),
        (_, true) => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ => float_repr(number),
    }
}

fn begin_item(writer: &mut Writer, style: &JsonStyle, depth: usize, first: bool) {
    if !first {
        writer.out.push_str(&style.item_separator);
    }
    if let Some(indent) = &style.indent {
        writer.out.push('\n');
        (0..depth).for_each(|_| writer.out.push_str(indent));
    }
}

fn end_items(writer: &mut Writer, style: &JsonStyle, depth: usize, empty: bool) {
    if let (Some(indent), false) = (&style.indent, empty) {
        writer.out.push('\n');
        (0..depth).for_each(|_| writer.out.push_str(indent));
    }
}

fn write_json_str(out: &mut String, text: &str, ensure_ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c < ' ' || (ensure_ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

// --- filters ---

/// Filters of Jinja2 whose MiniJinja twins take other arguments or give other results.
pub fn add_filters(environment: &mut Environment) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", trim);
    environment.add_filter("string", string);
    for name in ["e", "escape", "forceescape"] {
        environment.add_filter(name, escape);
    }
    for name in ["d", "default"] {
        environment.add_filter(name, default);
    }
    environment.add_filter("center", center);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("truncate", truncate);
}

fn trim(state: &mut State, value: &Value, chars: Option<Value>) -> Result<Value, Error> {
    let text = string(state, value)?;
    method(state, &text, "strip", chars.as_slice())
}

fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value.clone());
    }
    Ok(Value::from(printed(state, value)?.unwrap_or_else(|| value.to_string())))
}

fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    let text = string(state, value)?;
    let mut out = String::new();
    for c in text.as_str().unwrap_or_default().chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

fn default(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::new(&args.into_values(), &["default_value", "boolean"])?;
    let falsy = args.get("boolean").is_some_and(|v| v.is_true()) && !value.is_true();
    Ok(if value.is_undefined() || falsy {
        args.get("default_value").unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    })
}

/// A number as Python's int() and float() read it from a text: blanks around it, `_` between digits.
fn number_of(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { 1.0 } else { 0.0 }),
        ValueKind::Number => Some(float_of(value)),
        ValueKind::String => value.as_str()?.trim_matches(is_space).replace('_', "").parse().ok(),
        _ => None,
    }
}

fn int(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::new(&args.into_values(), &["default", "base"])?;
    if value.is_integer() && value.kind() == ValueKind::Number {
        return Ok(value.clone());
    }
    if let Some(text) = value.as_str() {
        let base = args.get("base").map_or(Ok(10), i64::try_from)?;
        let text = text.trim_matches(is_space).replace('_', "");
        let prefixes: &[&str] = match base {
            2 => &["0b", "0B"],
            8 => &["0o", "0O"],
            16 => &["0x", "0X"],
            _ => &[],
        };
        let digits = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(&text);
        if (2..=36).contains(&base) {
            if let Ok(number) = i128::from_str_radix(digits, base as u32) {
                return Ok(Value::from(number));
            }
        }
    }
    Ok(match number_of(value).filter(|number| number.is_finite()) {
        Some(number) => Value::from(number.trunc() as i128),
        None => args.get("default").unwrap_or_else(|| Value::from(0)),
    })
}

fn float(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::new(&args.into_values(), &["default"])?;
    Ok(match number_of(value) {
        Some(number) => Value::from(number),
        None => args.get("default").unwrap_or_else(|| Value::from(0.0)),
    })
}

fn wordcount(state: &State, value: &Value) -> Result<usize, Error> {
    let text = string(state, value)?;
    let is_border = |c: char| !(c.is_alphanumeric() || c == '_');
    Ok(text.as_str().unwrap_or_default().split(is_border).filter(|word| !word.is_empty()).count())
}

fn center(state: &mut State, value: &Value, width: Option<i64>) -> Result<Value, Error> {
    let text = string(state, value)?;
    method(state, &text, "center", &[Value::from(width.unwrap_or(80))])
}

fn truncate(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = Arguments::new(&args.into_values(), &["length", "killwords", "end", "leeway"])?;
    let number = |name, otherwise: usize| args.get(name).map_or(Ok(otherwise), usize::try_from);
    let (length, leeway) = (number("length", 255)?, number("leeway", 5)?);
    let end = args.get("end").map_or("...".to_string(), |v| v.to_string());
    let end_length = end.chars().count();
    if length < end_length {
        return Err(invalid(format!("expected length >= {end_length}, got {length}")));
    }
    let text = string(state, value)?;
    let text = text.as_str().unwrap_or_default();
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let kept: String = text.chars().take(length - end_length).collect();
    let killwords = args.get("killwords").is_some_and(|v| v.is_true());
    let kept = if killwords { &kept } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(Value::from(format!("{kept}{end}")))
}

// --- methods ---

/// Methods of strings, lists and dicts: those of this file, then those of minijinja-contrib.
pub fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => string_method(state, value.as_str().unwrap_or_default(), name, args)?,
        ValueKind::Seq => list_method(value, name, args)?,
        ValueKind::Map => dict_method(value, name, args)?,
        _ => None,
    };
    match found {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// The characters that a strip function removes: those given, or white space.
fn strips(chars: Option<&str>) -> impl Fn(char) -> bool + '_ {
    move |c| chars.map_or(is_space(c), |chars| chars.contains(c))
}

/// Makes sure of the fuel for a text of `size` bytes before it is made.
fn pay_for(state: &State, size: usize) -> Result<(), Error> {
    state.consume_fuel((size / BYTES_PER_FUEL) as u64)
}

fn string_method(state: &State, s: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let result = match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let strips = strips(chars);
            let s = if name == "rstrip" { s } else { s.trim_start_matches(&strips) };
            Value::from(if name == "lstrip" { s } else { s.trim_end_matches(&strips) })
        }
        "split" | "rsplit" => {
            let args = Arguments::new(args, &["sep", "maxsplit"])?;
            let separator = args.get("sep").filter(|v| !v.is_none());
            let limit = args.get("maxsplit").map_or(Ok(-1), i64::try_from)?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let parts = match separator.as_ref().map(|v| v.as_str()) {
                Some(None) => return Err(invalid("split() expects a string as separator")),
                Some(Some("")) => return Err(invalid("empty separator")),
                Some(Some(separator)) => split_at(s, separator, limit, name == "rsplit"),
                None => split_blanks(s, limit, name == "rsplit"),
            };
            pay_for(state, parts.len() * 32)?;
            parts.into_iter().map(Value::from).collect()
        }
        "splitlines" => {
            let args = Arguments::new(args, &["keepends"])?;
            let keep = args.get("keepends").is_some_and(|v| v.is_true());
            split_lines(s, keep).into_iter().map(Value::from).collect()
        }
        "replace" => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
            let count = usize::try_from(count.unwrap_or(-1)).unwrap_or(usize::MAX);
            let hits = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
            pay_for(state, s.len().saturating_add(hits.min(count).saturating_mul(new.len())))?;
            Value::from(s.replacen(old, new, count))
        }
        "format" => {
            pay_for_format(state, s, args)?;
            return Ok(None);
        }
        "join" => {
            let (values,): (&Value,) = from_args(args)?;
            let mut out = String::new();
            for (index, item) in values.try_iter()?.enumerate() {
                let Some(text) = item.as_str() else {
                    return Err(invalid(format!(
                        "sequence item {index}: expected str instance, {} found",
                        item.kind()
                    )));
                };
                pay_for(state, s.len() + text.len() + BYTES_PER_FUEL)?;
                if index > 0 {
                    out.push_str(s);
                }
                out.push_str(text);
            }
            Value::from(out)
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(s.strip_prefix(prefix).unwrap_or(s))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(s.strip_suffix(suffix).unwrap_or(s))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(invalid("empty separator"));
            }
            let parts = if name == "partition" {
                s.split_once(separator).map_or([s, "", ""], |(l, r)| [l, separator, r])
            } else {
                s.rsplit_once(separator).map_or(["", "", s], |(l, r)| [l, separator, r])
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "index" | "rindex" => {
            let (what,): (&str,) = from_args(args)?;
            let found = if name == "index" { s.find(what) } else { s.rfind(what) };
            let at = found.ok_or_else(|| invalid("substring not found"))?;
            Value::from(s[..at].chars().count())
        }
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            Value::from(if what.is_empty() { s.chars().count() + 1 } else { s.matches(what).count() })
        }
        "isspace" => {
            let () = from_args(args)?;
            Value::from(!s.is_empty() && s.chars().all(is_space))
        }
        "isdecimal" => {
            let () = from_args(args)?;
            Value::from(!s.is_empty() && s.chars().all(|c| c.is_ascii_digit()))
        }
        "casefold" => {
            let () = from_args(args)?;
            Value::from(s.to_lowercase())
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swap =
                |c: char| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() };
            Value::from(s.chars().map(swap).collect::<String>())
        }
        "ljust" | "rjust" | "center" | "zfill" => {
            let (width, fill): (i64, Option<&str>) = from_args(args)?;
            let missing = usize::try_from(width).unwrap_or(0).saturating_sub(s.chars().count());
            let fill = if name == "zfill" { "0" } else { fill.unwrap_or(" ") };
            pay_for(state, s.len().saturating_add(missing.saturating_mul(fill.len())))?;
            Value::from(match name {
                "ljust" => format!("{s}{}", fill.repeat(missing)),
                "center" => {
                    // CPython puts the odd blank to the left when the width is odd.
                    let left = missing / 2 + (missing & width as usize & 1);
                    format!("{}{s}{}", fill.repeat(left), fill.repeat(missing - left))
                }
                "zfill" if s.starts_with(['+', '-']) => format!("{}{}{}", &s[..1], fill.repeat(missing), &s[1..]),
                _ => format!("{}{s}", fill.repeat(missing)),
            })
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

/// Pays for the most that `str.format` can make: all widths in the format, and each field as long as the longest argument.
fn pay_for_format(state: &State, format: &str, args: &[Value]) -> Result<(), Error> {
    let widths = format
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .fold(0usize, |sum, digits| sum.saturating_add(digits.parse().unwrap_or(usize::MAX)));
    // In "{:{width}}" a number among the arguments is a width.
    let nested = format.split('{').any(|field| !field.is_empty() && !field.contains('}'));
    let mut values: Vec<Value> = Vec::new();
    for arg in args {
        if arg.is_kwargs() {
            for name in arg.try_iter()? {
                values.push(arg.get_item(&name)?);
            }
        } else {
            values.push(arg.clone());
        }
    }
    let mut longest = 64;
    for value in &values {
        longest = longest.max(match value.as_str() {
            Some(text) => text.len(),
            None if value.is_integer() && nested => {
                i64::try_from(value.clone()).map_or(usize::MAX, |number| number.unsigned_abs() as usize)
            }
            None => printed(state, value)?.map_or(0, |text| text.len()),
        });
    }
    let fields = format.matches('{').count();
    pay_for(state, widths.saturating_add(format.len()).saturating_add(fields.saturating_mul(longest)))
}

fn split_at<'a>(s: &'a str, separator: &str, limit: usize, from_right: bool) -> Vec<&'a str> {
    let parts = limit.saturating_add(1);
    if !from_right {
        return s.splitn(parts, separator).collect();
    }
    let mut found: Vec<&str> = s.rsplitn(parts, separator).collect();
    found.reverse();
    found
}

/// `split()` without a separator: runs of white space separate, and the ends give no empty parts.
fn split_blanks(s: &str, limit: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = if from_right { s.trim_end_matches(is_space) } else { s.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut.filter(|_| parts.len() < limit) else { break };
        let blank = rest[cut..].chars().next().map_or(0, char::len_utf8);
        if from_right {
            parts.push(&rest[cut + blank..]);
            rest = rest[..cut].trim_end_matches(is_space);
        } else {
            parts.push(&rest[..cut]);
            rest = rest[cut..].trim_start_matches(is_space);
        }
    }
    if !rest.is_empty() {
        parts.push(if from_right { rest.trim_start_matches(is_space) } else { rest.trim_end_matches(is_space) });
        // With a limit the unsplit rest keeps its inner blanks, and the blanks at its far end as Python does.
        if parts.len() > limit {
            *parts.last_mut().expect("just pushed") = rest;
        }
    }
    if from_right {
        parts.reverse();
    }
    parts
}

fn split_lines(s: &str, keep_ends: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c' | '\x1d' | '\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = s;
    while let Some(end) = rest.find(is_end) {
        let after = if rest[end..].starts_with("\r\n") {
            end + 2
        } else {
            end + rest[end..].chars().next().map_or(0, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { after } else { end }]);
        rest = &rest[after..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn list_method(value: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match name {
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|item| item == *what);
            at.map(|at| Some(Value::from(at))).ok_or_else(|| invalid(format!("{what} is not in list")))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(value.clone()))
        }
        // The reference renders in a sandbox that knows these and refuses them.
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse" => {
            Err(invalid(format!("a template may not change a list: {name}()")))
        }
        _ => Ok(None),
    }
}

fn dict_method(value: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match name {
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(value.clone()))
        }
        "pop" | "popitem" | "update" | "setdefault" | "clear" => {
            Err(invalid(format!("a template may not change a dict: {name}()")))
        }
        _ => Ok(None),
    }
}
