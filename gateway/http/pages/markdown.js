/* Markdown as models write it, to a small tree of plain objects. Pure: text in, a list of blocks out; runs in node too.

   A node is {tag, children, ...}: p, h1 to h6, blockquote, ul and ol (start, tight) of li (checked: true, false or
   null), hr, table (align; rows of cells, the first is the head) of inlines, and fence (language, text, open). Blocks
   at the top have `at`, where they begin in the text. What stands inside them is next door, in markdown_inline.js.

   Kinder than CommonMark where models are careless: lists may be nested by two spaces, a fence inside an item need not
   be indented, `---` below a text is a rule. No raw HTML, no references. Containers nest DEPTH_MAX deep and tables have
   COLUMNS_MAX columns; the time is in proportion to the length of the text, whatever it says.
*/

import { inline } from "./markdown_inline.js";
import { visible } from "./markdown_text.js";

export const DEPTH_MAX = 10;
const COLUMNS_MAX = 60, LANGUAGE_MAX_CHARS = 40, TAB = 4, INDENTED = 4;
const FENCE = /^[ \t]*(`{3,}|~{3,})/, HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)/, QUOTE = /^[ \t]{0,3}>[ \t]?/;
const RULE = /^[ \t]*([-*_])[ \t]*(?:\1[ \t]*){2,}$/, MARK = /^[ \t]*([-+*]|\d{1,9}[.)])(?=[ \t]|$)/;
const TASK = /^[ \t]*\[([ xX])\](?=[ \t])/, DASHES = /^:?-+:?$/;

/* The blocks of a text. `open`: it still grows, so its last block is shown as if what it begins were ended. */
export function parse(text, open = false) {
  const lines = [], starts = [];
  for (let start = 0; start < text.length;) {
    const found = nextLineEnd(text, start);
    lines.push(visible(text.slice(start, found.index)));
    starts.push(start);
    start = found.end;
  }
  return blocks(lines, 0, open).map(({ line, ...node }) => ({ ...node, at: starts[line] }));
}

/* Reads a growing text again and again; what cannot change any more is read once. */
export class Growing {
  constructor() {
    [this.settled, this.chars] = [0, 0]; // blocks that cannot change any more, and where the text after them begins
  }

  /* {first, blocks}: the blocks from number `first` on, as they are now. `text` begins with what was read before. */
  read(text, open) {
    const found = { first: this.settled, blocks: parse(text.slice(this.chars), open) };
    // A block is complete when another one surely begins below it: by its second line, which can make it a table.
    const rest = text.slice(this.chars + (found.blocks.at(-1)?.at ?? 0));
    const complete = found.blocks.length - (TWO_LINES.test(rest) ? 1 : 2);
    if (complete > 0) {
      this.settled += complete;
      this.chars += found.blocks[complete].at;
    }
    return found;
  }
}
const TWO_LINES = /[\r\n][^\r\n]+[\r\n]/;

function nextLineEnd(text, start) {
  LINE_END.lastIndex = start;
  const found = LINE_END.exec(text);
  return found ? { index: found.index, end: LINE_END.lastIndex } : { index: text.length, end: text.length };
}
const LINE_END = /\r\n|\n|\r/g;

function blocks(lines, depth, open) {
  const found = [];
  for (let line = 0; line < lines.length;) {
    if (isBlank(lines[line])) { line++; continue; }
    const [node, next] = fence(lines, line, open) ?? heading(lines, line, open) ?? rule(lines, line)
      ?? quote(lines, line, depth, open) ?? list(lines, line, depth, open) ?? table(lines, line, open)
      ?? indented(lines, line, depth) ?? paragraph(lines, line, open);
    found.push({ ...node, line });
    line = next;
  }
  return found;
}

const isBlank = (line) => !line.trim();
const isFence = (line) => {
  const mark = FENCE.exec(line);
  return mark && !(mark[1][0] === "`" && line.includes("`", mark[0].length)) ? mark : null;
};
const endsFence = (line, mark) => {
  const said = line.trim();
  return said.length >= mark[1].length && said === mark[1][0].repeat(said.length);
};
const markOf = (line) => RULE.test(line) ? null : MARK.exec(line);
const startsBlock = (line) => Boolean(isFence(line) || HEADING.test(line) || QUOTE.test(line) || RULE.test(line)
  || /^[ \t]*(?:[-+*]|1[.)])[ \t]+\S/.test(line));

/* How far a line is indented, in columns. */
function columns(line) {
  let count = 0;
  for (const character of line) {
    if (character === " ") count++;
    else if (character === "\t") count += TAB - count % TAB;
    else break;
  }
  return count;
}

/* The line without so many columns of its indentation. */
function strip(line, count) {
  let index = 0, column = 0;
  while (column < count && (line[index] === " " || line[index] === "\t")) {
    column += line[index] === " " ? 1 : TAB - column % TAB;
    index++;
  }
  return " ".repeat(Math.max(0, column - count)) + line.slice(index);
}

function fence(lines, line, open) {
  const mark = isFence(lines[line]);
  if (!mark) return null;
  let next = line + 1;
  while (next < lines.length && !endsFence(lines[next], mark)) next++;
  const unfinished = next >= lines.length, indent = columns(lines[line]);
  const inside = lines.slice(line + 1, next).map((each) => strip(each, indent));
  if (unfinished && open && mark[1].startsWith(inside.at(-1)?.trim() || "-")) inside.pop(); // half of its end
  const language = lines[line].slice(mark[0].length).trim().split(/\s/, 1)[0].slice(0, LANGUAGE_MAX_CHARS);
  return [{ tag: "fence", language, text: inside.join("\n"), open: unfinished }, next + 1];
}

function heading(lines, line, open) {
  const mark = HEADING.exec(lines[line]);
  if (!mark) return null;
  const said = lines[line].slice(mark[0].length).trim();
  let end = said.length;
  while (end && said[end - 1] === "#") end--;
  const text = end && !/\s/.test(said[end - 1]) ? said : said.slice(0, end).trimEnd();
  return [{ tag: `h${mark[1].length}`, children: inline(text, open && line === lines.length - 1) }, line + 1];
}

const rule = (lines, line) => RULE.test(lines[line]) ? [{ tag: "hr", children: [] }, line + 1] : null;

function quote(lines, line, depth, open) {
  if (depth >= DEPTH_MAX || !QUOTE.test(lines[line])) return null;
  let next = line;
  while (next < lines.length && QUOTE.test(lines[next])) next++;
  const inside = lines.slice(line, next).map((each) => each.replace(QUOTE, ""));
  return [{ tag: "blockquote", children: inner(inside, depth + 1, open && next === lines.length) }, next];
}

const inner = (lines, depth, open) => blocks(lines, depth, open).map(({ line: _, ...node }) => node);

function list(lines, line, depth, open) {
  const first = depth < DEPTH_MAX && markOf(lines[line]);
  if (!first) return null;
  const kind = first[1].at(-1), items = [];
  let next = line, tight = true;
  for (let look = line; look < lines.length;) {
    const mark = markOf(lines[look]);
    if (!mark || mark[1].at(-1) !== kind) break;
    tight &&= look === next;
    const item = takeItem(lines, look, mark);
    tight &&= item.tight;
    look = next = item.next;
    items.push(item);
    while (look < lines.length && isBlank(lines[look])) look++;
  }
  const children = items.map(({ inside, checked }, index) => ({
    tag: "li", checked, children: inner(inside, depth + 1, open && index === items.length - 1 && next === lines.length),
  }));
  const start = kind === "." || kind === ")" ? parseInt(first[1], 10) : null;
  return [{ tag: start === null ? "ul" : "ol", start, tight, children }, next];
}

/* The lines of one item without its mark and indentation; `next` is the line after them. */
function takeItem(lines, line, mark) {
  const column = columns(lines[line]), content = column + mark[1].length + 1;
  const enough = Math.min(content, column + 2);
  let first = strip(lines[line], column).slice(mark[1].length + 1);
  const task = TASK.exec(first);
  if (task) first = first.slice(task[0].length + 1);
  const inside = [columns(first) < INDENTED ? first.trimStart() : first];
  let inFence = isFence(inside[0]), next = line + 1, end = next, tight = true;
  for (; next < lines.length; next++) {
    const each = lines[next], blank = isBlank(each);
    if (inFence) {
      if (endsFence(each, inFence)) inFence = null;
    } else if (!blank) {
      const within = columns(each) >= enough;
      if (!within && (next > end || startsBlock(each) || markOf(each))) break;
      tight &&= next === end || !within;
      inFence = isFence(each);
    }
    inside.push(strip(each, content));
    if (!blank || inFence) end = next + 1;
  }
  inside.length = end - line;
  return { inside, next: end, tight, checked: task ? task[1] !== " " : null };
}

function indented(lines, line, depth) {
  if (depth || columns(lines[line]) < INDENTED) return null;
  let end = line;
  for (let next = line; next < lines.length; next++) {
    if (isBlank(lines[next])) continue;
    if (columns(lines[next]) < INDENTED) break;
    end = next + 1;
  }
  const text = lines.slice(line, end).map((each) => strip(each, INDENTED)).join("\n");
  return [{ tag: "fence", language: "", text, open: false }, end];
}

/* The cells of a row; a "|" after a backslash is part of one. */
function cells(line) {
  const found = [""];
  const row = line.trim().replace(/^\|/, "");
  for (let index = 0; index < row.length; index++) {
    if (row[index] === "\\" && row[index + 1] === "|") found[found.length - 1] += row[++index];
    else if (row[index] === "|") found.push("");
    else found[found.length - 1] += row[index];
  }
  if (found.length > 1 && !found.at(-1).trim()) found.pop();
  return found.map((cell) => cell.trim());
}

/* The alignment of each column, if a table begins at this line; else null. */
function tableAt(lines, line) {
  const below = lines[line + 1];
  if (below === undefined || !lines[line].includes("|") || !/^[\s|:-]+$/.test(below)) return null;
  const dashes = cells(below);
  if (dashes.length > COLUMNS_MAX || !dashes.every((each) => DASHES.test(each))) return null;
  if (cells(lines[line]).length !== dashes.length) return null;
  return dashes.map((each) => each.endsWith(":") ? (each.startsWith(":") ? "center" : "end") : "start");
}

function table(lines, line, open) {
  const align = tableAt(lines, line);
  if (!align) return null;
  let next = line + 2;
  while (next < lines.length && lines[next].includes("|") && !isBlank(lines[next]) && !isFence(lines[next])) next++;
  const rows = [line, ...Array.from({ length: next - line - 2 }, (_, index) => line + 2 + index)].map((each) => {
    const found = cells(lines[each]).slice(0, align.length), unfinished = open && each === lines.length - 1;
    return found.map((cell, column) => inline(cell, unfinished && column === found.length - 1));
  });
  return [{ tag: "table", align, children: rows }, next];
}

function paragraph(lines, line, open) {
  let next = line + 1;
  while (next < lines.length && !isBlank(lines[next]) && !startsBlock(lines[next]) && !tableAt(lines, next)) next++;
  const text = lines.slice(line, next).map((each) => each.trim()).join("\n");
  return [{ tag: "p", children: inline(text, open && next === lines.length) }, next];
}
