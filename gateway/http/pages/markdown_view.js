/* A growing markdown text as elements. Only createElement and text nodes: no text can become markup or script.

   `update` costs what is new: blocks that cannot change any more are left alone, and of the last one only the nodes
   that differ are touched, so that a selection stays while the answer grows. Which elements there can be is SHOWN; an
   `a` has an address that markdown_text.js let pass, opens elsewhere and tells that page nothing.
*/

import { make } from "./page.js";
import { Growing } from "./markdown.js";

export const SHOWN = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "hr", "table",
  "fence", "em", "strong", "del", "code", "a", "span", "br"]);

export class MarkdownView {
  /* Shows in `root`, an empty element. `copy(text, button)` is what the button of a code block does. */
  constructor(root, copy) {
    [this.root, this.copy, this.text] = [root, copy, new Growing()];
    this.shown = []; // the blocks that were read last; those before them stay as they are
    this.first = 0; // of these, which block of the text it is
  }

  /* Shows `text`, which begins with what was shown before; `open` while there is more to come. */
  update(text, open) {
    const { first, blocks } = this.text.read(text, open);
    patch(this.root, first, this.shown.slice(first - this.first), blocks, this.copy);
    [this.first, this.shown] = [first, blocks];
  }
}

/* Makes the children of `parent` from `first` on show `wanted` instead of `shown`. */
function patch(parent, first, shown, wanted, copy) {
  for (const [index, node] of wanted.entries()) {
    const before = shown[index], place = parent.childNodes[first + index];
    if (before === undefined) parent.append(build(node, copy));
    else if (!renew(place, before, node, copy)) place.replaceWith(build(node, copy));
  }
  for (let extra = shown.length - wanted.length; extra > 0; extra--) parent.lastChild.remove();
}

/* Makes `place`, which shows `before`, show `node`; false if it cannot become that. */
function renew(place, before, node, copy) {
  if (typeof node === "string" || typeof before === "string") {
    if (typeof node !== typeof before) return false;
    if (node.startsWith(before)) place.appendData(node.slice(before.length));
    else place.data = node;
    return true;
  }
  if (before.tag !== node.tag || before.href !== node.href || before.checked !== node.checked
    || before.start !== node.start) return false;
  if (node.tag === "fence") return renewFence(place, before, node);
  if (node.tag === "table") return renewTable(place, before, node, copy);
  if (node.tag === "ul" || node.tag === "ol") place.classList.toggle("tight", node.tight);
  patch(place, typeof node.checked === "boolean" ? 1 : 0, before.children, node.children, copy);
  return true;
}

function renewFence(place, before, node) {
  if (before.language !== node.language) place.querySelector(".language").textContent = node.language;
  const text = place.querySelector("code").firstChild;
  if (node.text.startsWith(before.text)) text.appendData(node.text.slice(before.text.length));
  else text.data = node.text;
  return true;
}

function renewTable(place, before, node, copy) {
  if (before.align.join() !== node.align.join()) return false;
  const rows = place.querySelectorAll("tr");
  for (const [index, row] of node.children.entries()) {
    const shown = before.children[index];
    if (!shown) place.querySelector("tbody").append(rowOf(row, node.align, "td", copy));
    else if (row.length < shown.length) rows[index].replaceWith(rowOf(row, node.align, index ? "td" : "th", copy));
    else for (const [column, cell] of row.entries()) {
      if (column < shown.length) patch(rows[index].children[column], 0, shown[column], cell, copy);
      else rows[index].append(cellOf(cell, node.align[column], index ? "td" : "th", copy));
    }
  }
  for (let extra = node.children.length; extra < before.children.length; extra++) rows[extra].remove();
  return true;
}

function build(node, copy) {
  if (typeof node === "string") return document.createTextNode(node);
  if (!SHOWN.has(node.tag)) throw new Error(`no element shows ${node.tag}`);
  if (node.tag === "fence") return fence(node, copy);
  if (node.tag === "table") return table(node, copy);
  const element = make(node.tag, attributesOf(node));
  if (typeof node.checked === "boolean") element.append(box(node.checked));
  patch(element, 0, [], node.children, copy);
  return element;
}

function attributesOf(node) {
  if (node.tag === "a") return { href: node.href, title: node.href, target: "_blank", rel: "noopener noreferrer" };
  if (node.tag === "ul") return { class: node.tight ? "tight" : null };
  if (node.tag === "ol") return { class: node.tight ? "tight" : null, start: node.start === 1 ? null : node.start };
  if (node.tag === "li") return { class: typeof node.checked === "boolean" ? "task" : null };
  return { class: node.tag === "span" ? "place" : null };
}

const box = (checked) => make("span", { class: "box", role: "img", "aria-label": checked ? "done" : "to do" },
  checked ? "\u2611" : "\u2610");

function fence(node, copy) {
  const code = make("code", null);
  code.append(document.createTextNode(node.text));
  const button = make("button", { type: "button", class: "small" }, "Copy");
  button.addEventListener("click", () => copy(code.textContent, button));
  return make("div", { class: "fence" },
    make("div", { class: "bar" }, make("span", { class: "language" }, node.language), button),
    make("pre", { tabindex: "0", "aria-label": "Code" }, code));
}

function table(node, copy) {
  const [head, ...rows] = node.children;
  return make("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, make("table", null,
    make("thead", null, rowOf(head, node.align, "th", copy)),
    make("tbody", null, ...rows.map((row) => rowOf(row, node.align, "td", copy)))));
}

const rowOf = (row, align, tag, copy) =>
  make("tr", null, ...row.map((children, column) => cellOf(children, align[column], tag, copy)));

function cellOf(children, align, tag, copy) {
  const cell = make(tag, { class: align });
  patch(cell, 0, [], children, copy);
  return cell;
}
