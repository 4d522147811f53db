"""What record_goldens.py renders: conversations through the templates beside this file, and one-line snippets."""

SYSTEM = {"role": "system", "content": "Answer in one word."}
USER = {"role": "user", "content": "  What is 1 + 1?\n"}
ANSWER = {"role": "assistant", "content": "\nTwo. "}
AGAIN = {"role": "user", "content": "And 2 < 3 & \"so\"? 你好 🙂"}
CHAT = [SYSTEM, USER, ANSWER, AGAIN]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather <now> & \"later\"\nat a place, 例如 'Paris'",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city"},
                "unit": {"enum": ["c", "f"], "default": "c"},
                "days": {"type": "array", "items": {"type": "integer"}},
                "options": {
                    "type": "object",
                    "properties": {"wind": {"type": "boolean", "default": True}, "limit": {"type": ["number", "null"]}},
                    "required": ["wind"],
                },
                "scale": {"type": "number", "default": 0.5},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {}, "strict": True, "version": 1.0, "x": None}}
TOOLS = [WEATHER, CLOCK]
ARGUMENTS = {"place": "Zürich \"City\"", "days": [1, 2], "exact": True, "ratio": 1e-07, "big": 1e16, "none": None}
CALL = {"id": "call_0001", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
CALL9 = {**CALL, "id": "abcdef123"}
TEXT_CALL = {"type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
TOOL_CHAT = [
    SYSTEM,
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "name": "get_weather", "content": '{"sun": true}', "tool_call_id": "abcdef123"},
    {"role": "tool", "name": "get_weather", "content": "rain", "tool_call_id": "abcdef123"},
    {"role": "assistant", "content": "Rain, later sun."},
    {"role": "user", "content": "Thanks"},
]
TOOL_CHAT9 = [{**m, "tool_calls": [CALL9, CALL9]} if m.get("tool_calls") else m for m in TOOL_CHAT[1:]]
TEXT_CALL_CHAT = [
    {"role": "user", "content": "Time?"},
    {"role": "assistant", "content": None, "tool_calls": [TEXT_CALL, TEXT_CALL]},
    {"role": "tool", "content": "12:00"},
    {"role": "tool", "content": "12:01"},
]
THOUGHT = {"role": "assistant", "content": "<think>\n\nadd them\n</think>\n\nTwo."}
REASONED = {"role": "assistant", "content": "Two.", "reasoning_content": "\nadd\n"}
OLD_REASONED = {"role": "assistant", "content": "Two.", "thinking": "by counting"}
PARTS = [
    {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]},
]
BOS = {"bos_token": "<s>", "eos_token": "</s>"}
GO = {"add_generation_prompt": True}


def case(template, messages, tools=None, documents=None, **options):
    given = {"template": template, "messages": messages, "options": options}
    return {**given, **({"tools": tools} if tools is not None else {}), **({"documents": documents} if documents else {})}


RENDERS = [
    case("chatml.jinja", CHAT, **GO),
    case("chatml.jinja", CHAT[1:], **GO),
    case("chatml.jinja", []),
    case("chatml.jinja", PARTS),
    case("tools_xml.jinja", CHAT, **GO),
    case("tools_xml.jinja", TOOL_CHAT, TOOLS, **GO),
    case("tools_xml.jinja", TOOL_CHAT[1:], TOOLS),
    case("tools_xml.jinja", TOOL_CHAT[1:], []),
    case("thinking.jinja", CHAT, **GO),
    case("thinking.jinja", CHAT, enable_thinking=False, **GO),
    case("thinking.jinja", CHAT, enable_thinking=True, **GO),
    case("thinking.jinja", [USER, THOUGHT, AGAIN], **GO),
    case("thinking.jinja", [USER, THOUGHT]),
    case("thinking.jinja", [USER, REASONED]),
    case("thinking.jinja", [USER, OLD_REASONED]),
    case("thinking.jinja", [USER, REASONED, AGAIN, {**THOUGHT, "tool_calls": [CALL, TEXT_CALL]}], **GO),
    case("inst.jinja", CHAT, **BOS),
    case("inst.jinja", [USER, ANSWER, AGAIN], **BOS),
    case("inst.jinja", [USER, AGAIN], **BOS),
    case("inst.jinja", [SYSTEM, ANSWER], **BOS),
    case("inst.jinja", [USER]),
    case("header_tools.jinja", CHAT, **BOS, **GO),
    case("header_tools.jinja", CHAT, date_string="01 Jan 2025", **BOS, **GO),
    case("header_tools.jinja", TOOL_CHAT, TOOLS, **BOS, **GO),
    case("header_tools.jinja", TOOL_CHAT, TOOLS, tools_in_user_message=True, **BOS, **GO),
    case("header_tools.jinja", [SYSTEM], TOOLS, tools_in_user_message=True, **BOS),
    case("header_tools.jinja", TEXT_CALL_CHAT, **BOS),
    case("header_tools.jinja", [USER, {"role": "tool", "content": {"a": [1, 2.5, None]}}], **BOS),
    case("bracket_tools.jinja", CHAT, **BOS),
    case("bracket_tools.jinja", TOOL_CHAT9, TOOLS, **BOS),
    case("bracket_tools.jinja", TOOL_CHAT, TOOLS, **BOS),
    case("bracket_tools.jinja", [USER, USER], **BOS),
    case("bracket_tools.jinja", [USER, {"role": "tool", "content": {"content": {"x": 1}}, "tool_call_id": "a"}], **BOS),
    case("wide_bars.jinja", CHAT, **BOS, **GO),
    case("wide_bars.jinja", [SYSTEM, SYSTEM, USER, THOUGHT, AGAIN], **BOS, **GO),
    case("wide_bars.jinja", TEXT_CALL_CHAT, **BOS, **GO),
    case("wide_bars.jinja", TEXT_CALL_CHAT + [ANSWER], **BOS),
    case("turns.jinja", CHAT, **BOS, **GO),
    case("turns.jinja", PARTS, **BOS, **GO),
    case("turns.jinja", [USER, AGAIN], **BOS),
    case("turns.jinja", [{"role": "user", "content": 7}], **BOS),
    case("turns.jinja", [], **BOS),
    case("pipes.jinja", CHAT, **BOS, **GO),
    case("pipes.jinja", CHAT, **BOS),
    case("typed_macros.jinja", CHAT + [AGAIN], TOOLS, [{"title": "A", "text": "b"}], **GO),
    case("typed_macros.jinja", PARTS + TEXT_CALL_CHAT),
    case("typed_macros.jinja", [USER, {"role": "stop", "content": "x"}, AGAIN]),
]

VARIABLES = {
    "s": "  Hello, World \n",
    "csv": "a,b,,c",
    "items": [1, 2, 3],
    "d": {"b": 1, "a": [True, None, 1.5], "items": "member", "c": {"x": "it's", "y": 'say "hi"'}},
    "words": ["apple", "Banana", "cherry"],
    "people": [{"name": "Bo", "age": 3}, {"name": "Al", "age": 5}, {"name": "Cy"}],
    "n": 7,
    "f": 2.0,
    "t": True,
    "nothing": None,
    "cjk": "你好🙂é\u00a0\x7f\u2028",
    "html": "<a href='x'>&\"</a>",
}

_EXPRESSIONS = """
1.0
0.1 + 0.2
1e16
1e15
123456789012345680.0
1e-5
0.0001
-0.0
2 / 1
7 // 2
-7 // 2
-7 % 3
7 % -3
2 ** 10
2 ** -1
7 / 2
1e308 * 10
n
f
t
nothing
true
none
True and none
missing
missing.attribute
missing['x']
missing is defined
d.missing is defined
d.missing
d.missing.deeper
d['b']
d.a
d
items
[]
{}
()
(1,)
(1, 'a')
[1, 2.5, 'x', none, true, [1], {'k': 1e20}]
cjk
[cjk]
['a\\nb\\t\\\\']
["it's", 'say "hi"', 'both \\' and "']
words + ['x']
words ~ 1
1 ~ 2.0 ~ none ~ true
'a' * 3
'a' + 1
1 + missing
'x' + nothing
'a' 'b'
'\\x41\\u4f60\\101'
items[0]
items[-1]
items[5]
items[1:]
items[::-1]
items[:2]
s[1:5]
s[::-1]
s[-3:]
'你好🙂'[1]
'你好🙂'[::2]
s.strip()
s.lstrip()
s.rstrip() + '|'
'xxhixx'.strip('x')
'\\x1c a \\x1f'.strip() + '|'
'\\u200b a'.strip()|length
s | trim
s | trim | length
'--a--' | trim('-')
csv.split(',')
csv.split(',', 1)
csv.split(',', maxsplit=1)
csv.rsplit(',', 1)
'  a  b '.split()
'  a  b c '.split(none, 1)
'a b c'.rsplit(none, 1)
'  a  b  '.rsplit(maxsplit=1)
'  a  b  '.split(maxsplit=1)
'abc'.split('')
'a\\nb\\r\\nc\\n'.splitlines()
'a\\nb'.splitlines(true)
'a\\nb'.splitlines(keepends=True)
'aXbX'.replace('X', '-')
'aXbX'.replace('X', '-', 1)
'abc'.replace('', '.')
s.upper()
s.lower()
'hello wORLD'.title()
'hello wORLD'.capitalize()
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.endswith('bc')
'abc'.find('c')
'abc'.find('x')
'abcabc'.rfind('b')
'abc'.index('c')
'abc'.index('x')
'aaa'.count('a')
'123'.isdigit()
''.isdigit()
'abc'.isalpha()
'a1'.isalnum()
' '.isspace()
'ABC'.isupper()
'abc'.islower()
', '.join(words)
', '.join([1, 2])
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'7'.zfill(3)
'-7'.zfill(4)
'ab'.center(5, '*')
'abc'.center(6, '*')
'ab'.ljust(4) + '|'
'ab'.rjust(4)
'{} and {}'.format('a', 1)
'{0}-{x}'.format('a', x=2)
'{:>5}|{:.2f}'.format('a', 3.14159)
'%s is %d' % ('a', 3)
'%s' % 'x'
'%.2f' | format(3.14159)
d.items() | list
d.keys() | list
d.values() | list
d.get('b')
d.get('zz')
d.get('zz', 'fallback')
d['items']
d.c.x
items.index(2)
items.count(2)
items.append(4)
d.update({'x': 1})
d | tojson
d | tojson(indent=2)
d | tojson(indent=4, sort_keys=true)
d | tojson(sort_keys=True)
d | tojson(separators=(',', ':'))
cjk | tojson
cjk | tojson(ensure_ascii=true)
html | tojson
'\\x00\\x08\\x0c\\x1f/' | tojson
1e16 | tojson
1e-7 | tojson
2.0 | tojson
(1e308 * 10) | tojson
none | tojson
true | tojson
[] | tojson(indent=2)
{} | tojson(indent=2)
[[], {}, [1]] | tojson(indent=2)
{1: 2, none: 3, true: 4} | tojson
(1, 2) | tojson
missing | tojson
'a' | tojson(indent='\\t')
[1, [2]] | tojson(indent='--')
html
html | e
html | safe
words | length
words | first
words | last
words | join(', ')
words | sort
words | sort(case_sensitive=true)
words | reverse | list
words | map('upper') | list
words | map('length') | sum
people | map(attribute='name') | list
people | map(attribute='age', default=0) | list
people | selectattr('age') | list | length
people | selectattr('name', 'equalto', 'Al') | list
people | rejectattr('age', 'defined') | map(attribute='name') | join
people | selectattr('age', '>', 3) | map(attribute='name') | first
people | sort(attribute='name') | map(attribute='name') | join(',')
people | groupby('name') | length
items | select('odd') | list
items | reject('odd') | list
items | sum
items | max
items | min
[3, 1, 3] | unique | list
d | dictsort | first
d | items | list | length
d | length
d | list
'b' in d
'zz' not in d
2 in items
'ell' in s
missing | default('x')
nothing | default('x')
nothing | default('x', true)
'' | default('x', boolean=true)
'12' | int
'x' | int
'x' | int(5)
'1.5' | float
3.7 | int
3.14159 | round(2)
5 | string
2.0 | string
none | string
[1, 'a'] | string
'a,b' | replace(',', ';')
'hello world' | title
'hello' | upper
'hello' | capitalize
'a b c' | wordcount
'abcdefghij' | truncate(5)
'a\\nb' | indent(2)
'a\\nb' | indent(2, true)
[1, 2, 3, 4] | batch(2) | list
-3 | abs
'abc' | list
'abc' | reverse
'abc' | length
s is string
items is string
d is mapping
items is mapping
items is iterable
s is iterable
n is iterable
items is sequence
n is number
n is integer
f is float
f is integer
t is boolean
t is true
t is number
nothing is none
nothing is not none
n is odd
n is even
n is divisibleby 7
n is eq 7
n is in [7, 8]
n is sameas n
missing is undefined
'a' is lower
1 == 1.0
'1' == 1
true == 1
[1, 2] == [1, 2]
none == missing
missing == missing
1 < 2 < 3
'a' < 'b'
'a' < 1
not missing
missing or 'x'
'' or 0 or 'z'
1 and 2
'x' if n > 3 else 'y'
'x' if n > 30
range(3) | list
range(1, 10, 3) | list
dict(a=1, b=2)
dict(a=1) | tojson
namespace(a=1).a
raise_exception('boom')
raise_exception('boom ' ~ n)
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%d %b %Y')
strftime_now('')
undefined_function()
n.method()
s.nomethod()
s | nofilter
words | map('nofilter') | list
1 / 0
'abc'[10]
(1, 2)[0]
'a' ~ [1, 2.0]
loop is defined
messages
tools
documents
add_generation_prompt
{'a': 1}['a']
{'a': 1}.a
[1, 2] + [3]
[1, 2] * 2
(1, 2) + (3,)
'é'|length
'e\\u0301'|length
"a\\
b"
1_000
0x10
10 is divisibleby(5)
d.items()|length
people[0].name
people[0]['name']
people[-1].age
people[2].age is defined
people[0:2] | length
""".strip("\n").split("\n")

_BLOCKS = [
    "{% for x in items %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for x in items %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}",
    "{% for x in items %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in items %}{% if loop.previtem is defined %}{{ loop.previtem }}{% endif %}{% endfor %}",
    "{% for x in items %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in items if x != 2 %}{{ loop.index }}{{ x }}{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d | dictsort %}{{ k }}{% endfor %}",
    "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% for x in nothing %}a{% endfor %}",
    "{% for x in n %}a{% endfor %}",
    "{% for c in 'héy' %}{{ c }}.{% endfor %}",
    "{% for x in items %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in items %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in items recursive %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for i in items %}{% set x = i %}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(x=1, l=[]) %}{% for i in items %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }}{{ ns.l }}",
    "{% set ns = namespace() %}{{ ns.missing }}{{ ns.missing is defined }}",
    "{% set ns = namespace(found=false) %}{% for p in people %}{% if p.age is defined and p.age > 3 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set x %}block {{ n }}{% endset %}[{{ x }}]{{ x | upper }}",
    "{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(1, 2, 3) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m() %}{{ caller() }}!{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}",
    "{% filter upper %}abc{% endfilter %}",
    "{% with a = 1 %}{{ a }}{% endwith %}{{ a is defined }}",
    "{% raw %}{{ x }} {% generation %}{% endraw %}",
    "a {#- comment -#} b",
    "{# {% generation %} #}x",
    "  {% if true %}\n  yes\n  {% endif %}\nend",
    "{% if true %}\n\nx\n{% endif %}\n\n",
    "x\n",
    "x\n\n",
    "  {{ n }}  \n  {%- if t %} a {%- endif %}  b",
    "a\n    {%+ if t %}b{% endif %}",
    "{% if t +%}\nb{% endif %}",
    "    {# c #}\nx",
    "  {{- n -}}  x",
    "{% if n > 5 %}big{% elif n > 3 %}mid{% else %}small{% endif %}",
    "{% generation %}a{{ n }}{% endgeneration %}b",
    "{%- generation -%}  a  {%- endgeneration -%}  b",
    "{% for x in items %}{% generation %}{{ loop.index }}{{ x }}{% endgeneration %}{% endfor %}",
    "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "x\n{% generation %}\na\n{% endgeneration %}\nb",
    "{{ '{% generation %}' }}{{ \"}}\" }}",
    "a\r\nb\rc{{ 'd\r\ne' }}",
    "{{ 'unclosed }}",
    "{% if t %}never closed",
    "line\nline {{ n }\n",
    "{% endif %}",
    "{% unknown_tag %}",
    "\n\n{% for x in %}{% endfor %}",
    "{{ n | }}",
    "{% generation %}unclosed",
    "{{ messages[0]['role'] }}",
    "{% if messages[0] is defined %}a{% else %}b{% endif %}",
    "{% set messages = messages + [{'role': 'x'}] %}{{ messages[0].role }}",
    "{% if tools is not none %}a{% else %}b{% endif %}{% if tools %}c{% endif %}",
    "{{ {'a': 'x', 'b': [1, 2]} | tojson }}",
    "{%- for p in people | selectattr('age', 'defined') | sort(attribute='age', reverse=true) -%}{{ p.name }}{%- endfor -%}",
    "{% set x = {'a': 1} %}{% for k in x %}{{ k ~ x[k] }}{% endfor %}",
    "{%- set parts = [] -%}{%- for w in words -%}{%- set parts = parts + [w] -%}{%- endfor -%}{{ parts }}",
    "{% if 'b' in d and d.b %}{{ d.b }}{% endif %}",
    "{{ (words | map('lower') | list)[1] }}",
    "{{ \"a\\nb\" }}",
    "{% set s2 = s.strip().split(', ') %}{{ s2[0] }}{{ s2[1] }}{{ s2[-1] }}",
    "{{ raise_exception('Only user role') if n == 7 else 'ok' }}",
    "{% macro m(x) %}{{ raise_exception('in macro ' + x) }}{% endmacro %}{{ m('q') }}",
    "{% for x in items %}{{ raise_exception('in loop') }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}",
    "{% set j = joiner('|') %}{{ j() }}a{{ j() }}b",
    "{% import 'x' as y %}",
    "{% include 'x' %}",
    "{% do items %}",
    "{% for row in [[1, 2], [3, 4]] %}{% for x in row %}{{ loop.index }}{{ x }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for (a, b) in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}",
    "{% for a, b in [[1, 2], [3]] %}{{ a }}{{ b }};{% endfor %}",
    "{{ 'x' ~ ('y' if t) ~ ('z' if not t) }}",
    "{{- 'a' -}}\n{{- 'b' }}\n{{ 'c' -}}\n",
    "{%- if t -%}\n  x\n{%- endif -%}\n  y",
    "\ufefftext {{ n }}",
]

SNIPPETS = ["{{ " + expression + " }}" for expression in _EXPRESSIONS] + _BLOCKS
