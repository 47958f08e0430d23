"""markdown.js by node: which blocks and inlines a text has, what it may never become, and that no text is too much."""

import json
import random
import shutil
import subprocess
from collections.abc import Sequence

import pytest

from gateway.http.pages import FOLDER

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node here; the browser's tests remain")
WITHIN_S = 120
LONG_CHARS = 120_000  # where what is not linear takes longer than WITHIN_S
DEEP = 80  # levels of a tree: containers, and emphasis in their lines
RUN = f"""
import {{ readFileSync }} from "node:fs";
import {{ Growing, parse }} from "file://{FOLDER}/markdown.js";
const asked = JSON.parse(readFileSync(0, "utf8"));
function grown(text) {{
  const growing = new Growing(), shown = [];
  for (let end = 1; end <= text.length; end++) {{
    const {{ first, blocks }} = growing.read(text.slice(0, end), end < text.length);
    shown.splice(first, shown.length, ...blocks);
  }}
  return shown;
}}
function measured(node) {{
  let [nodes, depth, open] = [0, 0, [[node, 0]]];
  while (open.length) {{
    const [each, level] = open.pop();
    [nodes, depth] = [nodes + 1, Math.max(depth, level)];
    for (const child of Array.isArray(each) ? each : each.children || []) open.push([child, level + 1]);
  }}
  return {{ nodes, depth }};
}}
const does = {{ whole: (text) => parse(text), open: (text) => parse(text, true), grown,
  long: ([piece, times]) => measured(parse(piece.repeat(times), true)) }};
console.log(JSON.stringify(asked.map(([what, given]) => does[what](given))));
"""


def node(*asked: tuple[str, object]) -> list:
    """What markdown.js makes of each (whole | open | grown, text) or (long, (piece, times))."""
    ran = subprocess.run(["node", "--input-type=module", "-e", RUN], input=json.dumps(asked), capture_output=True,
                         text=True, timeout=WITHIN_S)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def shown(nodes: Sequence[object]) -> str:
    """Short for people: elements as <tag ...>...</tag>, fences and tables in words."""
    return "".join(each if isinstance(each, str) else one(each) for each in nodes)


def one(node: dict) -> str:
    tag = node["tag"]
    if tag == "fence":
        return f"<fence {node['language']}{' open' if node['open'] else ''}>{node['text']}</fence>"
    if tag == "table":
        rows = "/".join(",".join(shown(cell) for cell in row) for row in node["children"])
        return f"<table {' '.join(node['align'])}>{rows}</table>"
    if tag in ("br", "hr"):
        return f"<{tag}>"
    facts = {"href": node.get("href"), "start": node.get("start"), "checked": node.get("checked"),
             "loose": tag in ("ul", "ol") and not node["tight"] or None}
    told = "".join(f" {name}={value}" for name, value in facts.items() if value is not None)
    return f"<{tag}{told}>{shown(node['children'])}</{tag}>"


BLOCKS = {
    "# One\n###### six ##\n####### seven": "<h1>One</h1><h6>six</h6><p>####### seven</p>",
    "#hash\n# a#": "<p>#hash</p><h1>a#</h1>",
    "one\ntwo  \nthree\n\nfour": "<p>one<br>two<br>three</p><p>four</p>",
    "text\n---\n***": "<p>text</p><hr><hr>",
    "```py\na *b*\n\n  c\n```\nend": "<fence py>a *b*\n\n  c</fence><p>end</p>",
    "~~~\n```\n~~~\n````\n```\n````": "<fence >```</fence><fence >```</fence>",
    "```\nunfinished": "<fence  open>unfinished</fence>",
    "``` not ` a fence": "<p>``` not ` a fence</p>",
    "    code\n\n      more\ntext": "<fence >code\n\n  more</fence><p>text</p>",
    "> a\n> > b\n> - c\nout": "<blockquote><p>a</p><blockquote><p>b</p></blockquote><ul><li><p>c</p></li></ul>"
                              "</blockquote><p>out</p>",
    "- a\n- b\n\ntext": "<ul><li><p>a</p></li><li><p>b</p></li></ul><p>text</p>",
    "- a\n\n- b": "<ul loose=True><li><p>a</p></li><li><p>b</p></li></ul>",
    "3. c\n4. d": "<ol start=3><li><p>c</p></li><li><p>d</p></li></ol>",
    "1. a\n  - two spaces\n2. b": "<ol start=1><li><p>a</p><ul><li><p>two spaces</p></li></ul></li>"
                                   "<li><p>b</p></li></ol>",
    "- a\n    - four\n        - eight": "<ul><li><p>a</p><ul><li><p>four</p><ul><li><p>eight</p></li></ul></li></ul>"
                                        "</li></ul>",
    "- a\n\tb\nlazy": "<ul><li><p>a<br>b<br>lazy</p></li></ul>",
    "1. run\n   ```sh\nls\n```\n2. end": "<ol start=1><li><p>run</p><fence sh>ls</fence></li><li><p>end</p></li></ol>",
    "- [x] done\n- [ ] not\n- [x]no": "<ul><li checked=True><p>done</p></li><li checked=False><p>not</p></li>"
                                      "<li><p>[x]no</p></li></ul>",
    "* a\n+ b": "<ul><li><p>a</p></li></ul><ul><li><p>b</p></li></ul>",
    "It was\n1984. A year": "<p>It was<br>1984. A year</p>",
    "| a | b |\n|:-:|--:|\n| 1 | **2** \\| |\n| 3\nend":
        "<table center end>a,b/1,<strong>2</strong> |/3</table><p>end</p>",
    "a | b\n- | -\n1 | 2": "<table start start>a,b/1,2</table>",
    "text\na|b\n-|-": "<p>text</p><table start start>a,b</table>",
    "a | b\n--- | --- | ---": "<p>a | b<br>--- | --- | ---</p>",
    "a\r\nb\rc": "<p>a<br>b<br>c</p>",
    "": "",
}
INLINES = {
    "*a* _b_ **c** __d__ ***e*** ~~f~~ `g`": "<em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> "
                                             "<em><strong>e</strong></em> <del>f</del> <code>g</code>",
    "**a *b* c** *d **e***": "<strong>a <em>b</em> c</strong> <em>d <strong>e</strong></em>",
    "2 * 3 * 4, snake_case_name, *.py": "2 * 3 * 4, snake_case_name, *.py",
    "**日本語。**次": "<strong>日本語。</strong>次",
    "*a **b* c**": "<em>a **b</em> c**",
    "**** *a": "**** *a",
    "`` a`b `` ` ` `unclosed": "<code>a`b</code> <code> </code> `unclosed",
    "\\*a\\* \\\\ \\a \\`b`": "*a* \\ \\a `b`",
    r"\(a*b*c\) and $$x_1$$, \[y": r"<code>\(a*b*c\)</code> and <code>$$x_1$$</code>, \[y",
    "&lt;b&gt; &amp;amp; &copy; &#106;": "<b> &amp; &copy; &#106;",
    "a<br>b<BR/>c<i>d</i>": "a<br>b<br>c<i>d</i>",
    "[a *b*](https://c.de/x_(y) \"title\")": "<a href=https://c.de/x_(y)>a <em>b</em></a>",
    "[a](<https://c.de/ x>) [b](mailto:a@b.de) [](https://c.de)":
        "<a href=https://c.de/%20x>a</a> <a href=mailto:a@b.de>b</a> <a href=https://c.de/>https://c.de/</a>",
    "![alt](https://c.de/x.png)": "<a href=https://c.de/x.png>alt</a>",
    "see https://c.de/a_b*, (https://d.ef/x_(y)) or <https://g.hi>.":
        "see <a href=https://c.de/a_b>https://c.de/a_b</a>*, (<a href=https://d.ef/x_(y)>https://d.ef/x_(y)</a>) or "
        "<a href=https://g.hi/>https://g.hi</a>.",
    "http://[::1]:8080/x": "<a href=http://[::1]:8080/x>http://[::1]:8080/x</a>",
    "[a [b](https://c.de) d](https://e.fg)":
        "[a <a href=https://c.de/>b</a> d](<a href=https://e.fg/>https://e.fg</a>)",
}
NO_LINKS = ("[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](java\tscript:x)", "[a](&#106;avascript:x)",
            "[a](data:text/html,x)", "[a](vbscript:x)", "[a](file:///etc/passwd)", "[a](//c.de)", "[a](/models)",
            "[a](x)", "[a]( )", "<javascript:alert(1)>", "[a](\x01javascript:x)", "[a](blob:x)",
            "![a](data:image/png;base64,x)", "[a](https:c.de)", "[a](https:\\\\c.de)", "[a](http://)",
            "javascript:alert(1)", "[a](ftp://c.de)")
LIES = {
    "[https://bank.de](https://evil.org/x)": "(evil.org)", "[bank.de](https://bank.de.evil.org)": "(bank.de.evil.org)",
    "[www.bank.de/login](https://evil.org:8443)": "(evil.org:8443)", "https://bank.de@evil.org/": "(evil.org)",
    "[b\u0430nk.de](https://b\u0430nk.de)": "(xn--bnk-6cd.de)", "[you@bank.de](mailto:me@evil.org)": "(me@evil.org)",
    "[ba\u200bnk\u200b.\u2060de](https://evil.org)": "(evil.org)", "[bank\u3002de](https://evil.org)": "(evil.org)",
    "[bank\uff0ede](https://evil.org)": "(evil.org)", "[" + "\u00ad" * 999 + "bank.de](https://evil.org)": "(evil.org)",
}
TRUTHS = ("[bank.de](https://www.bank.de/x)", "[the bank](https://bank.de)", "https://bank.de/a.html",
          "[https://bank.de](https://bank.de/login)", "<you@bank.de>", "[you@bank.de](mailto:you@bank.de)")
ENDINGS = {  # a text that still grows
    "a **b": "<p>a <strong>b</strong></p>", "a **": "<p>a </p>", "a `b": "<p>a <code>b</code></p>",
    "a *b **c": "<p>a <em>b <strong>c</strong></em></p>",
    "a [b](https://c": "<p>a b</p>", "a [b](ht": "<p>a b</p>", "a [b": "<p>a [b</p>",
    "```py\na\n``": "<fence py open>a</fence>", "a\n\n**b\n\nc": "<p>a</p><p>**b</p><p>c</p>",
    "|a|b|\n|-|-|\n|1|**2": "<table start start>a,b/1,<strong>2</strong></table>",
}
PIECES = ("a", "word ", "*", "**", "`", "```", "```py\n", "\n", "\n", "\n\n", "- ", "1. ", "  ", "    ", "> ", "# ",
          "| ", "|-|-|\n", "a|b\n", "---\n", "[x](https://a.com)", "[", "](", "https://b.de/x", "![", "\\",
          "~~", "_", "<br>", "&lt;", "[ ] ", "\r\n", "\r", "\t", "$$", "\\(", "\\)", "1984. ")
TOO_MUCH = ("*", "_a", "**a ", "*a **b ", "`", "` ", "``a`", "> ", "> > a\n", "[", "[a](", "[](http://", "[a](http://x",
            "<", "<http://", "http://", "https://x.y/((((", "&amp;", "\\(", "$$a", "- ", "-\n", "1. 1. a", "  - a\n",
            " #", "|", "|a|b|\n|-|-|\n", "```\n", "~~a", "a", "\u202e", "\u001b[31m", "\r", "\t", "- a\n\n", "- ```\n",
            "x**y", "[x](https://a.com \"", "<br>", " ")


def test_blocks():
    assert dict(zip(BLOCKS, map(shown, node(*(("whole", text) for text in BLOCKS))), strict=True)) == BLOCKS


def test_inlines():
    found = node(*(("whole", text) for text in INLINES))
    assert dict(zip(INLINES, map(shown, found), strict=True)) == {
        text: f"<p>{wanted}</p>" for text, wanted in INLINES.items()}


def test_what_is_no_written_out_address_is_no_link():
    for text, found in zip(NO_LINKS, node(*(("whole", text) for text in NO_LINKS)), strict=True):
        assert "<a " not in shown(found) and shown(found).count("a") >= text.count("a"), text


def test_a_link_whose_text_names_another_place_shows_where_it_leads():
    for (text, place), found in zip(LIES.items(), node(*(("whole", text) for text in LIES)), strict=True):
        assert f"<span> {place}</span></a>" in shown(found), text
    for text, found in zip(TRUTHS, node(*(("whole", text) for text in TRUTHS)), strict=True):
        assert "<a " in shown(found) and "<span>" not in shown(found), text


def test_characters_that_act_are_seen_instead():
    text = "a\u202eb\u2066c\x1b[31md\x00e\x7f\x9bf\ttab"
    whole, fence, kept = node(("whole", text), ("whole", f"```\n{text}\n```"), ("whole", "مرحبا \u200f\u200d\u00e9"))
    seen = "a\u27e8U+202E\u27e9b\u27e8U+2066\u27e9c\u241b[31md\u2400e\u2421\u27e8U+009B\u27e9f\ttab"
    assert shown(whole) == f"<p>{seen}</p>" and shown(fence) == f"<fence >{seen}</fence>"
    assert shown(kept) == "<p>مرحبا \u200f\u200d\u00e9</p>"


def test_what_is_begun_at_the_end_of_a_growing_text_is_shown_as_if_it_were_ended():
    assert dict(zip(ENDINGS, map(shown, node(*(("open", text) for text in ENDINGS))), strict=True)) == ENDINGS


@pytest.mark.parametrize("seed", range(3))
def test_a_text_that_grew_letter_by_letter_is_what_it_is_at_once(seed):
    drawn = random.Random(seed)
    texts = ["".join(drawn.choices(PIECES, k=drawn.randint(1, 40))) for _ in range(250)]
    found = node(*(("grown", text) for text in texts), *(("whole", text) for text in texts))
    for text, grown, whole in zip(texts, found, found[len(texts):], strict=False):
        assert shown(grown) == shown(whole), repr(text)


def test_no_text_takes_too_long_or_nests_too_deep():
    asked = [("long", (text, LONG_CHARS // len(text))) for text in TOO_MUCH]
    for text, found in zip(TOO_MUCH, node(*asked), strict=True):
        assert found["depth"] <= DEEP and found["nodes"] <= 2 * LONG_CHARS, repr(text)
    (deep,) = node(("whole", "\n".join("> - " * level + "*a **b " * level + "x" for level in range(60))))
    assert "x" in shown(deep)
