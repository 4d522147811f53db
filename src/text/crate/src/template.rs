//! Chat templates: Jinja as transformers configures it, on MiniJinja.

use std::fmt;
use std::os::raw::c_char;

use minijinja::syntax::SyntaxConfig;
use minijinja::{escape_formatter, Environment, Error, ErrorKind, Value};
use serde_json::Value as Json;

use crate::python;
use crate::{Failure, Status};

/// Budget of a render, in MiniJinja's fuel: one unit is an instruction or 64 bytes of data. It grows with the input, and
/// its end bounds what a template can take: about 1 GiB and a few seconds. Two things escape it, so a template is still
/// something to choose with care, unlike messages: values nested tens of thousands deep exhaust the stack when they are
/// dropped, and `~` prints a value whose parts are shared many times over without counting.
const BASE_FUEL: u64 = 4 << 20;
const FUEL_PER_INPUT_BYTE: u64 = 1;
const MAX_FUEL: u64 = 16 << 20;

const NAME: &str = "chat_template";

/// The system time to show when the caller gave one (`strftime_now`).
#[derive(Clone, Copy)]
struct Now(i64);

/// What `raise_exception` throws, so that its message can be told from the engine's own errors.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Raised {}

pub struct ChatTemplate {
    source: String,
}

impl ChatTemplate {
    pub fn new(source: &str) -> Result<ChatTemplate, Failure> {
        let template = ChatTemplate { source: prepare(source) };
        template.environment(0)?;
        Ok(template)
    }

    pub fn render(&self, context: &[u8], now: i64) -> Result<String, Failure> {
        let context_size = context.len() as u64;
        let context: Json = serde_json::from_slice(context).map_err(|e| Failure::invalid(format!("context: {e}")))?;
        let mut environment = self.environment(context_size)?;
        environment.add_function("strftime_now", move |format: &str| strftime(format, Now(now)));
        let template = environment.get_template(NAME).map_err(describe)?;
        template.render(to_value(&context)).map_err(describe)
    }

    /// Compiling takes tens of microseconds, so every render makes its own environment with its own budget.
    fn environment(&self, input_size: u64) -> Result<Environment<'_>, Failure> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(describe)?);
        environment.set_fuel(Some((BASE_FUEL + FUEL_PER_INPUT_BYTE * input_size).min(MAX_FUEL)));
        environment.set_unknown_method_callback(python::method);
        environment.set_formatter(|out, state, value| match python::printed(state, value)? {
            Some(text) => escape_formatter(out, state, &Value::from(text)),
            None => escape_formatter(out, state, value),
        });
        minijinja_contrib::add_to_environment(&mut environment);
        python::add_filters(&mut environment);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template(NAME, &self.source).map_err(describe)?;
        Ok(environment)
    }
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

/// `datetime.now().strftime(format)`: local time, C locale.
fn strftime(format: &str, Now(seconds): Now) -> Result<String, Error> {
    let invalid = |message: &str| Error::new(ErrorKind::InvalidOperation, message.to_string());
    if format.is_empty() {
        return Ok(String::new());
    }
    // A leading blank tells an empty result (0 bytes) from a buffer that is too small.
    let format = std::ffi::CString::new(format!(" {format}")).map_err(|_| invalid("strftime_now: NUL in format"))?;
    let mut text = vec![0u8; 4096];
    let size = unsafe {
        let seconds: libc::time_t = if seconds < 0 { libc::time(std::ptr::null_mut()) } else { seconds as _ };
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&seconds, &mut parts).is_null() {
            return Err(invalid("strftime_now: the time is out of range"));
        }
        libc::strftime(text.as_mut_ptr() as *mut c_char, text.len(), format.as_ptr(), &parts)
    };
    if size == 0 {
        return Err(invalid("strftime_now: the result is too long"));
    }
    text.truncate(size);
    Ok(String::from_utf8_lossy(&text[1..]).into_owned())
}

fn describe(error: Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref::<Raised>() {
            return Failure { status: Status::Raised, message: message.clone() };
        }
        if current.downcast_ref::<Error>().is_some_and(|e| e.kind() == ErrorKind::OutOfFuel) {
            let message = "the template needs more work or memory than a render may take".to_string();
            return Failure { status: Status::Limit, message };
        }
        cause = current.source();
    }
    let what = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Failure::invalid(match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    })
}

fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::from(value),
            (_, Some(value)) => Value::from(value),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(to_value).collect::<Vec<_>>()),
        Json::Object(members) => Value::from_pairs(members.iter().map(|(key, value)| (key.as_str(), to_value(value)))),
    }
}

// --- the source text ---

/// What Jinja2 accepts and MiniJinja does not: other line ends, and the tags that mark what the assistant said, which
/// become a plain scope. Lines keep their numbers.
fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let size = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') => code_size(tag, "}}"),
            Some(b'%') => {
                let size = code_size(tag, "%}");
                let name = tag_name(&tag[..size]);
                if name == "raw" {
                    raw_size(tag, size)
                } else if let Some(plain) = scope_tag(&tag[..size], name) {
                    out.push_str(&plain);
                    rest = &tag[size..];
                    continue;
                } else {
                    size
                }
            }
            _ => 1,
        };
        out.push_str(&tag[..size]);
        rest = &tag[size..];
    }
    out.push_str(rest);
    out
}

/// Bytes of a tag up to its end, which does not count inside a string.
fn code_size(tag: &str, end: &str) -> usize {
    let bytes = tag.as_bytes();
    let mut quote = None;
    let mut at = 2;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(end.as_bytes()) => return at + end.len(),
            (None, _) => {}
        }
        at += 1;
    }
    tag.len()
}

fn tag_name(tag: &str) -> &str {
    let inside = tag[2..].trim_start_matches(['-', '+']).trim_start();
    let end = inside.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inside.len());
    &inside[..end]
}

/// Bytes of a raw block, from its opening tag to the end of its closing one.
fn raw_size(block: &str, opening: usize) -> usize {
    let mut at = opening;
    while let Some(next) = block[at..].find("{%") {
        at += next;
        let size = block[at..].find("%}").map_or(block.len() - at, |end| end + 2);
        if tag_name(&block[at..at + size]) == "endraw" {
            return at + size;
        }
        at += 2;
    }
    block.len()
}

/// `{% generation %}` as `{% with %}`: both are scopes that print what is in them.
fn scope_tag(tag: &str, name: &str) -> Option<String> {
    let plain = match name {
        "generation" => "with",
        "endgeneration" => "endwith",
        _ => return None,
    };
    let after = tag.find(name)? + name.len();
    let tail = tag[after..].trim_start().trim_start_matches(['-', '+']);
    (tail == "%}").then(|| tag.replacen(name, plain, 1))
}
