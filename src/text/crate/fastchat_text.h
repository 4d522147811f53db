/* Tokenizers and chat templates, from the Rust crate beside this header.
 *
 * Every text is a pointer and a length in bytes: UTF-8, not NUL-terminated, and it may contain NUL.
 * A function that can fail returns fct_status; then `error` (never null) holds a message, to be
 * freed with fct_buffer_free, and the other out-parameters are untouched. Panics inside the crate
 * come back as fct_panicked. Handles may be used from many threads at once; nothing here keeps a
 * pointer that the caller passed in. */
#ifndef FASTCHAT_TEXT_H
#define FASTCHAT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): C names, with the prefix for a namespace

typedef struct fct_tokenizer fct_tokenizer;
typedef struct fct_template fct_template;

/* Owned by the caller; freed with fct_buffer_free, fct_ids_free. `data` may be null when size is 0.
 */
typedef struct fct_buffer {
  char* data;
  size_t size;
} fct_buffer;

typedef struct fct_ids {
  uint32_t* data;
  size_t size;
} fct_ids;

enum {
  fct_ok = 0,
  fct_invalid = 1,  /* malformed input; the message says what and, for templates, on which line */
  fct_raised = 2,   /* the template called raise_exception; the message is its argument */
  fct_limit = 3,    /* the template ran out of its budget of work and memory */
  fct_panicked = 4, /* a bug in the crate or below it */
};
typedef int32_t fct_status;

void fct_buffer_free(fct_buffer buffer);
void fct_ids_free(fct_ids ids);

/* --- tokenizers --- */

/* A tokenizer from the text of a tokenizer.json. */
fct_status fct_tokenizer_from_json(const char* json,
                                   size_t json_size,
                                   fct_tokenizer** out,
                                   fct_buffer* error);

/* A byte-level BPE tokenizer from vocab.json and merges.txt. `config` is JSON:
 *   {"family": "qwen2" or "gpt2",            the pre-tokenizer pattern and normalization
 *    "add_prefix_space": bool,
 *    "added_tokens": [{"content", "id" (or absent), "special", "normalized", "lstrip", "rstrip",
 * "single_word"}]} */
fct_status fct_tokenizer_from_bpe(const char* vocab_json,
                                  size_t vocab_size,
                                  const char* merges,
                                  size_t merges_size,
                                  const char* config,
                                  size_t config_size,
                                  fct_tokenizer** out,
                                  fct_buffer* error);
void fct_tokenizer_free(fct_tokenizer* tokenizer);

/* parse_special 0: the names of special tokens inside the text are ordinary text. */
fct_status fct_tokenizer_encode(const fct_tokenizer* tokenizer,
                                const char* text,
                                size_t text_size,
                                int32_t add_special_tokens,
                                int32_t parse_special,
                                fct_ids* out,
                                fct_buffer* error);
/* Ids without a token are left out, as in the reference library. */
fct_status fct_tokenizer_decode(const fct_tokenizer* tokenizer,
                                const uint32_t* ids,
                                size_t num_ids,
                                int32_t skip_special_tokens,
                                fct_buffer* out,
                                fct_buffer* error);

/* Number of tokens, added ones included. */
size_t fct_tokenizer_vocab_size(const fct_tokenizer* tokenizer);
/* 1 and the id, or 0. */
int32_t fct_tokenizer_token_to_id(const fct_tokenizer* tokenizer,
                                  const char* token,
                                  size_t token_size,
                                  uint32_t* id);
/* 1 and the token's text as it stands in the vocabulary, or 0. */
int32_t fct_tokenizer_id_to_token(const fct_tokenizer* tokenizer, uint32_t id, fct_buffer* token);
int32_t fct_tokenizer_is_special(const fct_tokenizer* tokenizer, uint32_t id);
/* 1 if decoding is joining the tokens' bytes and nothing else (byte-level BPE). */
int32_t fct_tokenizer_is_byte_level(const fct_tokenizer* tokenizer);
/* The bytes a token stands for in a byte-level tokenizer: how many there are, and the first
 * `capacity` of them. */
size_t fct_tokenizer_token_bytes(const fct_tokenizer* tokenizer,
                                 uint32_t id,
                                 char* bytes,
                                 size_t capacity);

/* --- chat templates --- */

/* Compiles a template; a syntax error is fct_invalid with its line. */
fct_status fct_template_new(const char* source,
                            size_t source_size,
                            fct_template** out,
                            fct_buffer* error);
void fct_template_free(fct_template* chat_template);

/* Renders with the members of the JSON object `context` as variables. `now` is what strftime_now
 * tells, in seconds since 1970, or a negative number for the machine's clock. */
fct_status fct_template_render(const fct_template* chat_template,
                               const char* context,
                               size_t context_size,
                               int64_t now,
                               fct_buffer* out,
                               fct_buffer* error);

/* Panics on purpose and returns what the guard made of it: for tests. */
fct_status fct_test_panic(fct_buffer* error);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif
#endif /* FASTCHAT_TEXT_H */
