/* The inside of a paragraph: emphasis, code, links, line ends. Pure: text in, a list of strings and nodes out.

   A node is {tag, children} with the name of the element that shows it: em, strong, del, code, a (with href and place),
   br. One pass over the text. What is open is kept on stacks of limited depth, so that no text takes longer than in
   proportion to its length or nests deeper than they do: what does not fit stays text. A line end is a line end, as
   in most chats. Raw HTML is text, but for <br>. Images are links. Formulas stay as they are written.
   `open`: the text still grows, so that what is begun at its end is shown as if it were ended already.
*/

import { addressOf, placeToShow } from "./markdown_text.js";

const OPEN_MAX = 16; // emphasis or brackets that are open at once
const RUN_MAX = 3;
const UNFINISHED_MAX_CHARS = 120; // longer than that it was probably not meant
const PLAIN = /[^\\`*_~[\]!<&h\n$]+/y;
const RUN = { "*": /\*+/y, "_": /_+/y, "~": /~+/y, "`": /`+/y };
const SPACE = /\s/, WORD = /[\p{L}\p{N}_]/u, ESCAPED = /[!-/:-@[-`{-~]/;
const BARE = /https?:\/\/(?:\[[0-9a-f:.]{2,45}\])?[^\s<>"`[\]\\^{}|]{0,2000}/iy;
const POINTED = /<([^\s<>]{1,2000})>/y;
const BREAK = /<br ?\/?>/iy;
const TARGET = /\(\s{0,9}(?:<((?:https?:\/\/|mailto:)[^<>\n]{0,2000})>|((?:https?:\/\/|mailto:)[^\s<>]{0,2000}))/iy;
const TARGET_BEGUN = /\(\s{0,9}<?[a-z]{0,6}:?\/{0,2}$/iy;
const TITLE = /\s{1,9}(?:"[^"]{0,500}"|'[^']{0,500}')/y;
const ENTITY = /&(?:amp|lt|gt|quot|apos|nbsp|#39);/y;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'",
  "&nbsp;": "\u00a0" };
const FORMULAS = { "\\(": "\\)", "\\[": "\\]", "$$": "$$" };
const MAILBOX = /^[\w.+-]{1,64}@[\w.-]{1,255}$/;

export const inline = (text, open = false) => new Reader(text, open).read();

/* The text of children, without their nodes. */
export const plainText = (children) => children.map((each) =>
  typeof each === "string" ? each : each.tag === "br" ? "\n" : plainText(each.children)).join("");

function at(pattern, text, index) {
  pattern.lastIndex = index;
  return pattern.exec(text);
}

class Reader {
  constructor(text, open) {
    [this.text, this.open, this.index] = [text, open, 0];
    this.parts = []; // strings, nodes, and runs of marks that may still become emphasis
    this.runs = []; // those of them that may open, innermost last
    this.brackets = []; // index in parts of each "[" or "![" that may open a link
    this.missing = new Set(); // ends that do not come any more
    this.ticks = null; // length of a run of backticks -> where there are such runs, last first
  }

  read() {
    while (this.index < this.text.length) this.step();
    if (this.open) this.finish();
    return settle(this.parts);
  }

  say(text) {
    const last = this.parts.length - 1;
    if (typeof this.parts[last] === "string") this.parts[last] += text;
    else if (text) this.parts.push(text);
  }

  take(text) {
    this.say(text);
    this.index += text.length;
  }

  step() {
    const plain = at(PLAIN, this.text, this.index);
    if (plain) return this.take(plain[0]);
    const character = this.text[this.index];
    switch (character) {
      case "\n": return this.lineEnd();
      case "\\": return this.escape();
      case "`": return this.code();
      case "*": case "_": case "~": return this.marks(character);
      case "[": return this.bracket("[");
      case "!": return this.text[this.index + 1] === "[" ? this.bracket("![") : this.take("!");
      case "]": return this.link();
      case "<": return this.pointed();
      case "&": return this.entity();
      case "$": return this.text[this.index + 1] === "$" ? this.formula("$$") : this.take("$");
      default: return this.bare();
    }
  }

  node(node, length) {
    this.parts.push(node);
    this.index += length;
  }

  lineEnd() {
    this.node({ tag: "br", children: [] }, 1);
  }

  escape() {
    const next = this.text[this.index + 1];
    if (next === "\n") this.index += 1; // a line end of the other kind
    else if (next === "(" || next === "[") this.formula("\\" + next);
    else if (next && ESCAPED.test(next) && next !== ")" && next !== "]") {
      this.say(next);
      this.index += 2;
    } else this.take("\\");
  }

  formula(begin) {
    const from = this.index + begin.length, end = FORMULAS[begin];
    const to = this.missing.has(end) ? -1 : this.text.indexOf(end, from);
    if (to < 0) {
      this.missing.add(end);
      return this.take(begin);
    }
    const whole = this.text.slice(this.index, to + end.length);
    this.node({ tag: "code", children: [whole] }, whole.length);
  }

  code() {
    const run = at(RUN["`"], this.text, this.index)[0], from = this.index + run.length;
    const places = (this.ticks ??= placesOfTicks(this.text)).get(run.length) ?? [];
    while (places.length && places.at(-1) < from) places.pop();
    if (places.length) {
      const to = places.at(-1);
      return this.node(codeNode(this.text.slice(from, to)), to + run.length - this.index);
    }
    const rest = this.text.slice(from);
    if (this.open && run.length < RUN_MAX && rest.length < UNFINISHED_MAX_CHARS && !rest.includes("\n")) {
      if (rest) this.parts.push(codeNode(rest));
      this.index = this.text.length;
    } else this.take(run);
  }

  marks(character) {
    const run = at(RUN[character], this.text, this.index)[0], { length } = run;
    const before = this.text[this.index - 1] ?? " ", after = this.text[this.index + length] ?? " ";
    let opens = !SPACE.test(after), closes = !SPACE.test(before);
    if (character === "_") [opens, closes] = [opens && !WORD.test(before), closes && !WORD.test(after)];
    if (length > RUN_MAX || character === "~" && length !== 2) return this.take(run);
    const mark = { mark: character, count: length, opens, closes };
    this.index += length;
    if (closes) this.close(mark);
    if (!mark.count) return undefined;
    this.parts.push(mark);
    if (opens && this.runs.length < OPEN_MAX) this.runs.push(mark);
    return undefined;
  }

  close(mark) {
    while (mark.count) {
      const found = this.runs.findLastIndex((run) => run.mark === mark.mark && fits(run, mark));
      if (found < 0) return;
      const run = this.runs[found], count = Math.min(run.count, mark.count, 2);
      const children = settle(this.parts.splice(this.parts.lastIndexOf(run) + 1));
      this.brackets = this.brackets.filter((index) => index < this.parts.length);
      this.runs.length = found + 1;
      this.parts.push({ tag: mark.mark === "~" ? "del" : count === 2 ? "strong" : "em", children });
      mark.count -= count;
      run.count -= count;
      if (!run.count) {
        this.parts.splice(this.parts.length - 2, 1);
        this.runs.pop();
      }
    }
  }

  bracket(mark) {
    if (this.brackets.length < OPEN_MAX) {
      this.brackets.push(this.parts.length);
      this.parts.push({ bracket: mark }); // text, if no link comes of it
      this.index += mark.length;
    } else this.take(mark);
  }

  link() {
    const from = this.brackets.pop();
    const target = from === undefined ? null : this.target(this.index + 1);
    if (!target) return this.take("]");
    const parts = this.parts.splice(from).slice(1);
    const children = unlinked(settle(parts));
    this.runs = this.runs.filter((run) => !parts.includes(run));
    this.brackets = [];
    if (target.url) this.parts.push(linkNode(target.url, children));
    else this.parts.push(...children);
    this.index = target.end;
    return undefined;
  }

  /* What follows a "]": {url, end}, without url while it is being written; null if it is no address to lead to. */
  target(index) {
    const found = at(TARGET, this.text, index);
    if (!found) return this.open && at(TARGET_BEGUN, this.text, index) ? { end: this.text.length } : null;
    let written = found[1] ?? found[2], end = TARGET.lastIndex;
    if (found[1] === undefined) {
      written = balanced(written);
      end = index + found[0].length - (found[2].length - written.length);
    }
    if (this.open && end >= this.text.length) return { end: this.text.length };
    if (at(TITLE, this.text, end)) end = TITLE.lastIndex;
    const url = this.text[end] === ")" ? addressOf(written) : null;
    return url && { url, end: end + 1 };
  }

  pointed() {
    const lineEnd = at(BREAK, this.text, this.index);
    if (lineEnd) return this.node({ tag: "br", children: [] }, lineEnd[0].length);
    const found = at(POINTED, this.text, this.index);
    const url = found && addressOf(MAILBOX.test(found[1]) ? `mailto:${found[1]}` : found[1]);
    return url ? this.node(linkNode(url, [found[1]]), found[0].length) : this.take("<");
  }

  entity() {
    const found = at(ENTITY, this.text, this.index);
    if (!found) return this.take("&");
    this.say(ENTITIES[found[0]]);
    this.index += found[0].length;
    return undefined;
  }

  bare() {
    const found = WORD.test(this.text[this.index - 1] ?? " ") ? null : at(BARE, this.text, this.index);
    const written = found ? withoutStops(balanced(found[0])) : "";
    const url = found && addressOf(written);
    return url ? this.node(linkNode(url, [written]), written.length) : this.take(written || "h");
  }

  /* Ends what is open at the end of a text that still grows, and hides marks that nothing follows yet. */
  finish() {
    const last = this.parts.at(-1);
    if (last && last.mark && !last.closes) {
      this.parts.pop();
      this.runs = this.runs.filter((run) => run !== last);
    }
    while (this.runs.length) {
      const run = this.runs.at(-1), inside = this.parts.slice(this.parts.lastIndexOf(run) + 1);
      if (inside.length && plainText(settle(inside)).length <= UNFINISHED_MAX_CHARS) {
        this.close({ mark: run.mark, count: run.count, opens: false, closes: true });
      }
      if (this.runs.at(-1) === run) this.runs.pop(); // stays text
    }
  }
}

/* May these two be the ends of one emphasis? "*" is no partner of "**", but "***" has two to give. */
const fits = (run, mark) => run.count === mark.count || run.count === RUN_MAX || mark.count === RUN_MAX;

/* Marks and brackets that found no partner are text. */
function settle(parts) {
  const settled = [];
  for (const part of parts) {
    const text = typeof part === "string" ? part : part.mark ? part.mark.repeat(part.count) : part.bracket;
    if (text === undefined) settled.push(part);
    else if (typeof settled.at(-1) === "string") settled[settled.length - 1] += text;
    else settled.push(text);
  }
  return settled;
}

const unlinked = (children) => settle(children.flatMap((each) => typeof each === "string" ? [each]
  : each.tag === "a" ? each.children.filter((child) => child.tag !== "span")
    : [{ ...each, children: unlinked(each.children) }]));

function linkNode(url, children) {
  const place = placeToShow(url, plainText(children));
  const shown = children.length ? children : [url.href];
  return { tag: "a", href: url.href, children: place ? [...shown, { tag: "span", children: [` (${place})`] }] : shown };
}

function codeNode(text) {
  const flat = text.replaceAll("\n", " ");
  const padded = flat.length > 2 && flat.startsWith(" ") && flat.endsWith(" ") && flat.trim();
  return { tag: "code", children: [padded ? flat.slice(1, -1) : flat] };
}

function placesOfTicks(text) {
  const places = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!places.has(run.length)) places.set(run.length, []);
    places.get(run.length).push(index);
  }
  for (const each of places.values()) each.reverse();
  return places;
}

/* An address up to a ")" that it did not open. */
function balanced(written) {
  let depth = 0;
  for (let index = 0; index < written.length; index++) {
    if (written[index] === "(") depth++;
    else if (written[index] === ")" && --depth < 0) return written.slice(0, index);
  }
  return written;
}

function withoutStops(written) {
  let end = written.length;
  while (end && ".,;:!?'*_~".includes(written[end - 1])) end--;
  return written.slice(0, end);
}
