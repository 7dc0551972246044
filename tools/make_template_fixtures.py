#!/usr/bin/env python3
"""Writes tests/fixtures/chat_templates.json: templates of our own that use each construct of the
Jinja subset, and what transformers renders for them. src/text/chat_template_test.cc compares ours.

    pip install transformers jinja2          # made with transformers 5.24, jinja2 3.1.6
    python tools/make_template_fixtures.py [--templates FOLDER]

A case: name, template, and what it is given (messages, tools, variables, ...); `output`, or where
transformers raises, null. With a folder of published templates, also writes
tests/fixtures/published_templates.json: what each gives for the conversations below. The templates
themselves are not ours and are not copied; the test reads them where they are.

--check FILE... instead renders each template over the conversations and prints cases as JSON.
"""

import argparse
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"

USER = {"role": "user", "content": "What is 2+2?"}
BOT = {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nIt is 4."}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather \u2013 \"now\"",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "id": "abcdefghi", "function": {"name": "weather", "arguments": {"city": "Köln"}}}],
}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "12 °C, rain"}

CONVERSATIONS = {
    "one turn": {"messages": [USER]},
    "system": {"messages": [{"role": "system", "content": "Be brief. "}, USER]},
    "history": {"messages": [USER, BOT, {"role": "user", "content": " And 3+3? \n"}]},
    "no prompt": {"messages": [USER, BOT], "add_generation_prompt": False},
    "tools": {"messages": [{"role": "system", "content": "Use tools."}, USER], "tools": [TOOL]},
    "tool call": {"messages": [USER, CALL, RESULT, {"role": "user", "content": "Thanks"}], "tools": [TOOL]},
    "unicode": {"messages": [{"role": "user", "content": "Grüße 你好 \U0001f600 <b>&amp;</b> 'q' \"d\" \\n"}]},
    "switches": {"messages": [USER], "variables": {"enable_thinking": False, "date_string": "1 Jan 2026"}},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]}]},
}

# Templates that are one expression or a few lines, over `v` below.
V = {
    "s": "Hello, World", "u": "naïve 你好 straße", "e": "", "pad": "  \t padded \n ", "n": 7, "neg": -7,
    "f": 2.5, "big": 1e22, "tiny": 1.5e-7, "whole": 3.0, "t": True, "no": False, "nil": None,
    "l": [3, 1, 2], "names": ["bob", "Al", "cy"], "empty": [], "d": {"b": 1, "a": {"x": [1, 2]}, "items": 5},
    "rows": [{"k": "x", "n": 2, "on": True}, {"k": "Y", "n": 1, "on": False}, {"k": "x", "n": 3, "on": True}],
    "quote": "it's \"so\"\n\t\x01\u200b", "html": "<a href='x'>&</a>", "lines": "one\n\n  two\r\nthree",
}

EXPRESSIONS = """
1 + 2 * 3 - 4 // 3
7 / 2
-7 // 2
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
1e3
1_000 + 0x1F + 0b101 + 0o17
3.0
1e16
1e15 + 0.5
1e22
v.big
v.tiny
v.whole
0.1 + 0.2
100000000000000000000.0
1 / 3
-0.0
true
True and False
none
None is none
'a' 'b' "c"
'a' ~ 1 ~ none ~ true ~ 2.50
"tab\\tnl\\nq\\"u\\u00e9x\\x41o\\101 \\q"
'it''s'
[1, 'a', none, true, 2.0, [], {}, (1,), (1, 2), ()]
{'a': 1, 'b': [1, {'c': 'd'}], 3: 'three'}
v.quote
[v.quote]
["it's", 'say "hi"', "both ' and \\"", 'back\\\\slash', '\\n\\r\\t', 'é', '\u200b', '\U0001f600']
v.s[0] ~ v.s[-1] ~ v.s[1:4] ~ v.s[::-1] ~ v.s[-3:] ~ v.s[:-3] ~ v.s[::2] ~ v.s[10:2:-3]
v.u[2] ~ v.u[6:8] ~ v.u|length
v.l[0] + v.l[-1]
v.l[1:] ~ v.l[::-1] ~ v.l[5:]
v.l[100] is defined
v.s[100] is defined
(1, 2, 3)[1:]
v.d.b
v.d['b']
v.d.items is callable
v.d['items']
v.d.a.x[1]
v.d.missing is defined
v.d.missing
v.missing|default('x')
v.e|default('x')
v.e|default('x', true)
v.e|d('x', boolean=true)
nothing|default(none)
1 < 2 < 3
1 < 2 > 3
1 == 1.0
1 == true
'1' == 1
[1, 2] == [1, 2.0]
(1, 2) == [1, 2]
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
[1, 2] < [1, 3]
'a' < 'b' and 'B' < 'a'
none == false
nothing == nothing
1 in v.l
'World' in v.s
'' in v.s
'x' not in v.s
'b' in v.d
not 1 in v.l
not true or true
1 if v.t else 2
(1 if v.no)|string
1 if v.no else 2 if v.no else 3
v.e or 'otherwise'
v.s and v.n
[] or {} or 0
v.s is string
v.n is number
v.t is number
v.t is integer
v.n is integer
v.f is float
v.t is boolean
v.l is sequence
v.l is iterable
v.l is mapping
v.d is mapping
v.d is sequence
v.s is iterable
v.n is iterable
nothing is iterable
nothing is undefined
v.n is odd
v.n is even
v.n is divisibleby 7
v.n is divisibleby(2)
v.n is eq 7
v.n is equalto(8)
v.n is ne 8
v.n is gt 3
v.n is lessthan 3
v.n is ge(7)
v.n is in [7, 8]
v.t is true
v.no is false
v.n is true
v.nil is none
v.nil is not none
v.nil is sameas none
'abc' is lower
'ABC' is upper
v.n is not defined
'upper' is filter
'odd' is test
v.s|upper ~ v.s|lower
'hELLO wORLD'|capitalize
"it's a dog-day (of bob)"|title
"it's a dog-day".title()
v.u|upper
v.pad|trim ~ '|'
'xxaxx'|trim('x')
v.s|replace('l', 'L')
v.s|replace('l', 'L', 1)
v.s|length
v.l|length
v.d|length
v.l|first ~ v.l|last
v.empty|first is defined
v.s|first ~ v.s|last
v.l|join
v.l|join(', ')
v.rows|join('-', attribute='k')
v.l|sort
v.l|sort(reverse=true)
v.names|sort
v.names|sort(case_sensitive=true)
v.rows|sort(attribute='n')|map(attribute='n')|list
v.rows|sort(attribute='k,n')|map(attribute='n')|list
v.rows|map(attribute='k')|unique|list
['a', 'A', 'b']|unique|list
v.l|max ~ v.l|min ~ v.l|sum
v.rows|sum(attribute='n')
v.rows|sum('n', 10)
v.rows|max(attribute='n')
v.rows|selectattr('on')|list|length
v.rows|selectattr('k', 'equalto', 'x')|map(attribute='n')|list
v.rows|rejectattr('k', 'eq', 'x')|map(attribute='n')|join
v.rows|map(attribute='missing', default='?')|list
v.l|select('odd')|list
v.l|reject('>', 1)|list
[0, 1, '', 'a', none]|select|list
v.names|map('upper')|list
v.names|map('replace', 'b', 'B')|list
v.l|reverse|list
v.s|reverse
v.d|items|list
v.d|dictsort
{'b': 1, 'A': 2}|dictsort(false, 'value')
{'b': 1, 'A': 2}|dictsort(true)
v.l|batch(2)|list
v.l|batch(2, 0)|list
v.l|slice(2)|list
v.l|slice(2, 'x')|list
v.s|list
v.d|list
'42'|int + '4.7'|int + 'x'|int(5) + 3.9|int
'ff'|int(base=16) + '0x1f'|int(0, 16)
'3.5'|float + 'x'|float(1.5) + 2|float
-5|abs
2.5|round ~ ' ' ~ 3.5|round ~ ' ' ~ 2.675|round(2) ~ ' ' ~ 7|round
2.1|round(method='ceil') ~ 2.19|round(1, 'floor')
v.lines|indent
v.lines|indent(2, true)
v.lines|indent(2, first=true, blank=true)
v.lines|indent('> ')
'a long line of words to cut'|truncate(12)
'a long line of words to cut'|truncate(12, true)
'a long line of words to cut'|truncate(12, true, '!', 0)
'two words, three'|wordcount
'mid'|center(9) ~ '|'
v.html|escape
v.html|e ~ '<'
(v.html|e) + '<'
(v.html|safe) + '<'
v.html|safe
7|string + '1'
v|tojson
v.d|tojson
v.d|tojson(indent=2)
v.d|tojson(indent='\\t')
v.empty|tojson(indent=2)
v.quote|tojson
v.u|tojson(ensure_ascii=true)
'\U0001f600'|tojson(ensure_ascii=true)
v.d|tojson(separators=(',', ':'))
v.d|tojson(sort_keys=true)
[1.0, 1e22, true, none, (1, 2)]|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
v.pad.strip() ~ '|' ~ v.pad.lstrip() ~ '|' ~ v.pad.rstrip() ~ '|'
'xyxaxy'.strip('xy')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
'a,b,c'.rsplit(',', 1)
'a</think>b</think>c'.split('</think>')[-1]
v.lines.splitlines()
'k=v=w'.partition('=') ~ 'kv'.partition('=') ~ 'k=v=w'.rpartition('=')
v.s.startswith('Hell') ~ v.s.endswith(('x', 'ld')) ~ v.s.startswith('ello', 1)
v.s.find('o') ~ v.s.rfind('o') ~ v.s.find('zz') ~ v.u.find('好') ~ v.s.find('o', 5)
v.s.index('W') ~ v.s.count('l') ~ 'aaa'.count('') ~ v.s.count('l', 5)
v.s.upper() ~ v.s.lower() ~ v.s.swapcase() ~ 'aB'.capitalize()
v.s.replace('o', '0', 1) ~ 'ab'.replace('', '-')
'-'.join(['a', 'b']) ~ ', '.join(v.names)
'12'.isdigit() ~ 'ab'.isalpha() ~ 'a1'.isalnum() ~ ' '.isspace() ~ ''.isdigit() ~ 'Ab'.isupper()
'7'.zfill(3) ~ '-7'.zfill(4) ~ 'a'.ljust(3, '.') ~ 'a'.rjust(3)
'prefix-x'.removeprefix('prefix-') ~ 'x.py'.removesuffix('.py')
v.d.get('b') ~ v.d.get('zz') ~ v.d.get('zz', 5)
v.d.keys()|list ~ v.d.values()|list
v.l.index(1) ~ v.l.count(3)
range(5)|list ~ range(2, 8, 3)|list ~ range(3, 0, -1)|list
range(10)[2:4]|list
range(3)|length
dict(a=1, b=2)
dict([('x', 1)], y=2)
namespace(a=1).a
'ab' * 3 ~ [0] * 2
[1] + [2, 3]
(1,) + (2,)
'%' ~ 5 % 3
v.l.0 ~ v.l.2
(v.names|map('length')|list)[1]
v.s|upper|lower|title
-v.n|abs
(-v.n)|abs
not v.t
not v.empty and v.l
v['s'] ~ v["n"]
v.d.a['x'][0]
{'a': 1}.a ~ {'if': 1}['if']
[v.n, v.n + 1][v.no]
v.rows[0].k ~ v.rows|map(attribute='k')|first
v.l is not string and v.s is string
v.missing.deeper
v.s.missing()
v.nil.x
v.l.append(4)
v.n + 'x'
'x' + v.n
v.l < v.n
1 / 0
1 % 0
v.l|last(1)
v.s|nosuchfilter
v.s is nosuchtest
nosuchfunction()
none|length
v.n|length
none + 1
for
1 +
(1
[1, 2
'open
v.s | | upper
5 in 'abc'
raise_exception('refused')
{}|tojson ~ []|tojson
nothing|tojson
nothing.x
nothing + 1
nothing ~ 'x'
nothing|upper
nothing|length
nothing|list
nothing|join
nothing in [1]
range(100001)|length
'a'.split('')
[1, 'a']|sort
{}['x']['y']
true + true
true + 1.5
'abc'[1.5] is defined
'z' > 1
""".strip().split("\n")

LOOP = "{% for i in v.l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}"

TEMPLATES = {
    "text": "a\nb\n",
    "no newline at the end": "a\n\n",
    "carriage returns": "a\r\nb\rc\r\n",
    "trim block": "{% if true %}\n  x\n{% endif %}\ny",
    "trim only one newline": "{% if true %}\n\nx{% endif %}\n\ny",
    "variable keeps newline": "{{ 1 }}\n{{ 2 }}\n",
    "lstrip": "a\n  {% if true %}b{% endif %}\n  c",
    "lstrip at start": "   {% if true %}b{% endif %}",
    "lstrip not after text": "a  {% if true %}b{% endif %}",
    "lstrip after a tag": "{% if true %}  {% if true %}b{% endif %}{% endif %}",
    "lstrip after a trimmed tag": "{% if true %}\n  {% if true %}b{% endif %}{% endif %}",
    "lstrip not of variables": "a\n  {{ 1 }}",
    "lstrip of comments": "a\n  {# c #}\nb",
    "plus keeps indent": "a\n  {%+ if true %}b{% endif %}",
    "plus keeps newline": "{% if true +%}\nb{% endif %}",
    "minus both": "a \n\n {%- if true -%} \n\n b \n {%- endif -%} \n c",
    "minus of variables": "a \n {{- 1 -}} \n b",
    "minus of comments": "a \n {#- c -#} \n b",
    "comment that ends itself": "a{#-#}b{#+ x +#}\nc{##}\nd",
    "raw": "{% raw %}{{ x }}{% if %}{% endraw %}|",
    "raw minus": "a {%- raw -%} \n {{ x }} {%- endraw -%} \n b",
    "raw lines": "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\n  b",
    "braces": "{ {{ '{' }} } }} %} #} {{ {'a': {'b': 1}}['a']['b'] }}",
    "close within a string": "{{ '}}' }}{% if '%}' %}x{% endif %}",
    "wide spaces": "{{\u00a01\u2003}}|a\u00a0{{- 1 -}}\u00a0b",
    "lines in a tag": "{{ [1,\n 2]\n }}\n{% if\n true\n%}x{% endif %}",
    "data with crlf minus": "a\r\n  {%- if true %}\r\nb{% endif %}",
    "elif": "{% for x in [1,2,3,4] %}{% if x == 1 %}a{% elif x == 2 %}b{% elif x == 3 %}c{% else %}d{% endif %}{% endfor %}",
    "loop": LOOP,
    "loop else": "{% for x in [] %}x{% else %}none{% endfor %}{% for x in [1] %}x{% else %}none{% endfor %}",
    "loop filter": "{% for x in v.l if x > 1 %}{{ x }}/{{ loop.length }}{{ loop.last }} {% else %}none{% endfor %}",
    "loop filter none": "{% for x in v.l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "loop unpack": "{% for k, x in v.d.items() %}{{ k }}={{ x }};{% endfor %}",
    "loop unpack nested": "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "loop unpack too many": "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "loop dict": "{% for k in v.d %}{{ k }}{% endfor %}",
    "loop string": "{% for c in v.u %}{{ c }}.{% endfor %}",
    "loop number": "{% for c in 5 %}{{ c }}{% endfor %}",
    "loop undefined": "{% for c in nothing %}{{ c }}{% else %}none{% endfor %}",
    "loop none": "{% for c in none %}{{ c }}{% endfor %}",
    "loop nested": "{% for a in [1,2] %}{% for b in [3,4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }}{% endfor %}",
    "loop cycle": "{% for a in [1,2,3] %}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "loop changed": "{% for a in [1,1,2,2,1] %}{{ loop.changed(a) }}{% endfor %}",
    "loop of tuple": "{% for a in 1, 2, 3 %}{{ a }}{% endfor %}",
    "loop slices": "{% for m in v.rows[1:] %}{{ m.n }}{% endfor %}",
    "break": "{% for a in range(10) %}{% if a == 3 %}{% break %}{% endif %}{{ a }}{% endfor %}",
    "continue": "{% for a in range(5) %}{% if a is odd %}{% continue %}{% endif %}{{ a }}{% endfor %}",
    "break outside": "{% break %}",
    "loop does not leak": "{% set x = 1 %}{% for a in [1,2] %}{% set x = x + a %}{{ x }}{% endfor %}{{ x }}",
    "loop variable does not leak": "{% set a = 9 %}{% for a in [1,2] %}{{ a }}{% endfor %}{{ a }}",
    "if leaks": "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "set tuple": "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, %}{{ c }}",
    "set block": "{% set x %}a{{ 1 }}\nb{% endset %}[{{ x }}]{{ x|length }}",
    "set block filter": "{% set x | upper | replace('A', '4') %}abc{% endset %}{{ x }}",
    "set in a set block": "{% set y = 1 %}{% set x %}{% set y = 2 %}{{ y }}{% endset %}{{ x }}{{ y }}",
    "set in an if in a loop": "{% for i in [1] %}{% if true %}{% set z = 5 %}{% endif %}{{ z }}{% endfor %}{{ z }}",
    "namespace": "{% set ns = namespace(n=0, s='') %}{% for i in v.l %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.missing is defined }}",
    "namespace new attribute": "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}",
    "namespace from dict": "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}",
    "namespace underscore": "{% set ns = namespace() %}{% set ns._a = 1 %}{{ ns._a }}",
    "attribute of no namespace": "{% set d = {} %}{% set d.a = 1 %}",
    "macro": "{% macro f(a, b=2, c='x') %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c=4) }}{{ f(a=9, b=8) }}",
    "macro missing": "{% macro f(a) %}[{{ a }}{{ a is defined }}]{% endmacro %}{{ f() }}",
    "macro too many": "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}",
    "macro unknown": "{% macro f(a) %}{% endmacro %}{{ f(b=2) }}",
    "macro varargs": "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}",
    "macro sees globals": "{% set g = 1 %}{% macro f() %}{{ g }}{{ v.n }}{% set g = 5 %}{{ g }}{% endmacro %}{{ f() }}{{ g }}",
    "macro late binding": "{% macro f() %}{{ g }}{% endmacro %}{% set g = 3 %}{{ f() }}",
    "macro does not see the loop": "{% macro f() %}{{ i is defined }}{% endmacro %}{% for i in [1] %}{{ f() }}{% endfor %}",
    "macro recursion": "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "macro is text": "{% macro f() %} a {% endmacro %}{{ f()|trim|upper ~ f()|length }}",
    "macro default sees parameter": "{% macro f(a, b=a) %}{{ b }}{% endmacro %}{{ f(4) }}",
    "macro star": "{% macro f(a, b, c=0) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(1, **{'b': 3, 'c': 4}) }}",
    "call block": "{% macro f(x) %}<{{ caller() }}|{{ x }}>{% endmacro %}{% call f(1) %}in{{ v.n }}{% endcall %}",
    "call block parameters": "{% macro f() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b) f() %}{{ a }}{{ b }}{% endcall %}",
    "filter block": "{% filter upper | replace('B', '8') %}abc{{ v.s }}{% endfilter %}",
    "with": "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}{% endfor %}",
    "break out of a set block": "{% for i in [1,2] %}{% set x %}{{ i }}{% if i == 1 %}{% continue %}{% endif %}{% endset %}{{ x }}{% endfor %}",
    "not a tag": "{% nosuchtag %}",
    "include": "{% include 'x' %}",
    "unclosed if": "{% if true %}x",
    "unclosed for": "{% for a in b %}x{% endif %}",
    "unclosed variable": "{{ 1",
    "unclosed block": "{% if true",
    "unclosed comment": "{# a",
    "unclosed raw": "{% raw %}{{ x }}",
    "empty variable": "{{ }}",
    "stray end": "{% endfor %}",
    "stray bracket": "{{ (1] }}",
    "bad character": "{{ 1 $ 2 }}",
    "assign to a constant": "{% set true = 1 %}",
    "generator runs once": "{% set g = v.l|select('odd') %}{{ g|list }}{{ g|list }}",
    "generator is true": "{% if v.l|select('gt', 9) %}yes{% endif %}",
    "length of a generator": "{{ v.l|select('odd')|length }}",
    "items of undefined": "{% for k, x in nothing|items %}{{ k }}{% endfor %}|",
    "items twice": "{% for k, x in v.d|items %}{{ k }}{% endfor %}{{ v.d.items()|list|length }}",
    "messages": "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    "tools": "{% if tools %}{% for t in tools %}{{ t|tojson(indent=4) }}\n{% endfor %}{% endif %}{{ documents }}{{ custom is defined }}",
    "raise": "{% if messages|length != 7 %}{{ raise_exception('Expected 7 messages, got ' ~ messages|length) }}{% endif %}",
    "alternate roles": "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m.role[0] }}{% endfor %}",
    "long concatenation": "{{ " + " + ".join(["'a'"] * 60) + " }}",
    "last query": "{% set ns = namespace(multi=true, last=messages|length - 1) %}{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{% if ns.multi and m.role == 'user' and not (m.content.startswith('<r>') and m.content.endswith('</r>')) %}{% set ns.multi = false %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}",
}


def render(template, case):
    """What transformers gives, or None where it raises."""
    given = dict(case.get("variables", {}))
    for name in ("bos_token", "eos_token"):
        if name in case:
            given[name] = case[name]
    try:
        return _compile_jinja_template(template).render(
            messages=case.get("messages", []),
            tools=case.get("tools"),
            documents=None,
            add_generation_prompt=case.get("add_generation_prompt", True),
            **given,
        )
    except Exception as e:  # the template's own errors are of every kind
        case["why"] = f"{type(e).__name__}: {e}"
        return None


def cases_of(templates, conversations):
    for template_name, template in templates.items():
        for name, conversation in conversations.items():
            case = {"name": f"{template_name}: {name}", "template": template, "bos_token": "<s>",
                    "eos_token": "</s>", **conversation}
            case["output"] = render(template, case)
            yield case


def write(path, cases):
    for case in cases:
        case.pop("why", None)  # Python's words, not ours
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    print(f"{path}: {len(cases)} cases, {sum(c.get('output', '') is None for c in cases)} of them errors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    if args.check:
        templates = {p.name: p.read_text() for p in args.check}
        print(json.dumps(list(cases_of(templates, CONVERSATIONS))))
        return
    cases = []
    chat = {"messages": [USER, BOT], "tools": [TOOL], "bos_token": "<s>", "eos_token": "</s>"}
    for name, template in TEMPLATES.items():
        cases.append({"name": name, "template": template, **chat})
    for expression in EXPRESSIONS:
        cases.append({"name": expression, "template": "{{ " + expression + " }}"})
    for case in cases:
        case["output"] = render(case["template"], {**case, "variables": {"v": V}})
    write(FIXTURES / "chat_templates.json", [{"variables": {"v": V}}] + cases)
    if args.templates:
        templates = {p.name: p.read_text() for p in sorted(args.templates.glob("*.jinja"))}
        published = list(cases_of(templates, CONVERSATIONS))
        for case in published:
            case["template"] = case["name"].split(":")[0]
        write(FIXTURES / "published_templates.json", published)


if __name__ == "__main__":
    main()
