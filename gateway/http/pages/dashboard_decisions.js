/* The journal of decisions: the newest first, at most KEPT_MAX, those of one kind or about one model if one asks. */

import { clock, make, setText, visible } from "./page.js";

const KEPT_MAX = 200, DAY_S = 86_400;
const KINDS = { load: "good", eviction: "busy", refusal: "warn", trouble: "bad", memory: "warn", route: "busy",
  preemption: "busy" };
const ALL = "";

export class Decisions {
  constructor(section) {
    this.list = section.querySelector("#journal");
    this.none = section.querySelector("#none");
    this.kind = section.querySelector("#kind");
    this.about = section.querySelector("#about");
    this.kept = []; // newest first
    this.isNew = true;
    for (const select of [this.kind, this.about]) select.addEventListener("change", () => { this.#again(); });
  }

  begin(decisions) {
    this.kept = decisions.slice(-KEPT_MAX).reverse();
    this.#again();
  }

  /* One may come twice where the first reading and the next meet. */
  add(decisions) {
    for (const decision of decisions) {
      const isKnown = this.kept.some((each) => each.at_s === decision.at_s && each.text === decision.text);
      if (isKnown) continue;
      this.kept.unshift(decision);
      this.isNew = true;
    }
    this.kept.length = Math.min(this.kept.length, KEPT_MAX);
  }

  #again() {
    this.isNew = true;
    this.list.replaceChildren();
    this.draw();
  }

  /* Lines that are there stay, so that nobody's place or selection is lost. */
  draw() {
    if (!this.isNew) return;
    this.isNew = false;
    this.#offer(this.kind, "all", this.kept.map((decision) => decision.kind));
    this.#offer(this.about, "all", this.kept.map((decision) => decision.model));
    const shown = this.kept.filter((decision) => [ALL, decision.kind].includes(this.kind.value)
      && [ALL, decision.model].includes(this.about.value));
    const first = this.list.firstElementChild;
    const known = first ? shown.findIndex((decision) => keyOf(decision) === first.dataset.key) : -1;
    const fresh = known < 0 ? shown : shown.slice(0, known);
    if (known < 0) this.list.replaceChildren();
    this.list.prepend(...fresh.map((decision) => lineOf(decision, known >= 0)));
    while (this.list.children.length > shown.length) this.list.lastElementChild.remove();
    this.none.hidden = shown.length > 0;
    setText(this.none, this.kept.length ? "None of these." : "None yet.");
  }

  #offer(select, all, values) {
    const wanted = [ALL, ...[...new Set(values)].filter(Boolean).sort()];
    if (select.value && !wanted.includes(select.value)) wanted.push(select.value);
    const shown = [...select.options].map((option) => option.value);
    if (wanted.join("\n") === shown.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(...wanted.map((value) => new Option(visible(value) || all, value)));
    select.value = chosen;
  }
}

const keyOf = (decision) => `${decision.at_s} ${decision.text}`;

function lineOf(decision, isFresh) {
  const isOld = Date.now() / 1000 - decision.at_s > DAY_S;
  const day = isOld ? `${new Date(decision.at_s * 1000).toLocaleDateString()} ` : "";
  return make("li", { "data-key": keyOf(decision), class: isFresh ? "fresh" : null },
    make("time", { class: "dim number" }, decision.at_s ? day + clock(decision.at_s) : ""),
    make("span", { class: `chip ${KINDS[decision.kind] || ""}` }, visible(decision.kind)),
    make("span", { class: "words" }, visible(decision.text)));
}
