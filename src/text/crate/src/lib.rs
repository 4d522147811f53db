//! The C face of the crate: `fastchat_text.h` says what each function does and who owns what.
//! Every body runs inside `guard`, which turns errors and panics into a status and a message.

mod python;
mod template;
mod tokenizer;

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;
use std::sync::Once;

use template::ChatTemplate;
use tokenizer::Tokenizer;

/// How a call failed, as far as the caller's reaction differs. The numbers are those of the header.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    Invalid = 1,
    Raised = 2,
    Limit = 3,
    Panicked = 4,
}

#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

impl Failure {
    pub fn invalid(message: impl ToString) -> Failure {
        Failure { status: Status::Invalid, message: message.to_string() }
    }
}

#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct Ids {
    data: *mut u32,
    size: usize,
}

impl From<String> for Buffer {
    fn from(text: String) -> Buffer {
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        Buffer { data: bytes.as_mut_ptr(), size: bytes.len() }
    }
}

/// Frees what `Box::leak` gave away. A null pointer is an empty buffer.
unsafe fn free_slice<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)));
    }
}

unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, size)
    }
}

unsafe fn text<'a>(data: *const u8, size: usize, what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes(data, size))
        .map_err(|e| Failure::invalid(format!("{what} is not UTF-8 at byte {}", e.valid_up_to())))
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let cause = if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.as_str()
    } else {
        "unknown cause"
    };
    format!("internal error in the text library: {cause}")
}

/// Runs `body`; an error or a panic becomes a status and a message in `error`.
unsafe fn guard(error: *mut Buffer, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Status::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure { status: Status::Panicked, message: panic_message(payload) },
    };
    *error = failure.message.into();
    failure.status as i32
}

/// For questions whose answer to anything unexpected is a plain default.
fn guard_or<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(default)
}

#[no_mangle]
pub unsafe extern "C" fn fct_buffer_free(buffer: Buffer) {
    free_slice(buffer.data, buffer.size);
}

#[no_mangle]
pub unsafe extern "C" fn fct_ids_free(ids: Ids) {
    free_slice(ids.data, ids.size);
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_from_json(
    json: *const u8,
    json_size: usize,
    out: *mut *mut Tokenizer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = Tokenizer::from_json(bytes(json, json_size))?;
        *out = Box::into_raw(Box::new(tokenizer));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_from_bpe(
    vocab_json: *const u8,
    vocab_size: usize,
    merges: *const u8,
    merges_size: usize,
    config: *const u8,
    config_size: usize,
    out: *mut *mut Tokenizer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = Tokenizer::from_bpe(
            text(vocab_json, vocab_size, "vocab.json")?,
            text(merges, merges_size, "merges.txt")?,
            text(config, config_size, "the tokenizer's configuration")?,
        )?;
        *out = Box::into_raw(Box::new(tokenizer));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        guard_or((), || drop(Box::from_raw(tokenizer)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text_data: *const u8,
    text_size: usize,
    add_special_tokens: i32,
    parse_special: i32,
    out: *mut Ids,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let text = text(text_data, text_size, "the text to encode")?;
        let ids = (*tokenizer).encode(text, add_special_tokens != 0, parse_special != 0)?;
        let ids = Box::leak(ids.into_boxed_slice());
        *out = Ids { data: ids.as_mut_ptr(), size: ids.len() };
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const u32,
    num_ids: usize,
    skip_special_tokens: i32,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let ids = if num_ids == 0 { &[] } else { slice::from_raw_parts(ids, num_ids) };
        *out = (*tokenizer).decode(ids, skip_special_tokens != 0)?.into();
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_vocab_size(tokenizer: *const Tokenizer) -> usize {
    guard_or(0, || (*tokenizer).vocab_size())
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_token_to_id(
    tokenizer: *const Tokenizer,
    token: *const u8,
    token_size: usize,
    id: *mut u32,
) -> i32 {
    guard_or(0, || {
        let found = text(token, token_size, "token").ok().and_then(|t| (*tokenizer).token_to_id(t));
        found.map_or(0, |found| {
            *id = found;
            1
        })
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_id_to_token(tokenizer: *const Tokenizer, id: u32, token: *mut Buffer) -> i32 {
    guard_or(0, || {
        (*tokenizer).id_to_token(id).map_or(0, |found| {
            *token = found.into();
            1
        })
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_is_special(tokenizer: *const Tokenizer, id: u32) -> i32 {
    guard_or(0, || (*tokenizer).is_special(id) as i32)
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_is_byte_level(tokenizer: *const Tokenizer) -> i32 {
    guard_or(0, || (*tokenizer).is_byte_level() as i32)
}

#[no_mangle]
pub unsafe extern "C" fn fct_tokenizer_token_bytes(
    tokenizer: *const Tokenizer,
    id: u32,
    out: *mut u8,
    capacity: usize,
) -> usize {
    guard_or(0, || {
        let bytes = (*tokenizer).token_bytes(id);
        let count = bytes.len().min(capacity);
        if count > 0 {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, count);
        }
        bytes.len()
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_template_new(
    source: *const u8,
    source_size: usize,
    out: *mut *mut ChatTemplate,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let template = ChatTemplate::new(text(source, source_size, "the chat template")?)?;
        *out = Box::into_raw(Box::new(template));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_template_free(template: *mut ChatTemplate) {
    if !template.is_null() {
        guard_or((), || drop(Box::from_raw(template)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn fct_template_render(
    template: *const ChatTemplate,
    context: *const u8,
    context_size: usize,
    now: i64,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        *out = (*template).render(bytes(context, context_size), now)?.into();
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn fct_test_panic(error: *mut Buffer) -> i32 {
    guard(error, || panic!("on purpose"))
}
